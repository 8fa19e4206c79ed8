"""What meson.build files say of modules, read without meson.

meson knows no kernel modules: projects hand them to the kernel's own build with a target of their
own, whose call names the C files and mostly the file that comes of it, NAME.ko.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmlab.init.csource import is_module

FILE = "meson.build"
_COMMENT = re.compile(r"#[^\n]*")
_STRING = re.compile(r"'((?:\\.|[^'\\\n])*)'")
_LIST = re.compile(r"^\s*(\w+)\s*\+?=\s*(?:files\s*\(|\[)([^\])]*)[\])]", re.MULTILINE)
_CALL = re.compile(r"\b(?:custom_target|shared_module|run_target|executable|library)\s*\(")
_WORD = re.compile(r"\b[a-zA-Z_]\w*\b")


@dataclass(frozen=True)
class Target:
    """A module by its name, and its C files, first the one that says MODULE_LICENSE."""

    name: str
    sources: tuple[Path, ...]


def targets(root: Path) -> list[Target]:
    """The modules of a folder's meson.build and of those below."""
    found: dict[str, Target] = {}
    for path in sorted(root.rglob(FILE)):
        if not any(part.startswith(".") for part in path.relative_to(root).parts):
            for one in _of(path):
                found.setdefault(one.name, one)
    return list(found.values())


def _of(path: Path) -> Iterator[Target]:
    text = _COMMENT.sub("", path.read_text(errors="replace"))
    lists = {name: _STRING.findall(inner) for name, inner in _LIST.findall(text)}
    for inner in _calls(text):
        words = _STRING.findall(inner)
        named = _WORD.findall(_STRING.sub("", inner))
        words += [word for name in named for word in lists.get(name, ())]
        files = [path.parent / word for word in dict.fromkeys(words) if word.endswith(".c")]
        mains = [one for one in files if one.is_file() and is_module(one)]
        if len(mains) == 1:
            made = [word.removesuffix(".ko") for word in words if word.endswith(".ko")]
            parts = [one for one in files if one not in mains and one.is_file()]
            yield Target(Path((made or words)[0]).stem, (mains[0], *parts))


def _calls(text: str) -> Iterator[str]:
    """What stands between the parentheses of each target."""
    for begun in _CALL.finditer(text):
        depth, at = 1, begun.end()
        while depth and at < len(text):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        yield text[begun.end() : at - 1]
