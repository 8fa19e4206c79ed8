"""More commands that only look: at lists of files, and at the machine."""

import fnmatch
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.build.shell.arithmetic import arithmetic
from vmlab.build.shell.errors import Refused

if TYPE_CHECKING:
    from vmlab.build.shell.commands import Done, Given

_KINDS: Mapping[str, Callable[[Path], bool]] = {"d": Path.is_dir, "f": Path.is_file}
_BITS = {"x86_64": "64"}  # by uname's machine; of others 32
_PACKAGED = {"x86_64": "amd64"}  # Debian's word for it; of others i386


def _machine(given: "Given") -> str:
    return given.uname.get("-m", "")


def _nproc(given: "Given") -> "Done":
    return 0, f"{os.cpu_count() or 1}\n"


def _getconf(given: "Given") -> "Done":
    if list(given.words) != ["LONG_BIT"]:
        raise Refused(f"runs getconf {' '.join(given.words)}, which is not known here")
    return 0, _BITS.get(_machine(given), "32") + "\n"


def _dpkg(given: "Given") -> "Done":
    if list(given.words) != ["--print-architecture"]:
        raise Refused(f"runs dpkg {' '.join(given.words)}, which is not known here")
    return 0, _PACKAGED.get(_machine(given), "i386") + "\n"


def _readlink(given: "Given") -> "Done":
    """Paths are known by their names here: no link is followed."""
    names = given.options("fem")[1]
    return int(not names), "".join(f"{os.path.normpath(one)}\n" for one in names)


def _ls(given: "Given") -> "Done":
    names = given.options("1adv")[1] or ["."]
    lines, status = [], 0
    for name in names:
        path = given.files.find(name)
        if path is None:
            status = 2
        elif path.is_dir():
            lines += sorted(one.name for one in path.iterdir() if not one.name.startswith("."))
        else:
            lines.append(name)
    return status, "".join(f"{line}\n" for line in lines)


def _find(given: "Given") -> "Done":
    """Where something is not to be seen nothing is found, as on a machine that has it not."""
    words = list(given.words)
    places = []
    while words and not words[0].startswith("-"):
        places.append(words.pop(0))
    wanted = _wanted(words)
    lines, status = [], 0
    for place in places or ["."]:
        path = given.files.find(place)
        if path is None:
            status = 1
            continue
        for one in (path, *sorted(path.rglob("*"))):
            deep = one.relative_to(path)
            if all(accepts(one, len(deep.parts)) for accepts in wanted):
                lines.append(place if one == path else f"{place}/{deep}")
    return status, "".join(f"{line}\n" for line in lines)


_Accepts = Callable[[Path, int], bool]
_TESTS: Mapping[str, Callable[[str], _Accepts]] = {
    "-maxdepth": lambda text: lambda path, deep: deep <= int(text),
    "-mindepth": lambda text: lambda path, deep: deep >= int(text),
    "-name": lambda text: lambda path, deep: fnmatch.fnmatchcase(path.name, text),
    "-type": lambda text: lambda path, deep: text in _KINDS and _KINDS[text](path),
}


def _wanted(words: list[str]) -> list[_Accepts]:
    found = []
    while words:
        test = words.pop(0)
        if test in ("-print", "-follow"):
            continue
        if test not in _TESTS or not words:
            raise Refused(f"runs find {test}, which is not known here")
        found.append(_TESTS[test](words.pop(0)))
    return found


def _wc(given: "Given") -> "Done":
    on, names = given.options("lwc")
    text = given.text(names)
    if text is None or len(on) != 1:
        return 1, ""
    sizes = {"l": text.count("\n"), "w": len(text.split()), "c": len(text.encode())}
    return 0, f"{sizes[next(iter(on))]}\n"


def _awk(given: "Given") -> "Done":
    """One field of each line, or of those that match: `{print $2}`, `/x/ {print $NF}`."""
    words = list(given.words)
    mark = None
    if words and words[0].startswith("-F"):
        mark = words.pop(0)[2:] or words.pop(0)
    program = (words or [""])[0].strip()
    known = re.fullmatch(r"(?:/([^/]*)/\s*)?\{\s*print(?:\s+\$(\d+|NF))?\s*;?\s*\}", program)
    text = given.text(words[1:])
    if not known:
        raise Refused(f"runs awk with more than one print: {program}")
    if text is None:
        return 2, ""
    pattern, field = re.compile(known[1] or ""), known[2] or "0"
    lines = [line for line in text.splitlines() if pattern.search(line)]
    return 0, "".join(f"{_field(line, mark, field)}\n" for line in lines)


def _field(line: str, mark: str | None, field: str) -> str:
    if field == "0":
        return line
    parts = line.split(mark)
    at = len(parts) if field == "NF" else int(field)
    return parts[at - 1] if at <= len(parts) else ""


def _expr(given: "Given") -> "Done":
    words = list(given.words)
    if len(words) == 3 and words[1] == ":":
        found = re.match(words[2].replace("\\(", "(").replace("\\)", ")"), words[0])
        said = (found[1] if found and found.groups() else str(len(found[0]))) if found else ""
        return int(not said), f"{said}\n"
    if not words or any(not re.fullmatch(r"-?\d+|[-+*/%<>=!&|()]+", word) for word in words):
        raise Refused(f"runs expr {' '.join(words)}, which is not known here")
    value = arithmetic(" ".join("==" if word == "=" else word for word in words), lambda name: "0")
    return int(not value), f"{value}\n"


LOOKERS: Mapping[str, Callable[["Given"], "Done"]] = {
    "nproc": _nproc, "getconf": _getconf, "dpkg": _dpkg, "readlink": _readlink,
    "realpath": _readlink, "ls": _ls, "find": _find, "wc": _wc, "awk": _awk, "gawk": _awk,
    "mawk": _awk, "expr": _expr,
}  # fmt: skip
