"""Which compilers can build a kernel's modules, and the one of them that is here."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.build.eras import Number

NEWEST = (99,)
_NAME = re.compile(r"gcc(?:-(\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Era:
    """Kernels from a release on, until the next era's, and the gcc that they know."""

    since: Number
    oldest: Number
    newest: Number
    package: str  # Debian's, of the newest that is sure to do
    release: str  # of Debian, that had it
    why: str


ERAS = (
    Era((2, 6), (2, 95), (3, 4), "gcc-3.4", "etch",
        "gcc 4 refuses casts as lvalues, and static after extern"),
    Era((2, 6, 12), (2, 95), (4, 99), "gcc-4.1", "etch",
        "include/linux/compiler.h knows compiler-gcc2.h to compiler-gcc4.h, and no other"),
    Era((2, 6, 16), (3, 2), (4, 99), "gcc-4.4", "squeeze",
        "compiler-gcc2.h is gone; include/linux/compiler.h knows compiler-gcc3.h and -gcc4.h"),
    Era((3, 18), (3, 2), (5, 99), "gcc-4.9", "jessie", "compiler-gcc5.h was added"),
    Era((4, 2), (3, 2), NEWEST, "gcc-6", "stretch",
        "include/linux/compiler-gcc.h is one for all: no compiler is too new for it"),
    Era((4, 19), (4, 6), NEWEST, "gcc-8", "buster", "include/linux/compiler-gcc.h: 4.6 at least"),
    Era((5, 8), (4, 8), NEWEST, "gcc-10", "bullseye", "include/linux/compiler-gcc.h: 4.8 at least"),
    Era((5, 9), (4, 9), NEWEST, "gcc-10", "bullseye", "include/linux/compiler-gcc.h: 4.9 at least"),
    Era((5, 15), (5, 1), NEWEST, "gcc-12", "bookworm", "scripts/min-tool-version.sh: 5.1 at least"),
    Era((6, 16), (8, 1), NEWEST, "gcc-12", "bookworm", "scripts/min-tool-version.sh: 8.1 at least"),
)  # fmt: skip
"""What the kernels' own headers and scripts refuse, and where they say so."""


def era(number: Number) -> Era:
    """The era of a release."""
    held = [one for one in ERAS if number >= one.since]
    return held[-1] if held else ERAS[0]


def fits(version: Number, number: Number, exactly: Number = ()) -> bool:
    """Whether a gcc can build for a release; `exactly` is the version that it must be."""
    if exactly:
        return version[: len(exactly)] == exactly
    known = era(number)
    return known.oldest <= version and version[:2] <= known.newest


def here(path: str | None = None) -> Iterator[tuple[Number, str]]:
    """The numbered gcc of the search path, each once, with the version in its name."""
    seen = set()
    for folder in (path if path is not None else os.environ.get("PATH", "")).split(os.pathsep):
        for file in sorted(Path(folder or ".").glob("gcc-*")):
            named = _NAME.fullmatch(file.name)
            if named and named[1] and file.name not in seen and os.access(file, os.X_OK):
                seen.add(file.name)
                yield numbers(named[1]), file.name


def pick(
    host: Number,
    number: Number,
    exactly: Number,
    there: Sequence[tuple[Number, str]],
    made_by: Number = (),
) -> str:
    """The host's gcc where that fits, else the one of the version that the kernel was made by, else
    the newest that fits; empty where none does."""
    if fits(host, number, exactly):
        return "gcc"
    fitting = [one for one in there if fits(_whole(one[0], exactly), number, exactly)]
    best = max(fitting, key=lambda one: (one[0] == made_by, one[0]), default=((), ""))
    return best[1]


def wanted(number: Number, exactly: Number) -> str:
    """Which package brings a compiler that fits, in words."""
    known = era(number)
    package = f"gcc-{'.'.join(map(str, exactly))}" if exactly else known.package
    why = "its version magic names it" if exactly else known.why
    return (
        f"it wants {package} ({why}); install that package where your Debian has it, else unpack "
        f"it and what it depends on (Debian {known.release} had it) into a directory for "
        "--toolchain-root, or name a compiler with --cc or --cross-compile"
    )


def numbers(version: str) -> Number:
    """(3, 4, 6) of `3.4.6`."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _whole(version: Number, exactly: Number) -> Number:
    """A name gives fewer numbers than a version since gcc 5: gcc-12 is 12 of whatever."""
    return version if len(version) >= len(exactly) else (*version, *exactly[len(version) :])
