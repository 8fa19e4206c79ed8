"""What the make of a folder's author does, read without make."""

import re
from collections.abc import Iterator
from pathlib import Path

_NAMES = ("GNUmakefile", "makefile", "Makefile")
_RULE = re.compile(
    r"^([^\s#:=.%][^:=#%]*?)\s*::?(?![:=])\s*([^=;#]*?)\s*(?:;\s*([^#]*?))?\s*(?:#.*)?$"
)
_GOAL = re.compile(r"^\s*\.DEFAULT_GOAL\s*:?=\s*(\S+)", re.MULTILINE)
_EXPORT = re.compile(r"^\s*export\s+\w", re.MULTILINE)
_MAKE = re.compile(r"^(?:\$[({]MAKE[)}]|make)\s+(.*)$")
_SAID = re.compile(r"^(?:echo\b[^>|&;`]*|:|true)$")
_PLAIN = re.compile(
    r"^(?:-C|-j\d*|--no-print-directory|modules|(?:M|SUBDIRS|V|KBUILD_VERBOSE|ARCH|CC|CROSS_COMPILE)=.*)$"
)
# What changes the machine that builds, and builds nothing.
_NEVER = re.compile(
    r"\b(?:sudo|insmod|rmmod|modprobe|depmod|modules_install|mknod|systemctl|udevadm|reboot)\b"
)


def calls_more(top: Path, folder: Path) -> Path | None:
    """The folder, this one or one above it up to the top, whose make does more than to call the
    kernel's; named from the top. None where there is none, and where it would install something."""
    for one in (folder, *folder.parents):
        lines = list(recipe(top / one))
        if any(_NEVER.search(line) for line in lines):
            return None
        if lines and not _plain(top / one, lines):
            return one
    return None


def recipe(folder: Path) -> Iterator[str]:
    """The commands of a Makefile's first target, and of what that needs, as they stand there."""
    text = _text(folder).replace("\\\n", " ")
    needs: dict[str, list[str]] = {}
    commands: dict[str, list[str]] = {}
    now: list[str] = []
    for line in text.splitlines():
        if line.startswith("\t"):
            for name in now:
                commands[name].append(line.strip())
        elif found := _RULE.match(line):
            now = found[1].split()
            for name in now:
                needs.setdefault(name, []).extend(found[2].replace("|", " ").split())
                commands.setdefault(name, []).extend(filter(None, [found[3]]))
    goal = _GOAL.search(text)
    left = [goal[1]] if goal else list(needs)[:1]
    seen: set[str] = set()
    while left:
        name = left.pop()
        if name not in seen:
            seen.add(name)
            left.extend(needs.get(name, ()))
            yield from (one.lstrip("@+- ") for one in commands.get(name, ()))


def _text(folder: Path) -> str:
    """Of the file that make reads first."""
    files = [folder / name for name in _NAMES if (folder / name).is_file()]
    return files[0].read_text(errors="replace") if files else ""


def _plain(folder: Path, lines: list[str]) -> bool:
    """Whether all that it does is to call the kernel's make for this folder."""
    if _EXPORT.search(_text(folder)):
        return False
    for line in lines:
        called = _MAKE.match(line)
        if called is None:
            if _SAID.match(line):
                continue
            return False
        words = iter(_words(called[1]))
        for word in words:
            if word == "-C":
                next(words, None)
            elif not _PLAIN.match(word):
                return False
    return True


def _words(text: str) -> list[str]:
    """A command's words; what make puts in stays whole."""
    return re.findall(r"(?:\$\([^()]*(?:\([^()]*\)[^()]*)*\)|\$\{[^{}]*\}|[^\s$]|\$)+", text)
