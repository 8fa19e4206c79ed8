"""Why kconfig dropped an option: what it depends on, read from the tree's Kconfig files."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vmlab.arch import Arch

_SOURCE = re.compile(r"[or]?r?source\s+\"?([^\"\s]+)\"?")
_ENTRY = re.compile(r"(?:config|menuconfig)\s+(\w+)\s*$")
_OPENED = re.compile(r"(menu|choice|if)\b\s*(.*)")
_CLOSED = re.compile(r"end(?:menu|choice|if)\b")
_DEPENDS = re.compile(r"(?:depends\s+on|visible\s+if)\s+(.*)")
_PROMPT = re.compile(r"(?:bool|tristate|int|hex|string|prompt|def_bool|def_tristate)\b\s*(\"?)")
_TOKEN = re.compile(r"\s*(&&|\|\||!=|=|!|\(|\)|\$\([^)]*\)|\"[^\"]*\"|[\w./-]+|[<>]=?)")
_VALUE = {"n": 0, "m": 1, "y": 2}


@dataclass
class Dependencies:
    """What each option depends on: of each of its entries all conditions."""

    entries: dict[str, list[list[str]]] = field(default_factory=dict)
    hidden: dict[str, bool] = field(default_factory=dict)  # whether no entry asks the user

    @classmethod
    def of(cls, tree: Path, arch: Arch) -> "Dependencies":
        """Reads the Kconfig files of a tree; what is not understood is passed over."""
        made = cls()
        made._file(tree, "Kconfig", _words(arch), [])
        return made

    def why(self, name: str, wanted: str, found: Mapping[str, str]) -> str:
        """One line on an option that is otherwise than it was asked for."""
        is_now = found.get(name, "not set")
        head = f"CONFIG_{name} is {is_now}, and {wanted} was asked for"
        if name not in self.entries:
            return f"{head}: this tree knows no such option"
        if wanted == "n":
            return f"{head}: another option selects it"
        lacking = [self._lacking(conditions, found) for conditions in self.entries[name]]
        if lacking and all(lacking):
            best = min(lacking, key=len)
            return f"{head}: it depends on {' and '.join(best)}"
        if self.hidden.get(name):
            return f"{head}: it cannot be chosen; other options select it"
        return f"{head}: a choice or another option decides it"

    @staticmethod
    def _lacking(conditions: list[str], found: Mapping[str, str]) -> list[str]:
        parts = [part for condition in conditions for part in _conjuncts(condition)]
        return [_told(part, found) for part in dict.fromkeys(parts) if not value(part, found)]

    def _file(self, tree: Path, name: str, words: Mapping[str, str], outer: list[str]) -> None:
        path = tree / name
        if not path.is_file():
            return
        stack: list[list[str]] = [outer]
        entry: list[str] | None = None
        current = ""
        for line in _lines(path):
            if found := _SOURCE.match(line):
                inner = _replaced(found[1], words)
                beside = line.split("source")[0].endswith("r")
                where = str(Path(name).parent / inner) if beside else inner
                self._file(tree, where, words, _flat(stack))
            elif found := _ENTRY.match(line):
                current, entry = found[1], _flat(stack)
                self.entries.setdefault(current, []).append(entry)
                self.hidden.setdefault(current, True)
            elif _CLOSED.match(line):
                stack.pop() if len(stack) > 1 else None
                entry = None
            elif found := _OPENED.match(line):
                stack.append([found[2]] if found[1] == "if" else [])
                entry = stack[-1]
                current = ""
            elif line.startswith("comment"):
                entry = []
            elif (found := _DEPENDS.match(line)) and entry is not None:
                entry.append(found[1])
            elif current and (found := _PROMPT.match(line)) and found[1]:
                self.hidden[current] = False


def value(text: str, found: Mapping[str, str]) -> int:
    """An expression's value in a configuration: 0, 1 or 2 for n, m, y."""
    tokens = [one for one in _TOKEN.findall(text.partition("#")[0])]
    return _either(tokens, found)


def _either(tokens: list[str], found: Mapping[str, str]) -> int:
    result = _both(tokens, found)
    while tokens and tokens[0] == "||":
        tokens.pop(0)
        result = max(result, _both(tokens, found))
    return result


def _both(tokens: list[str], found: Mapping[str, str]) -> int:
    result = _one(tokens, found)
    while tokens and tokens[0] == "&&":
        tokens.pop(0)
        result = min(result, _one(tokens, found))
    return result


def _one(tokens: list[str], found: Mapping[str, str]) -> int:
    if not tokens:
        return 2
    token = tokens.pop(0)
    if token == "!":
        return 2 - _one(tokens, found)
    if token == "(":
        result = _either(tokens, found)
        if tokens:
            tokens.pop(0)
        return result
    if tokens and (tokens[0] in ("=", "!=") or tokens[0][0] in "<>"):
        sign, other = tokens.pop(0), tokens.pop(0) if tokens else ""
        if sign not in ("=", "!="):
            return 2
        return 2 * ((_text(token, found) == _text(other, found)) == (sign == "="))
    if token.startswith("$("):
        return 2  # asked of the compiler; not known here
    return _VALUE.get(_text(token, found), 2)


def _text(token: str, found: Mapping[str, str]) -> str:
    if token.startswith('"') or token in _VALUE or token[0].isdigit():
        return token.strip('"')
    return found.get(token, "n").strip('"')


def _told(part: str, found: Mapping[str, str]) -> str:
    names = [one for one in _TOKEN.findall(part) if re.fullmatch(r"[A-Z]\w*", one)]
    states = ", ".join(f"{one} is {found.get(one, 'not set')}" for one in dict.fromkeys(names))
    return f"{part} ({states})"


def _conjuncts(condition: str) -> Iterator[str]:
    """The parts of an expression that are joined by && outside parentheses."""
    depth, part = 0, ""
    tokens = _TOKEN.findall(condition.partition("#")[0])
    if _joined_by_or(tokens):
        yield " ".join(tokens).replace("! ", "!").replace("( ", "(").replace(" )", ")")
        return
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "&&" and depth == 0:
            yield part
            part = ""
        else:
            tight = not part or part[-1] in "!(" or token == ")"
            part += token if tight else f" {token}"
    if part:
        yield part


def _joined_by_or(tokens: list[str]) -> bool:
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "||" and depth == 0:
            return True
    return False


def _flat(stack: list[list[str]]) -> list[str]:
    return [one for conditions in stack for one in conditions]


def _words(arch: Arch) -> dict[str, str]:
    return {"SRCARCH": "x86", "ARCH": arch.name, "HEADER_ARCH": "x86"}


def _replaced(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\$\(?(\w+)\)?", lambda found: words.get(found[1], found[0]), text)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a Kconfig file without indent, help texts left out, continued ones joined."""
    indent: int | None = None
    in_help, joined = False, ""
    for raw in path.read_text(errors="replace").splitlines():
        line = raw.expandtabs()
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if in_help:
            deep = len(line) - len(line.lstrip())
            indent = deep if indent is None else indent
            if deep >= indent and deep > 0:
                continue
            in_help = False
        if text in ("help", "---help---"):
            in_help, indent = True, None
            continue
        if text.endswith("\\"):
            joined += text[:-1] + " "
            continue
        yield joined + text
        joined = ""
