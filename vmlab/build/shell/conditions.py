"""What `[`, `test` and `[[` say."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from vmlab.build.shell.arithmetic import arithmetic
from vmlab.build.shell.errors import Refused
from vmlab.build.shell.files import Files
from vmlab.build.shell.patterns import compiled, glob

_FILES: dict[str, Callable[[Path], bool]] = {
    "-f": Path.is_file, "-d": Path.is_dir, "-e": Path.exists, "-r": Path.exists,
    "-s": lambda path: path.stat().st_size > 0, "-h": Path.is_symlink, "-L": Path.is_symlink,
    "-x": lambda path: path.is_dir() or bool(path.stat().st_mode & 0o111),
}  # fmt: skip
_NUMBERS = {"-eq": "==", "-ne": "!=", "-lt": "<", "-le": "<=", "-gt": ">", "-ge": ">="}
_AND, _OR = ("-a", "&&"), ("-o", "||")


def test(words: Sequence[str], files: Files, double: bool = False) -> bool:
    """Raises Refused for a condition that is not read here."""
    condition = _Condition(list(words), files, double)
    return condition.whole()


class _Condition:
    def __init__(self, words: list[str], files: Files, double: bool) -> None:
        self.words = words
        self.files = files
        self.double = double

    def whole(self) -> bool:
        if not self.words:
            return False
        said = " ".join(self.words)
        value = self.either()
        if self.words:
            raise Refused(f"has a condition that is not read here: {said}")
        return value

    def either(self) -> bool:
        value = self.both()
        while self.words and self.words[0] in _OR:
            self.words.pop(0)
            value = self.both() or value
        return value

    def both(self) -> bool:
        value = self.one()
        while self.words and self.words[0] in _AND:
            self.words.pop(0)
            value = self.one() and value
        return value

    def one(self) -> bool:
        if len(self.words) >= 3 and self.words[1] in (*_COMPARED, *_NUMBERS):
            left, operator, right = (self.words.pop(0) for _ in range(3))
            return self.compared(left, operator, right)
        if not self.words:
            return False
        first = self.words.pop(0)
        if first == "!" and self.words:
            return not self.one()
        if first == "(" and self.words:
            value = self.either()
            if self.words[:1] == [")"]:
                self.words.pop(0)
            return value
        if first in ("-n", "-z") and self.words:
            return bool(self.words.pop(0)) == (first == "-n")
        if first in _FILES and self.words:
            path = self.files.find(self.words.pop(0))
            return path is not None and _FILES[first](path)
        return bool(first)

    def compared(self, left: str, operator: str, right: str) -> bool:
        if operator in _NUMBERS:
            for number in (left, right):
                if not re.fullmatch(r"\s*-?\d+\s*", number):
                    return False  # a shell says that it wants a number, and goes on: not true
            return bool(arithmetic(f"{left}{_NUMBERS[operator]}{right}", lambda name: ""))
        return _COMPARED[operator](left, right, self.double)


def _same(left: str, right: str, double: bool) -> bool:
    return bool(re.fullmatch(glob(right), left)) if double else left == right


_COMPARED: dict[str, Callable[[str, str, bool], bool]] = {
    "=": _same, "==": _same,
    "!=": lambda left, right, double: not _same(left, right, double),
    "=~": lambda left, right, double: bool(compiled(right, extended=True).search(left)),
    "<": lambda left, right, double: left < right,
    ">": lambda left, right, double: left > right,
}  # fmt: skip
