"""A compiler that stands in a root directory of its own, as its distribution's packages unpack."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vmlab.build import compilers
from vmlab.build.environment import environment
from vmlab.build.eras import Number
from vmlab.errors import UsageError

_GCC = re.compile(r"(?:.*-)?gcc(?:-(\d+(?:\.\d+)*))?")
_PLACES = ("usr/bin", "bin", "usr/local/bin")
_OVER = ("usr", "lib", "lib32", "lib64", "libx32", "bin")  # what a root puts over the host's own


def script(root: Path, prefix: str, number: Number, exactly: Number) -> str:
    """A shell script that runs the root's compiler here, with its arguments.

    The first way that compiles an empty file counts. Raises UsageError where there is no compiler
    in it, or none of the ways works.
    """
    root = root.resolve()
    tried = []
    for gcc in found(root, prefix, number, exactly):
        for way in (_plain(root, gcc), _over(root, gcc)):
            said = _fails(way)
            if not said:
                return way
            tried.append(f"  {gcc}: {said}")
    if tried:
        raise UsageError(
            f"{root}: its compiler does not run on this machine, by the host's loader or with the "
            "root's own directories over the host's (bwrap):\n"
            + "\n".join(tried)
            + "\nUnpack there what its package depends on too: the cpp package of its version "
            "holds cc1, libc6 the loader"
        )
    wants = compilers.wanted(number, exactly)
    raise UsageError(f"{root} holds no {prefix}gcc in {', '.join(_PLACES)}; {wants}")


def found(root: Path, prefix: str, number: Number, exactly: Number) -> list[Path]:
    """The compilers in a root, those that fit the kernel first, then the newest."""
    names = [path for place in _PLACES for path in sorted((root / place).glob(f"{prefix}gcc*"))]
    known = [(named, path) for path in names if (named := _GCC.fullmatch(path.name))]

    def rank(one: tuple["re.Match[str]", Path]) -> tuple[bool, Number]:
        version = compilers.numbers(one[0][1] or "")
        return bool(version) and compilers.fits(version, number, exactly), version

    return [path for _, path in sorted(known, key=rank, reverse=True)]


def _plain(root: Path, gcc: Path) -> str:
    """Its own parts are found by where it stands; loader, assembler and linker are the host's."""
    inner = sorted((root / "usr/lib/gcc").glob("*/*")) or sorted(
        (root / "usr/lib/gcc-lib").glob("*/*")
    )
    parts = ":".join(str(path) for path in inner)
    lines = [
        f"GCC_EXEC_PREFIX={shlex.quote(f'{root}/usr/lib/gcc/')}",
        f"COMPILER_PATH={shlex.quote(parts)}",
    ]
    return f'#!/bin/sh\nexport {" ".join(lines)}\nexec {shlex.quote(str(gcc))} "$@"\n'


def _over(root: Path, gcc: Path) -> str:
    """The root's directories over the host's: its own loader, libraries, assembler and linker."""
    words = ["bwrap", "--dev-bind", "/", "/"]
    for name in _over_names(root):
        words += ["--ro-bind", str(root / name), f"/{name}"]
    inside = f"/{gcc.relative_to(root)}"
    return f'#!/bin/sh\nexec {shlex.join(words)} --chdir "$PWD" {shlex.quote(inside)} "$@"\n'


def _over_names(root: Path) -> Iterator[str]:
    for name in _OVER:
        here = Path("/") / name
        if (root / name).is_dir() and not (root / name).is_symlink() and not here.is_symlink():
            yield name


def _fails(way: str) -> str:
    """What goes wrong with it, in its last line; nothing where it compiles."""
    command = ["sh", "-c", way, "gcc", "-xc", "-c", os.devnull, "-o", os.devnull]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if not done.returncode:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"status {done.returncode}"
