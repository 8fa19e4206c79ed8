"""What authors get wrong, on real kernels: each has its verdict and words that help."""

import re
from pathlib import Path

import pytest
import stand_in

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import execute
from vmlab.project import Project, Settings

MODULE = """\
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/timer.h>
static int __init bad_init(void) {{ {body} }}
static void __exit bad_exit(void) {{ }}
module_init(bad_init);
module_exit(bad_exit);
{licence}
"""
GPL = 'MODULE_LICENSE("GPL");'
MODULES = {
    "no-licence": ("return 0;", ""),
    "refuses": ("return -524; /* -ENOTSUPP, which user space has no name for */", GPL),
    "does-not-compile": ("return no_such_thing;", GPL),
    "noisy": (
        "static char line[513]; int i; for (i = 0; i < 512; i++) line[i] = 1 + i % 255;"
        'pr_info("%s\\n", line); pr_info("\\x1e# begin 1\\n"); return 0;',
        GPL,
    ),
    "forgets-its-timer": (
        "static DEFINE_TIMER(late, (void *)dump_stack);"
        "mod_timer(&late, jiffies + HZ / 2); return 0;",
        GPL,
    ),
}
for one in ("first", "second"):
    MODULES[f"exports-{one}"] = (
        "return 0;", f"int both_have_it(void);\nint both_have_it(void) {{ return 1; }}\n"
        f"EXPORT_SYMBOL(both_have_it);\n{GPL}",
    )  # fmt: skip
WORKLOADS = {
    "segfaults": "int main(void) { *(volatile int *)0 = 1; return 0; }",
    "no-main": "int mine(void) { return 0; }",
}
SCENARIOS = {
    **{name: f"modules: [{name}]\nsteps:\n  - insmod: {name}\n" for name in MODULES},
    **{name: f"steps:\n  - spawn: {name}\n" for name in WORKLOADS},
}
SCENARIOS["exports-second"] = (
    "modules: [exports-first, exports-second]\n"
    "steps:\n  - insmod: exports-first\n  - insmod: exports-second\n"
)
SCENARIOS["renamed"] = "modules: [renamed]\nsteps:\n  - insmod: renamed\n"
SCENARIOS["forgets-its-timer"] += "  - rmmod: forgets_its_timer\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All of them on both ends of the default kernels, by scenario and kernel series."""
    root = tmp_path_factory.mktemp("bad")
    for name, (body, licence) in MODULES.items():
        folder = root / "kmod" / name
        folder.mkdir(parents=True)
        (folder / "Kbuild").write_text(f"obj-m += {name}.o\n")
        (folder / f"{name}.c").write_text(MODULE.format(body=body, licence=licence))
    renamed(root / "kmod" / "renamed")
    workloads = root / "scenarios" / "workloads"
    workloads.mkdir(parents=True)
    for name, text in WORKLOADS.items():
        (workloads / f"{name}.c").write_text(text)
    for name, text in SCENARIOS.items():
        path = root / "scenarios" / f"{name}.yaml"
        path.write_text(f"name: {name}\nabout: what goes wrong\n{text}")
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    wanted = "5.10.0-32-686,6.1.0-50-amd64"
    options = lab.Options(accel="tcg")
    runner, pairs = lab.prepare(Project(root, Settings()), artifacts, [], [], wanted, options)
    done = execute(runner, pairs, stand_in.share_of_cores(), lambda pair: None)
    return {(run.scenario, run.kernel.partition(".0-")[0]): run for run in done}


def renamed(folder: Path) -> None:
    """A module whose Kbuild gives its file another name afterwards."""
    folder.mkdir(parents=True)
    (folder / "named.c").write_text(MODULE.format(body="return 0;", licence=GPL))
    (folder / "Kbuild").write_text(
        "obj-m += named.o\nalways-y += renamed.ko\n$(obj)/renamed.ko: $(obj)/named.o\n"
        "\tcp $(src)/named.o $@ && printf '\\0name=named\\0' >> $@\n"
    )


@pytest.mark.guest
@pytest.mark.parametrize(
    ("scenario", "kernel", "verdict", "reason", "seen"),
    [
        ("does-not-compile", "5.10", "failed", "build", "does-not-compile.c:5:.*no_such_thing"),
        ("does-not-compile", "6.1", "failed", "build", "does-not-compile.c:5:.*no_such_thing"),
        ("no-licence", "5.10", "passed", "", ""),  # modpost only warns of it until 5.11
        ("no-licence", "6.1", "failed", "build", r"missing MODULE_LICENSE\(\) in .*no-licence.o"),
        ("refuses", "5.10", "failed", "ENOTSUPP (of the kernel's own), and success", ""),
        ("refuses", "6.1", "failed", "ENOTSUPP (of the kernel's own), and success", ""),
        ("segfaults", "5.10", "failed", "death by SIGSEGV, and success was wanted", ""),
        ("segfaults", "6.1", "failed", "death by SIGSEGV, and success was wanted", ""),
        ("no-main", "6.1", "failed", "build", "undefined reference to `main'"),
        ("noisy", "5.10", "broken", "holds the results' mark", ""),
        ("noisy", "6.1", "broken", "holds the results' mark", ""),
        ("exports-second", "5.10", "failed", "ENOEXEC", "duplicate symbol both_have_it .owned by"),
        ("exports-second", "6.1", "failed", "ENOEXEC", "duplicate symbol both_have_it .owned by"),
        ("renamed", "5.10", "failed", "build", "renamed.ko holds a module that calls itself named"),
        ("renamed", "6.1", "failed", "build", "renamed.ko holds a module that calls itself named"),
        ("forgets-its-timer", "5.10", "crashed", "page fault", ""),
        ("forgets-its-timer", "6.1", "crashed", "page fault", ""),
    ],
)
def test_each_mistake_has_its_verdict_and_says_what_it_is(
    runs, scenario, kernel, verdict, reason, seen
):
    run = runs[scenario, kernel]
    judged = run.judgement
    assert (str(judged.verdict), reason in judged.reason) == (verdict, True), judged
    assert re.search(seen, judged.seen), judged.seen
    assert (Path(run.dir) / "verdict.json").is_file()
