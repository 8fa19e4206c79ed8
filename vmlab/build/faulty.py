"""Whose fault a failed build of several modules is, so that the others are built without them."""

import re
from collections.abc import Sequence
from pathlib import Path

from vmlab.build.makefile import FILES, Made

_FAILED = re.compile(r"\*\*\* \[(?:\S+: )?([^\s\]]+)\.o\] Error")
_ERROR = re.compile(r": (?:fatal )?error: ")
_MODPOST = re.compile(r"(?:ERROR|error): modpost: ")
_PATH = re.compile(r"[\w./-]+")
_LACKING = re.compile(r"^(\S+?):\d+(?::\d+)?: fatal error: (\S+): No such file", re.MULTILINE)
_LINES = 12  # of what is told of a module


def modules(said: Sequence[str], built: Sequence[Made]) -> dict[str, str]:
    """The modules that a build failed for, each with what was said of it.

    `said` are the build's lines, with paths from the folder. Empty where they name no module.
    """
    found: dict[str, str] = {}
    for line in said:
        if failed := _FAILED.search(line):
            for one in built:
                if _is_of(failed[1], one):
                    found.setdefault(one.name, _told(said, failed[1]))
        elif _MODPOST.search(line):
            words = {Path(word).name.partition(".")[0] for word in _PATH.findall(line)}
            for one in built:
                if one.name in words:
                    found[one.name] = "\n".join([*found.get(one.name, "").splitlines(), line])
    return found


def _is_of(name: str, module: Made) -> bool:
    sources = {str(path.with_suffix("")) for path in module.sources}
    return name in sources or name == str(module.folder / module.name)


def _told(said: Sequence[str], name: str) -> str:
    """The lines from the first that has a source file's name, to make's own of it; without such a
    one, for the error is in a header, from the first error since make's last."""
    failed = {at: one[1] for at, line in enumerate(said) if (one := _FAILED.search(line))}
    own = next((at for at, one in failed.items() if one == name), len(said))
    first = next((at for at, line in enumerate(said[:own]) if line.startswith(f"{name}.")), None)
    if first is None:
        since = max((at + 1 for at in failed if at < own), default=0)
        errors = (at for at in range(since, own) if _ERROR.search(said[at]))
        first = max(since, next(errors, own) - 1)
    told = said[first : first + _LINES]
    last = next((at for at, line in enumerate(told) if _FAILED.search(line)), _LINES)
    return "\n".join(told[: last + 1])


def leave_out(root: Path, module: Made) -> None:
    """From now on a folder's Kbuild file makes all but this module."""
    folder = root / module.folder
    path = next(folder / name for name in FILES if (folder / name).is_file())
    with path.open("a") as file:
        for kind in ("obj-m", "obj-y"):
            file.write(f"\n{kind} := $(filter-out {module.name}.o,$({kind}))\n")


def to_make(said: str, root: Path) -> tuple[Path, str] | None:
    """A header that the compiler does not find, and that a Makefile has a rule for: where, which.

    The author's own make would have made it first.
    """
    for source, name in _LACKING.findall(said):
        for folder in (root / source).parents:
            if folder.is_relative_to(root) and _has_rule(folder / "Makefile", name):
                return folder, name
    return None


def _has_rule(makefile: Path, name: str) -> bool:
    text = makefile.read_text(errors="replace") if makefile.is_file() else ""
    rule = rf"^(?:[^\s:#=]+[ ])*{re.escape(name)}(?:[ ][^\s:#=]+)*[ ]*:(?![=:])"
    return bool(re.search(rule, text, re.MULTILINE))
