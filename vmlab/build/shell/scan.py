"""Shell text into tokens; a word keeps its quotes and its `$`, to be expanded when it is used."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmlab.build.shell.errors import Refused

_OPERATOR = re.compile(r"&&|\|\||;;|[;|&()\n]")
_REDIRECT = re.compile(r"(?:\d*(?:>>|>&|<&|<<<|<<-?|>\||>|<)|&>>?)")
_BLANK = " \t\r"
_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=$")


@dataclass(frozen=True)
class Token:
    """`kind` is word, array, operator or redirect."""

    kind: str
    text: str
    line: int
    items: tuple[str, ...] = ()  # an array's


def tokens(text: str) -> list[Token]:
    """Raises Refused for a quote or bracket that is not closed."""
    return list(_tokens(text))


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        start, begun = at, line
        if text[at] in _BLANK:
            at += 1
        elif text.startswith("\\\n", at):
            at += 2
        elif text[at] == "#":
            at = _until(text, at, "\n")
        elif found := _REDIRECT.match(text, at):
            at = found.end()
            yield Token("redirect", found[0], begun)
        elif found := _OPERATOR.match(text, at):
            at = found.end()
            yield Token("operator", found[0], begun)
        else:
            at = word_end(text, at, begun)
            raw = text[start:at]
            if _ARRAY.match(raw) and text.startswith("(", at):
                at = closing(text, at, begun)
                inner = tokens(text[start + len(raw) + 1 : at - 1])
                items = tuple(one.text for one in inner if one.kind == "word")
                yield Token("array", raw, begun, items)
            else:
                yield Token("word", raw, begun)
        line += text.count("\n", start, at)


def _until(text: str, at: int, end: str) -> int:
    found = text.find(end, at)
    return len(text) if found < 0 else found


def word_end(text: str, at: int, line: int) -> int:
    """Where the word that begins here ends."""
    while at < len(text) and text[at] not in " \t\r\n;|&()<>":
        at = skip(text, at, line)
    return at


def skip(text: str, at: int, line: int) -> int:
    """The place after one character, or after all that a quote or an expansion holds together."""
    if text[at] == "\\":
        return min(at + 2, len(text))
    if text[at] == "'":
        return _closed(text, at + 1, "'", line)
    if text[at] == '"':
        return _double(text, at + 1, line)
    if text[at] == "`":
        return _closed(text, at + 1, "`", line)
    if text.startswith("$(", at) or text.startswith("${", at):
        return closing(text, at + 1, line)
    return at + 1


def _closed(text: str, at: int, quote: str, line: int) -> int:
    found = text.find(quote, at)
    if found < 0:
        raise Refused(f"a {quote} is not closed", line)
    return found + 1


def _double(text: str, at: int, line: int) -> int:
    while at < len(text) and text[at] != '"':
        at = at + 1 if text[at] == "'" else skip(text, at, line)
    if at >= len(text):
        raise Refused('a " is not closed', line)
    return at + 1


def closing(text: str, at: int, line: int) -> int:
    """The place after the bracket that closes the one here."""
    opening = text[at]
    end = {"(": ")", "{": "}"}[opening]
    depth = 0
    while at < len(text):
        depth += (text[at] == opening) - (text[at] == end)
        at = skip(text, at, line)
        if depth == 0:
            return at
    raise Refused(f"a {opening} is not closed", line)
