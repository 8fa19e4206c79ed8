"""Kernels that are really built: tiny, of Debian's source, and what scenarios say on them."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from vmlab import sources
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.lab import Options as LabOptions
from vmlab.lab import load, runner
from vmlab.project import find
from vmlab.sources.build import Options, build
from vmlab.verdict import Verdict

ROOT = Path(__file__).parent.parent
TOOLS = ("flex", "bison", "bc")
FRAGMENTS = ("kasan", "kmemleak", "lockdep", "debug-info", "gcov", "kunit")
SUITES = (
    "BITFIELD_KUNIT", "HASH_KUNIT_TEST", "CMDLINE_KUNIT_TEST", "BITS_TEST", "MEMCPY_KUNIT_TEST",
    "IS_SIGNED_TYPE_KUNIT_TEST", "OVERFLOW_KUNIT_TEST", "STACKINIT_KUNIT_TEST", "SLUB_KUNIT_TEST",
    "SYSCTL_KUNIT_TEST", "CPUMASK_KUNIT_TEST", "TEST_SORT",
)  # fmt: skip

pytestmark = [
    pytest.mark.guest,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
    ),
]


def artifacts() -> Artifacts:
    cache = Cache.default()
    return Artifacts(cache, Catalog.open(cache, print))


def checked(folder: Path) -> Options:
    """One kernel for all that is tried on such, for its build takes minutes."""
    more = folder / "more.config"
    more.write_text("".join(f"CONFIG_{name}=m\n" for name in SUITES))
    return Options(ARCHES["x86_64"], fragments=(*FRAGMENTS, str(more)))


def verdicts(made: Artifacts, kernel, names: list[str], folder: Path) -> dict[str, tuple]:
    project = find(ROOT)
    lab = runner(project, made, LabOptions())
    runs = {one.name: lab.run(one, kernel) for one in load(project, made.catalog, names, [])}
    return {name: (run.judgement.verdict, run.judgement.reason) for name, run in runs.items()}


@pytest.mark.parametrize("arch", ["i386", "x86_64"])
def test_all_of_the_lab_passes_on_tiny(arch, tmp_path):
    made = artifacts()
    built = build(made.catalog, sources.parse("debian-source:6.1"), Options(ARCHES[arch]))
    said = verdicts(made, built.kernel, [], tmp_path)
    assert len(said) > 10
    others = {name: one for name, one in said.items() if one[0] is not Verdict.PASSED}
    assert others.pop("legacy-thread")[0] is Verdict.SKIPPED  # for kernels before 3.18 alone
    assert others == {}


def test_checkers_find_what_nothing_else_does(tmp_path):
    made = artifacts()
    built = build(made.catalog, sources.parse("debian-source:6.1"), checked(tmp_path))
    said = verdicts(made, built.kernel, ["crash-*"], tmp_path)
    others = {name: one for name, one in said.items() if one[0] is not Verdict.PASSED}
    assert set(others) <= {"crash-hard-lockup", "crash-shift"}, others
    assert {"crash-out-of-bounds", "crash-leak", "crash-lock-order"} <= set(said)


def test_debug_information_gives_lines_of_the_kernel_s_own_functions(tmp_path):
    made, project = artifacts(), find(ROOT)
    built = build(made.catalog, sources.parse("debian-source:6.1"), checked(tmp_path))
    (expanded,) = load(project, made.catalog, ["crash-list"], [])
    run = runner(project, made, LabOptions()).run(expanded, built.kernel)
    first, second = json.loads((Path(run.dir) / "verdict.json").read_text())["crash"]["frames"][:2]
    assert first["function"] == "__list_add_valid" and second["function"] == "lab_list"
    assert first["source"]["file"] == "lib/list_debug.c"
    texts = dict(map(tuple, first["source"]["around"]))
    assert "CHECK_DATA_CORRUPTION" in texts[first["source"]["line"]]
    assert [one["file"] for one in second["inlined"]] == ["include/linux/list.h"] * 2


def test_other_checkers_find_a_race_and_a_shift(tmp_path):
    made = artifacts()
    options = Options(ARCHES["x86_64"], fragments=("kcsan", "ubsan"))
    built = build(made.catalog, sources.parse("debian-source:6.1"), options)
    said = verdicts(made, built.kernel, ["data-race", "crash-shift", "zombie-detect"], tmp_path)
    assert {name: one[0] for name, one in said.items()} == dict.fromkeys(said, Verdict.PASSED)


def test_one_changed_file_compiles_little(tmp_path):
    """Of a directory, as a developer has one; its second build is seconds of work."""
    made = artifacts()
    _, original = made.catalog.linux_source("6.1")
    tree = tmp_path / "linux"
    subprocess.run(["cp", "-a", str(original), str(tree)], check=True)
    # What has the same content as an earlier test's would be taken from the cache.
    once = f"vmlab_was_here_{time.time_ns()}"
    with (tree / "kernel/fork.c").open("a") as file:
        file.write(f"\nint {once};\n")
    first = build(made.catalog, sources.parse(str(tree)), Options(ARCHES["i386"]))
    with (tree / "kernel/exit.c").open("a") as file:
        file.write(f"\nint {once}_too;\n")
    second = build(made.catalog, sources.parse(str(tree)), Options(ARCHES["i386"]))
    assert first.directory != second.directory
    log = max(
        (made.cache.root / "kernel-builds").glob("*/build.log"), key=lambda p: p.stat().st_mtime
    )
    compiled = [line for line in log.read_text().splitlines() if line.startswith("  CC ")]
    assert "  CC      kernel/exit.o" in compiled and len(compiled) < 20
