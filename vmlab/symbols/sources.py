"""From the names that a compiler was given for sources to files, and the lines around a place."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

AROUND = 2  # lines before and after
_LONGEST = 200  # characters of a line
_LARGEST = 8 << 20  # bytes of a file that is looked into

# Where the compiler ran, in modules of Debian's kernels before 6.13: sources that are named
# relative to it stand in the project. Of a kernel: Debian's build, of 5.10 and since.
_BUILT_IN = (
    re.compile(r"/usr/src/linux-headers-[^/]+/"),
    re.compile(r"(?:/build/[^/]+/linux-[^/]+/)?debian/build/(?:build|source)_[^/]+/"),
    re.compile(r"/build/[^/]+/linux-[^/]+/"),
)


@dataclass(frozen=True)
class Root:
    """A directory with sources; files in it are shown as `shown`/their path below it."""

    path: Path
    shown: str = ""


@dataclass(frozen=True)
class File:
    """A source file: how it is called in a report, and where it is, if it is here."""

    name: str
    path: Path | None


def find(named: str, roots: Sequence[Root]) -> File:
    """The file that a compiler called so. Nothing outside the roots is ever looked at."""
    whole = posixpath.normpath(named)
    tops = [f"{root.path.absolute()}/" for root in roots]
    below = [whole.removeprefix(top) for top in tops if whole.startswith(top)]
    # One that is not there is a module's: the compiler ran in a kernel's tree, with such a name.
    moved = [] if Path(whole).is_file() else below
    for root in roots:
        for rest in (*_rests(whole, root), *moved):
            if path := _within(root.path, rest):
                return File(posixpath.join(root.shown, rest), path)
    return File(without_build_place(whole), None)


def without_build_place(named: str) -> str:
    """A source's name without the directory that a package was built in."""
    for built_in in _BUILT_IN:
        if found := built_in.match(named):
            return named[found.end() :]
    return named


def around(path: Path | None, line: int) -> tuple[tuple[int, str], ...]:
    """The line and AROUND others on each side, with their numbers; nothing without the file."""
    content = _lines(path) if path else ()
    if not 1 <= line <= len(content):
        return ()
    first, last = max(1, line - AROUND), min(len(content), line + AROUND)
    return tuple((number, content[number - 1][:_LONGEST]) for number in range(first, last + 1))


def _rests(whole: str, root: Root) -> Iterator[str]:
    """What the name may be called below a root."""
    top = f"{root.path.absolute()}/"
    if whole.startswith(top):
        yield whole.removeprefix(top)
    yield whole.lstrip("/")
    yield without_build_place(whole).lstrip("/")
    if whole.endswith(".c"):  # a header's end may be another's, a directory with a C file not
        parts = whole.split("/")
        yield from ("/".join(parts[at:]) for at in range(1, len(parts) - 1))


def _within(root: Path, rest: str) -> Path | None:
    try:
        path = (root / rest).resolve()
        inside = path.is_relative_to(root.resolve()) and path.is_file()
    except (OSError, ValueError):
        return None
    return path if inside else None


def _lines(path: Path) -> tuple[str, ...]:
    try:
        if path.stat().st_size > _LARGEST:
            return ()
        return tuple(path.read_text(errors="replace").splitlines())
    except OSError:
        return ()
