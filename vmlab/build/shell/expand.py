"""Words into text: quotes, variables, sums, and what a command prints."""

import re
from collections.abc import Callable
from typing import Protocol

from vmlab.build.shell.arithmetic import arithmetic
from vmlab.build.shell.errors import Refused
from vmlab.build.shell.patterns import glob
from vmlab.build.shell.scan import closing, skip

_NAME = re.compile(r"[A-Za-z_]\w*|[?#@*0-9]")
_PARAMETER = re.compile(
    r"(#?)([A-Za-z_]\w*|[0-9@#*])(?:\[([^]]*)\])?(:?[-+=?]|##?|%%?|//?|$)(.*)", re.DOTALL
)
EACH = re.compile(r'"\$\{(!?)([A-Za-z_]\w*)\[@\]\}"')
"""A word that is each element of an array, or each of its numbers."""
_NUMBERS = re.compile(r"!([A-Za-z_]\w*)\[[@*]\]")
_IN_DOUBLE = '$`"\\'
Piece = tuple[str, bool]  # text, and whether blanks in it part words


class Variables(Protocol):
    """What an expansion asks of a shell."""

    def value(self, name: str, index: str | None = None) -> str | None: ...

    def array(self, name: str) -> dict[int, str]: ...

    def printed(self, text: str) -> str: ...


def text(raw: str, shell: Variables) -> str:
    """A word as one text, as in an assignment."""
    return "".join(piece for piece, _ in _pieces(raw, shell, False))


def fields(raw: str, shell: Variables) -> list[str]:
    """A word of a command: what is expanded outside quotes is parted at blanks."""
    if each := EACH.fullmatch(raw):
        array = shell.array(each[2])
        return [str(one) for one in array] if each[1] else list(array.values())
    made: list[str] = []
    current: str | None = "" if re.search(r"""['"]""", raw) else None
    for piece, parts in _pieces(raw, shell, False):
        if not parts:
            current = (current or "") + piece
            continue
        words = piece.split()
        if piece[:1].isspace() and current:
            made.append(current)
            current = None
        for number, word in enumerate(words):
            if number:
                made.append(current or "")
                current = None
            current = (current or "") + word
        if words and piece[-1:].isspace():
            made.append(current or "")
            current = None
    return made if current is None else [*made, current]


def _pieces(raw: str, shell: Variables, quoted: bool) -> list[Piece]:
    made: list[Piece] = []
    at = 0
    while at < len(raw):
        end = skip(raw, at, 0) if not (quoted and raw[at] in "'\"") else at + 1
        part = raw[at:end]
        if part[0] == "\\":
            made.append((_escaped(part[1:], quoted), False))
        elif part[0] == "'" and not quoted:
            made.append((part[1:-1], False))
        elif part[0] == '"' and not quoted:
            made += [(one, False) for one, _ in _pieces(part[1:-1], shell, True)]
        elif part[0] == "`":
            made.append((shell.printed(part[1:-1]), not quoted))
        elif part[0] == "$":
            value, end = _dollar(raw, at, shell)
            made.append((value, not quoted and value != "$"))
        else:
            made.append((part, False))
        at = end
    return made


def _escaped(character: str, quoted: bool) -> str:
    if character == "\n":
        return ""
    return f"\\{character}" if quoted and character not in _IN_DOUBLE else character


def _dollar(raw: str, at: int, shell: Variables) -> tuple[str, int]:
    """What the expansion here gives, and where it ends."""
    if raw.startswith("$((", at):
        end = closing(raw, at + 1, 0)
        return str(arithmetic(raw[at + 3 : end - 2], lambda name: shell.value(name) or "")), end
    if raw.startswith("$(", at):
        end = closing(raw, at + 1, 0)
        return shell.printed(raw[at + 2 : end - 1]), end
    if raw.startswith("${", at):
        end = closing(raw, at + 1, 0)
        return _parameter(raw[at + 2 : end - 1], shell), end
    if found := _NAME.match(raw, at + 1):
        return shell.value(found[0]) or "", found.end()
    return "$", at + 1


def _parameter(inner: str, shell: Variables) -> str:
    if numbers := _NUMBERS.fullmatch(inner):
        return " ".join(map(str, shell.array(numbers[1])))
    found = _PARAMETER.fullmatch(inner)
    if not found:
        raise Refused(f"has an expansion that is not read here: ${{{inner}}}")
    length, name, index, operator, rest = found.groups()
    value = shell.value(name, index)
    if length:
        return str(len((value or "").split() if index in ("@", "*") else value or ""))
    if operator == "":
        return value or ""
    return _OPERATORS[operator.lstrip(":")](value, rest, shell, operator.startswith(":"))


def _default(value: str | None, rest: str, shell: Variables, empty_too: bool) -> str:
    return text(rest, shell) if value is None or (empty_too and not value) else value


def _instead(value: str | None, rest: str, shell: Variables, empty_too: bool) -> str:
    return "" if value is None or (empty_too and not value) else text(rest, shell)


def _cut(shortest: bool, front: bool) -> Callable[[str | None, str, Variables, bool], str]:
    def cut(value: str | None, rest: str, shell: Variables, empty_too: bool) -> str:
        whole = value or ""
        pattern = re.compile(glob(text(rest, shell)))
        lengths = range(len(whole) + 1) if shortest else range(len(whole), -1, -1)
        for length in lengths:
            part = whole[:length] if front else whole[len(whole) - length :]
            if pattern.fullmatch(part):
                return whole[length:] if front else whole[: len(whole) - length]
        return whole

    return cut


def _replace(count: int) -> Callable[[str | None, str, Variables, bool], str]:
    def replace(value: str | None, rest: str, shell: Variables, empty_too: bool) -> str:
        pattern, _, new = rest.partition("/")
        made = text(new, shell)
        inner = glob(text(pattern, shell))
        return re.sub(inner, lambda found: made, value or "", count=count)

    return replace


_OPERATORS: dict[str, Callable[[str | None, str, Variables, bool], str]] = {
    "-": _default, "=": _default, "?": _default, "+": _instead,
    "#": _cut(True, True), "##": _cut(False, True),
    "%": _cut(True, False), "%%": _cut(False, False), "/": _replace(1), "//": _replace(0),
}  # fmt: skip
