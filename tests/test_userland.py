"""The programs of the tiny image besides the agent."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from vmlab import artifacts
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.build import busybox, procps
from vmlab.build.musl import CompileError, Toolchain
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.images import tiny

ROOT = Path(__file__).parent.parent
NOWHERE = Toolchain(ARCHES["i386"], (), Path("/nowhere"), "")


def names(archive: bytes) -> list[str]:
    """The paths in a newc archive, in order: 110 bytes of header, each part padded to four."""
    found, at = [], 0
    while True:
        size, length = (int(archive[at + place : at + place + 8], 16) for place in (54, 94))
        name = archive[at + 110 : at + 110 + length - 1].decode()
        if name == "TRAILER!!!":
            return found
        found.append(name)
        at += (110 + length + 3 & ~3) + (size + 3 & ~3)


def test_the_recipe_beside_the_project_is_the_one_that_travels():
    assert (ROOT / "images" / "tiny.yaml").read_bytes() == tiny.default_recipe().read_bytes()


def test_a_program_of_its_own_stands_in_the_place_of_an_applet():
    recipe = tiny.read_recipe(tiny.default_recipe())
    archive = tiny.initramfs(recipe, b"a", {"busybox": b"b", "ps": b"p"}, ["busybox", "ls", "ps"])
    in_bin = [name for name in names(archive) if name.startswith("bin/")]
    assert sorted(in_bin) == ["bin/busybox", "bin/ls", "bin/ps"]


def test_config_takes_the_package_s_names_from_its_configure(tmp_path):
    text = "PACKAGE_NAME='procps-ng'\nPACKAGE_VERSION='9.8'\nPACKAGE_STRING=\nPREFIX='/usr'\n"
    (tmp_path / "configure").write_text(text)
    lines = procps.config(tmp_path).splitlines()
    assert lines[-2:] == [
        '#define PACKAGE_NAME "procps-ng"',
        '#define PACKAGE_VERSION "9.8"',
    ]
    assert len(lines) == len(procps.FACTS) + 2


def test_another_source_is_refused_before_gcc_sees_it(tmp_path):
    with pytest.raises(CompileError, match=r"compiling ps for i386:\n.*is not procps's source"):
        procps.build(tmp_path, NOWHERE, tmp_path)


@pytest.mark.guest  # needs the archive or what is kept of it
@pytest.mark.parametrize("arch", ARCHES.values(), ids=lambda arch: arch.name)
def test_ps_has_the_same_bytes_wherever_it_is_built_and_writes_defunct(arch, tmp_path):
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default()))
    kept = artifacts.ps(arch)
    source, out = tmp_path / "elsewhere", tmp_path / "out"
    shutil.copytree(artifacts.catalog.source("procps"), source)
    out.mkdir()
    again = procps.build(source, artifacts.toolchain(arch), out)
    assert again.read_bytes() == kept.read_bytes()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    said = subprocess.run([again, "-o", "stat=,args=", "-p", str(child)], capture_output=True)
    os.waitpid(child, 0)
    assert said.stdout.startswith(b"Z") and said.stdout.endswith(b"<defunct>\n"), said


def test_a_long_build_says_how_far_it_is(tmp_path, monkeypatch):
    said, enough = [], threading.Event()

    def say(line):
        said.append(line)
        if "objects" in line:
            enough.set()

    def build(source, toolchain, on, off, work):
        (work / "libbb").mkdir()
        for name in ("a.o", "a.c", "libbb/b.o"):
            (work / name).touch()
        assert enough.wait(10), "nothing was said"
        return shutil.copy("/bin/true", work / "busybox") and work / "busybox"

    monkeypatch.setattr(artifacts, "_EVERY", 0.01)
    monkeypatch.setattr(busybox, "build", build)
    monkeypatch.setattr(Catalog, "source", lambda self, name: tmp_path)
    monkeypatch.setattr(Artifacts, "toolchain", lambda self, arch: NOWHERE)
    cache = Cache(tmp_path / "cache")
    recipe = tiny.read_recipe(tiny.default_recipe())
    made = Artifacts(cache, Catalog.open(cache, say)).busybox(ARCHES["i386"], recipe)
    assert said[0] == "building busybox for i386 (once; it is kept)"
    assert said[1] == "building busybox for i386: 2 objects so far"
    kept = sorted(path.name for path in made.parent.iterdir())
    assert kept == ["applets", "busybox"], "what only the build needed is not"
