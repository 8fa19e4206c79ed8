"""`vmlab init`: folders as their authors have them, understood without a question."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vmlab.cli import app
from vmlab.errors import UsageError
from vmlab.init import look, write
from vmlab.init.order import order
from vmlab.init.tell import tell
from vmlab.project import find, load_all
from vmlab.scenario import expand

DUCK = """\
#include <linux/module.h>
static int feathers = 3;
module_param(feathers, int, 0444);
MODULE_PARM_DESC(feathers, "how many "
    "it has");
static char *colour;
module_param_named(paint, colour, charp, 0);
/* misc_register(&x) EXPORT_SYMBOL(not_this) */
int quack_loudly(void) { return feathers; }
EXPORT_SYMBOL_GPL(quack_loudly);
static int __init duck_init(void) { pr_info("quack\\n"); return 0; }
static void __exit duck_exit(void) { }
module_init(duck_init);
module_exit(duck_exit);
MODULE_LICENSE("GPL");
"""
POND = """\
#include <linux/module.h>
int quack_loudly(void);
static int __init pond_init(void) { return quack_loudly() == 3 ? 0 : -ENODEV; }
static void __exit pond_exit(void) { }
module_init(pond_init);
module_exit(pond_exit);
MODULE_LICENSE("GPL");
"""


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def loaded(folder: Path):
    """The project that was written, with its scenarios read and checked."""
    project = find(folder)
    return project, load_all(project.scenario_files(), project.known(lambda text: None))


KBUILD = {"Makefile": "obj-m += pond.o duck.o\n", "pond.c": POND, "duck.c": DUCK}


def test_modules_come_after_those_whose_symbols_they_use(tmp_path):
    found = look(put(tmp_path, KBUILD))
    assert [one.name for one in found.modules] == ["duck", "pond"]
    assert (found.way, found.read) == ("kbuild", "Makefile")


@pytest.mark.parametrize(
    ("more", "left_out"),
    [("conftest-objs := main.o\n", True), ("", True), ("conftest.c:\n\tsh make-it\n", False),
     ("conftest-objs := $(patsubst x,y,$(z)).o\n", False)],
)  # fmt: skip
def test_a_module_none_of_whose_files_is_there_is_left_out(tmp_path, more, left_out):
    """As those that a `configure` writes and builds."""
    try_it = {"config/Makefile": f"obj-m += conftest.o\n{more}"}
    found = look(put(tmp_path, {**KBUILD, **try_it}))
    assert ("conftest" in [one.name for one in found.modules]) is not left_out
    said = any("config/Makefile makes it of" in line for line in found.notes)
    assert said is left_out


def test_a_module_whose_files_a_function_names_has_those_of_its_folder(tmp_path):
    files = {
        "a/Makefile": "obj-m := nest.o\nnest-objs := $(patsubst %.c,%.o,$(wildcard $M/*.c))\n",
        "a/eggs.c": POND, "a/tool.c": "int main(void) { return 0; }\n",
        "b/Makefile": "obj-m := duck.o\n", "b/duck.c": DUCK,
    }  # fmt: skip
    found = look(put(tmp_path, files))
    assert [one.name for one in found.modules] == ["duck", "nest"]
    assert found.modules[1].sources.may_lack_a_device
    assert found.apart == []
    put(tmp_path, {"a/in/Makefile": "obj-m := hen.o\n", "a/in/hen.c": DUCK})
    known = {one.name: one.sources.words for one in look(tmp_path).modules}
    assert known["nest"] == frozenset()


def test_a_module_comes_before_those_that_stand_on_more():
    exports = {"clock": frozenset("t"), "lib": frozenset("l"), "tracer": frozenset(),
               "plugin": frozenset()}  # fmt: skip
    words = {"clock": frozenset(), "lib": frozenset("t"), "tracer": frozenset("lt"),
             "plugin": frozenset("t")}  # fmt: skip
    names = ["tracer", "lib", "clock", "plugin"]
    assert order(names, exports, words) == ["clock", "lib", "plugin", "tracer"]


def test_those_that_need_one_another_keep_their_order_and_the_rest_come_last():
    exports = {"a": frozenset("x"), "b": frozenset("y"), "c": frozenset(), "d": frozenset("z")}
    words = {"a": frozenset("yz"), "b": frozenset("x"), "c": frozenset(), "d": frozenset()}
    assert order(list("cabd"), exports, words) == ["b", "d", "a", "c"]


def test_parameters_exports_and_what_is_made_are_read_from_the_sources(tmp_path):
    (duck, pond) = look(put(tmp_path, KBUILD)).modules
    said = [(one.name, one.type, one.about) for one in duck.sources.parameters]
    assert said == [("feathers", "int", "how many it has"), ("paint", "charp", "")]
    assert duck.sources.exports == {"quack_loudly"}
    assert duck.sources.makes == ()
    assert (duck.sources.may_lack_a_device, pond.sources.may_lack_a_device) == (False, True)


def test_the_project_that_is_written_is_a_good_one(tmp_path):
    write(look(put(tmp_path, KBUILD)))
    project, (load,) = loaded(tmp_path)
    assert project.module_names() == {"duck", "pond"}
    verbs = [step.argument for step in load.scenario.steps if step.verb in ("modprobe", "rmmod")]
    assert verbs == ["duck", "pond", "pond", "duck"] * 2
    skips = [step.or_skip for step in load.scenario.steps if step.verb == "modprobe"]
    assert skips == [None, "19", None, None]  # loaded once, it must load again
    assert "duck feathers= (int): how many it has" in load.text
    # /sys/module/NAME/initstate is younger than many kernels.
    live = [step.argument for step in load.scenario.steps if "/proc/modules" in step.argument]
    assert live == ["grep '^duck ' /proc/modules", "grep '^pond ' /proc/modules"]


def flock(folder: Path, count: int, text: str) -> Path:
    """A folder of so many modules of one text."""
    names = [f"duck{number}" for number in range(count)]
    made = " ".join(f"{name}.o" for name in names)
    return put(folder, {"Kbuild": f"obj-m := {made}\n", **{f"{n}.c": text for n in names}})


@pytest.mark.parametrize(("count", "memory"), [(16, 192), (17, 384)])
def test_many_modules_get_more_memory(tmp_path, count, memory):
    text = POND.replace("quack_loudly", "duck0_has_it").replace("ENODEV", "EINVAL")
    folder = flock(tmp_path, count, text)
    put(folder, {"duck0.c": DUCK.replace("quack_loudly", "duck0_has_it")})
    write(look(folder))
    assert [one.scenario.memory for one in loaded(folder)[1]] == [memory]


@pytest.mark.parametrize(
    ("count", "text", "runs"),
    [(16, DUCK, 1), (17, DUCK, 17), (2, POND, 2), (1, POND, 1)],
)  # fmt: skip
def test_modules_that_need_no_other_are_loaded_alone_where_one_may_hide_the_rest(
    tmp_path, count, text, runs
):
    """Where a device may be lacking, and a guest passes over what comes after."""
    folder = flock(tmp_path, count, text.replace("EXPORT_SYMBOL", "VOID"))
    found = look(folder)
    write(found)
    assert [len(expand(one)) for one in loaded(folder)[1]] == [runs]
    assert len(found.apart) == (runs if runs > 1 else 0)
    names = " ".join(one.name for one in found.modules)
    conf = f"PACKAGE_NAME=p\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=({names})\n"
    package = look(put(folder, {"dkms.conf": conf}))
    assert len(package.apart) == (2 if count == 2 else 0)


def test_what_only_some_kernels_have_gets_a_run_for_each(tmp_path):
    conf = "PACKAGE_NAME=p\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME[0]=duck\n"
    conf += 'if [ -n "$X" ]; then BUILT_MODULE_NAME[1]=po-nd; BUILT_MODULE_NAME[2]=reed; fi\n'
    found = look(put(tmp_path, {**KBUILD, "dkms.conf": conf}))
    write(found)
    assert [one.name for one in found.apart] == ["po-nd", "reed"]
    project, (each, load) = loaded(tmp_path)
    assert load.scenario.modules == ["duck"]
    runs = expand(each)
    assert [run.modules for run in runs] == [["po-nd"], ["reed"]]
    assert [step.argument for step in runs[0].steps if step.verb == "rmmod"] == ["po_nd"] * 2
    assert project.settings.build == "dkms"


@pytest.mark.parametrize(
    ("without", "removed", "about"),
    [((), ["pond", "duck"] * 2, "unload and load again"), (("duck.c",), ["pond"] * 2, "(1 cannot)"),
     (("duck.c", "pond.c"), [], "cannot be unloaded")],
)  # fmt: skip
def test_a_module_without_an_exit_is_not_unloaded(tmp_path, without, removed, about):
    """The kernel refuses that with EBUSY."""
    cut = {name: KBUILD[name].replace("module_exit(", "VOID(") for name in without}
    write(look(put(tmp_path, {**KBUILD, **cut})))
    (load,) = loaded(tmp_path)[1]
    assert [step.argument for step in load.scenario.steps if step.verb == "rmmod"] == removed
    assert about in load.scenario.about
    assert ("debug/kmemleak" in str(load.scenario.steps[-1])) is bool(removed)


@pytest.mark.parametrize(
    ("check", "wants"),
    [("if (!paint) { pr_err(\"x\"); return -EINVAL; }", True),
     ("if (feathers < 1 || !paint)\n return -EINVAL;", True),
     ("if (!paint) { feathers = 1; } if (x) return -EINVAL;", False),
     ("if (!paint[0]) return -EINVAL;", False), ("if (!paint) return -ENOMEM;", False),
     ("return check();", True), ("return other(0);", False), ("return shadow();", False)],
)  # fmt: skip
def test_a_parameter_without_which_a_module_refuses_is_told(tmp_path, check, wants):
    bodies = ("other(char *paint) {", "shadow(void) {\n char *paint = get();", "check(void)\n{")
    elsewhere = "".join(
        f"static int {body}\n if (!paint) {{\n  err();\n  return -EINVAL;\n }}\n return 0;\n}}\n"
        for body in bodies
    )
    duck = DUCK.replace("static int __init", f"{elsewhere}static int __init")
    duck = duck.replace('pr_info("quack\\n"); return 0; }', f"{check} return 0;\n}}")
    assert check in duck
    found = look(put(tmp_path, {"Kbuild": "obj-m := duck.o\n", "duck.c": duck}))
    written = write(found)
    skips = [
        step.or_skip for step in loaded(tmp_path)[1][0].scenario.steps if step.verb == "modprobe"
    ]
    assert skips == (["22", None] if wants else [None, None])
    told = " ".join(tell(found, written))
    assert ("duck wants paint=: without, it is skipped" in told) is wants


def test_two_modules_that_export_one_symbol_are_told(tmp_path):
    swan = POND.replace("MODULE_LICENSE", "EXPORT_SYMBOL(quack_loudly);\nMODULE_LICENSE")
    put(tmp_path, {"Kbuild": "obj-m := duck.o swan.o hen.o\n", "swan.c": swan})
    put(tmp_path, {"duck.c": DUCK, "hen.c": DUCK.replace("quack_loudly", "cluck")})
    (note,) = look(tmp_path).notes
    assert note.startswith("duck and swan both export quack_loudly: the kernel refuses")


def test_firmware_that_a_module_asks_for_is_told_and_given_where_it_is_there(tmp_path):
    duck = DUCK.replace("MODULE_LICENSE", 'MODULE_FIRMWARE("pond/a.bin");\nMODULE_LICENSE')
    duck = '#define FEED "pond/b.bin"\n' + duck.replace(
        "return 0; }",
        "return request_firmware(&it, FEED, dev) || request_firmware(&it, name, 0); }",
    )
    put(tmp_path, {"Kbuild": "obj-m := duck.o\n", "duck.c": duck, "firmware/pond/b.bin": "x"})
    found = look(tmp_path)
    told = " ".join(tell(found, write(found)))
    assert "duck asks for firmware: pond/b.bin, pond/a.bin firmware is put below firmware/" in told
    assert loaded(tmp_path)[1][0].scenario.firmware == ["pond/b.bin"]


def test_the_only_dkms_conf_below_a_folder_is_its_modules(tmp_path):
    conf = "PACKAGE_NAME=pond\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=(duck pond)\n"
    inside = {f"src/{name}": text for name, text in KBUILD.items()}
    put(tmp_path, {**inside, "src/dkms.conf": conf, "debian/dkms.conf": "PACKAGE_NAME=other\n"})
    found = look(tmp_path)
    write(found)
    assert (found.way, found.read, found.inner) == ("dkms", "src/dkms.conf", Path("src"))
    project, (load,) = loaded(tmp_path)
    assert project.modules == tmp_path / "src"
    assert load.scenario.modules == ["duck", "pond"]
    two = put(tmp_path / "two", {**KBUILD, "a/dkms.conf": conf, "a/Makefile": "", "b/Kbuild": "",
                                 "b/dkms.conf": conf})  # fmt: skip
    assert look(two).inner == Path()


def test_a_module_that_no_kbuild_file_names_is_read_from_the_file_of_its_name(tmp_path):
    conf = "PACKAGE_NAME=p\nPACKAGE_VERSION=1\n"
    conf += "BUILT_MODULE_NAME=(pond duck reed)\n"
    files = {"src/pond.c": POND, "src/duck.c": DUCK, "src/Makefile": "obj-m += $(call all)\n"}
    found = look(put(tmp_path, {**files, "dkms.conf": conf}))
    assert [one.name for one in found.modules] == ["duck", "pond", "reed"]
    assert found.notes == ("no Kbuild file read here says what reed is made of",)


@pytest.mark.parametrize("more", [False, True])
def test_of_one_module_whose_files_are_not_to_be_read_off_all_are_its_own(tmp_path, more):
    """Where others could have them, none."""
    makefile = "SRCS := $(wildcard src/*.c)\nobj-m += lake.o\nlake-objs := $(SRCS:.c=.o)\n"
    makefile += "obj-m += other.o\n" * more
    files = {"src/a.c": POND, "tool.c": "int main(void) { }"} | ({"other.c": ""} if more else {})
    folder = put(tmp_path, {"Makefile": makefile, **files})
    (lake, *_) = look(folder).modules
    assert lake.sources.may_lack_a_device is not more


def test_plain_c_files_get_a_kbuild(tmp_path):
    found = look(put(tmp_path, {"duck.c": DUCK, "pond.c": POND, "tool.c": "int main(void)\n{ }\n"}))
    assert found.kbuild == "obj-m += duck.o\nobj-m += pond.o\n"


def test_parts_of_one_module_are_put_together(tmp_path):
    found = look(put(tmp_path, {"duck.c": DUCK, "wing.c": "int wing;\n"}))
    assert found.kbuild == "obj-m += duck_module.o\nduck_module-y := duck.o wing.o\n"
    assert [one.name for one in found.modules] == ["duck_module"]


MESON = """\
project('pond', 'c')
# custom_target('old', output: 'old.ko', input: 'duck.c')
parts = files('src/duck_main.c', 'src/wings.c')
custom_target('module', input: parts, output: 'duck.ko',
  command: ['make', '-C', kernel, 'M=' + meson.current_source_dir()])
executable('quack', 'quack.c')
shared_module('egg', ['egg.c'])
"""


def test_targets_of_meson_get_a_kbuild(tmp_path):
    files = {
        "meson.build": MESON, "egg.c": DUCK, "src/duck_main.c": DUCK, "src/wings.c": "int flap;\n",
        "quack.c": "int main(void) { return 0; }\n", "duck.c": "rubbish\n",
    }  # fmt: skip
    folder = put(tmp_path, files)
    found = look(folder)
    assert (found.read, [one.name for one in found.modules]) == ("meson.build", ["duck", "egg"])
    write(found)
    assert (folder / "Kbuild").read_text() == (
        "obj-m += duck.o\nduck-y := src/duck_main.o src/wings.o\nobj-m += egg.o\n"
    )


def test_a_dkms_conf_that_is_not_read_is_said_and_the_kbuild_taken(tmp_path):
    conf = f"PACKAGE_NAME=p\nPACKAGE_VERSION=1\ntouch {tmp_path}/seen\n"
    found = look(put(tmp_path, {**KBUILD, "dkms.conf": conf}))
    assert found.way == "kbuild"
    assert "dkms.conf:3: runs 'touch'" in found.notes[0]
    assert not (tmp_path / "seen").exists()


def test_a_folder_without_a_module_is_refused(tmp_path):
    put(tmp_path, {"tool.c": "int main(void) { return 0; }\n"})
    with pytest.raises(UsageError, match="no kernel module was found"):
        look(tmp_path)


def test_a_kernel_s_tree_and_a_folder_of_everything_are_refused(tmp_path, monkeypatch):
    parts = ("Kconfig", "Makefile", "init/main.c", "kernel/sched/core.c", "mm/slab.c")
    with pytest.raises(UsageError, match="kernel's own source tree: `vmlab kernels build"):
        look(put(tmp_path / "linux", dict.fromkeys(parts, "")))
    monkeypatch.setattr(sys.modules["vmlab.init.look"], "_MOST", 3)
    with pytest.raises(UsageError, match="holds more than 3 files; go to"):
        look(put(tmp_path / "home", {**KBUILD, "a/b": ""}))
    assert look(put(tmp_path / "pond", KBUILD)).modules


def test_nothing_is_overwritten_and_nothing_is_written_twice(tmp_path):
    put(tmp_path, {**KBUILD, "scenarios/other.yaml": "mine\n"})
    first = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert first.exit_code == 0
    assert "wrote vmlab-scenarios/load.yaml" in first.stdout
    assert (tmp_path / "scenarios/other.yaml").read_text() == "mine\n"
    (tmp_path / "vmlab-scenarios/load.yaml").unlink()
    again = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert again.exit_code == 0
    assert "nothing is written" in again.stdout
    assert not (tmp_path / "vmlab-scenarios/load.yaml").exists()


def test_a_file_that_would_be_written_is_kept_where_it_is_there(tmp_path):
    mine = {"scenarios/other.yaml": "mine\n", "vmlab-scenarios/load.yaml": "mine too\n"}
    said = CliRunner().invoke(app, ["init", str(put(tmp_path, {**KBUILD, **mine}))]).stdout
    assert "kept vmlab-scenarios/load.yaml, which is there already" in said
    assert (tmp_path / "vmlab-scenarios/load.yaml").read_text() == "mine too\n"


def test_what_was_understood_is_said_in_a_few_lines(tmp_path):
    said = CliRunner().invoke(app, ["init", str(put(tmp_path, KBUILD))]).stdout.splitlines()
    assert said[0] == "Makefile: 2 modules, built with its Kbuild: duck, pond"
    assert "duck has 2 parameters: feathers, paint" in said
    assert said[-2].startswith("next: `vmlab run`")
    assert len(said) < 10


@pytest.mark.guest
@pytest.mark.parametrize("kernel", ["5.10.0-32-686", "6.1.0-50-amd64"])
def test_a_folder_is_run_with_no_file_edited(tmp_path, kernel):
    """Two modules, of which the second is built on some kernels and its symbol is the first's."""
    conf = """\
PACKAGE_NAME="pond"
PACKAGE_VERSION="1.0"
MAKE[0]="make KDIR=$kernel_source_dir"
BUILT_MODULE_NAME[0]="pond-water"
BUILT_MODULE_NAME[1]="duck"
case=$(echo $kernelver | cut -d. -f1)
if [ "$case" -ge 6 ]; then
    BUILT_MODULE_NAME[2]="reed"
fi
"""
    make = "obj-m += pond-water.o duck.o reed.o\npond-water-y := pond.o\nKDIR ?= /nowhere\n"
    make += "all:\n\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules\n"
    reed = POND.replace("() == 3", "() == 4").replace("pond", "reed")
    put(tmp_path, {"pond.c": POND, "duck.c": DUCK, "reed.c": reed, "Makefile": make})
    put(tmp_path, {"dkms.conf": conf})
    vmlab = [sys.executable, "-c", "from vmlab.cli import main; main()"]
    subprocess.run([*vmlab, "init"], cwd=tmp_path, check=True, capture_output=True)
    command = [*vmlab, "run", "-j", "1", "--kernel", kernel]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "1 passed, 1 skipped" in " ".join(done.stdout.split()), told
    reason = "dkms.conf builds no reed" if kernel.startswith("5") else "modprobe: reed: ENODEV"
    assert reason in told
