"""Kernels that are really built: tiny, of Debian's source, and what scenarios say on them."""

import shutil
import subprocess
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
    options = Options(ARCHES["x86_64"], fragments=("kasan", "kmemleak", "lockdep", "ubsan"))
    built = build(made.catalog, sources.parse("debian-source:6.1"), options)
    said = verdicts(made, built.kernel, ["crash-*"], tmp_path)
    others = {name: one for name, one in said.items() if one[0] is not Verdict.PASSED}
    assert set(others) <= {"crash-hard-lockup"}, others
    assert {"crash-out-of-bounds", "crash-leak", "crash-lock-order", "crash-shift"} <= set(said)


def test_one_changed_file_compiles_little(tmp_path):
    """Of a directory, as a developer has one; its second build is seconds of work."""
    made = artifacts()
    _, original = made.catalog.linux_source("6.1")
    tree = tmp_path / "linux"
    subprocess.run(["cp", "-a", str(original), str(tree)], check=True)
    first = build(made.catalog, sources.parse(str(tree)), Options(ARCHES["i386"]))
    with (tree / "kernel/exit.c").open("a") as file:
        file.write("\nint vmlab_was_here;\n")
    second = build(made.catalog, sources.parse(str(tree)), Options(ARCHES["i386"]))
    assert first.directory != second.directory
    log = max(
        (made.cache.root / "kernel-builds").glob("*/build.log"), key=lambda p: p.stat().st_mtime
    )
    compiled = [line for line in log.read_text().splitlines() if line.startswith("  CC ")]
    assert "  CC      kernel/exit.o" in compiled and len(compiled) < 20
