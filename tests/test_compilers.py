"""Which compiler builds for which kernel, the one that is picked, and roots that hold one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vmlab.build import compilers, roots
from vmlab.errors import UsageError

GCC = shutil.which("gcc")
CLEAN = f'exec env -u GCC_EXEC_PREFIX -u COMPILER_PATH {GCC} "$@"'
LOADED = ("/usr/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/libc.so.6")


@pytest.mark.parametrize(
    ("number", "version", "fits"),
    [
        ((2, 6, 8), (3, 4, 6), True), ((2, 6, 8), (4, 1), False), ((2, 6, 8), (12,), False),
        ((2, 6, 15), (4, 1, 2), True), ((2, 6, 20), (4, 9, 2), True), ((2, 6, 20), (2, 95), False),
        ((2, 6, 32), (5, 4), False), ((2, 6, 32), (3, 4, 6), True), ((3, 17), (5,), False),
        ((3, 19, 8), (5, 4), True), ((3, 19, 8), (6,), False), ((4, 1, 52), (5, 5), True),
        ((4, 4, 155), (12,), True), ((4, 19), (4, 4), False), ((5, 10), (10, 2), True),
        ((5, 10), (4, 8), False), ((6, 1), (5, 1), True), ((6, 1), (4, 9), False),
        ((6, 16), (8, 1), True), ((7, 2), (7, 5), False),
    ],
)  # fmt: skip
def test_what_a_kernel_s_headers_take(number, version, fits):
    assert compilers.fits(version, number) == fits


def test_eras_are_in_order_and_say_why():
    assert [one.since for one in compilers.ERAS] == sorted(one.since for one in compilers.ERAS)
    assert all(one.oldest < one.newest and one.why and one.package for one in compilers.ERAS)


THERE = [((3, 4), "gcc-3.4"), ((4, 4), "gcc-4.4"), ((4, 9), "gcc-4.9"), ((10,), "gcc-10")]


@pytest.mark.parametrize(
    ("number", "exactly", "picked"),
    [
        ((2, 6, 8), (3, 4), "gcc-3.4"),  # its version magic names it
        ((2, 6, 8), (3, 3), ""),
        ((2, 6, 8), (), "gcc-3.4"),
        ((2, 6, 32), (), "gcc-4.9"),  # the newest that its headers know
        ((4, 4), (), "gcc"),  # the host's
    ],
)
def test_the_host_s_is_picked_else_the_newest_that_fits(number, exactly, picked):
    assert compilers.pick((12, 2), number, exactly, THERE) == picked


def test_of_several_the_one_that_made_the_kernel_is_picked():
    assert compilers.pick((12, 2), (2, 6, 32), (), THERE, (4, 4)) == "gcc-4.4"


def test_a_host_without_a_fitting_one_is_told_which_package_brings_it():
    assert compilers.pick((12, 2), (2, 6, 32), (), []) == ""
    told = compilers.wanted((2, 6, 32), ())
    assert (
        told.startswith("it wants gcc-4.4 (") and "squeeze" in told and "--toolchain-root" in told
    )
    assert compilers.wanted((2, 6, 8), (3, 3)).startswith("it wants gcc-3.3 (its version magic")


def test_compilers_with_a_number_are_found_on_the_search_path(tmp_path):
    for name, mode in (("gcc-4.9", 0o755), ("gcc-10", 0o755), ("gcc-ar-12", 0o755), ("gcc-3", 0)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    found = dict(compilers.here(f"{tmp_path}:{tmp_path}/none"))
    assert found[4, 9] == "gcc-4.9" and found[10,] == "gcc-10"
    assert "gcc-ar-12" not in found.values()


def root(folder: Path, *names: str, script: str = f'exec {GCC} "$@"') -> Path:
    (folder / "usr/bin").mkdir(parents=True)
    for name in names:
        (folder / "usr/bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / "usr/bin" / name).chmod(0o755)
    return folder


def test_of_a_root_s_compilers_the_one_that_fits_comes_first(tmp_path):
    place = root(tmp_path / "root", "gcc-3.4", "gcc-4.4", "gcc-12", "i486-linux-gnu-gcc-4.1")
    names = [path.name for path in roots.found(place, "", (2, 6, 32), ())]
    assert names == ["gcc-4.4", "gcc-3.4", "gcc-12"]
    assert roots.found(place, "", (2, 6, 8), (3, 4))[0].name == "gcc-3.4"
    (crossed,) = roots.found(place, "i486-linux-gnu-", (2, 6, 32), ())
    assert crossed.name == "i486-linux-gnu-gcc-4.1"


def test_a_root_s_compiler_is_run_with_its_own_parts(tmp_path):
    place = root(tmp_path / "root", "gcc-3.4", script=f"env > {tmp_path}/env; {CLEAN}")
    (place / "usr/lib/gcc/x86_64-linux-gnu/3.4.6").mkdir(parents=True)
    way = roots.script(place, "", (2, 6, 8), (3, 4))
    assert f"exec {place}/usr/bin/gcc-3.4" in way
    told = (tmp_path / "env").read_text()
    assert f"COMPILER_PATH={place}/usr/lib/gcc/x86_64-linux-gnu/3.4.6" in told


def test_what_does_not_run_on_the_host_gets_its_own_directories(tmp_path):
    """A compiler whose interpreter only its root has: it runs where that lies over the host's."""
    if not shutil.which("bwrap"):
        pytest.skip("bwrap is not here")
    place = root(tmp_path / "root", "gcc-4.4")
    for path in map(Path, LOADED):
        target = place / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    shutil.copy("/bin/sh", place / "usr/bin/own-sh")
    (place / "usr/bin/gcc-4.4").write_text("#!/usr/bin/own-sh\necho ran in $PWD\n")
    way = roots.script(place, "", (2, 6, 32), ())
    assert f"--ro-bind {place}/usr /usr" in way
    done = subprocess.run(["sh", "-c", way], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == f"ran in {tmp_path}\n"
    (place / "usr/bin/own-sh").unlink()
    with pytest.raises(UsageError, match=r"does not run on this.*\n.*gcc-4\.4(.*\n)+Unpack there"):
        roots.script(place, "", (2, 6, 32), ())


def test_a_root_without_a_compiler_says_which_package_it_wants(tmp_path):
    with pytest.raises(UsageError, match=r"holds no gcc in usr/bin.*it wants gcc-4\.4"):
        roots.script(tmp_path, "", (2, 6, 32), ())
