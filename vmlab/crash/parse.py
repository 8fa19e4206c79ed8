"""From a console's text to its crash reports."""

import re
from collections.abc import Iterator

from vmlab.crash.kinds import ANY, ANY_LOUD, KINDS, LOUD, Kind
from vmlab.crash.model import Crash

_STAMP = r"\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? ?"
_BEFORE = re.compile(rf"[^\x20-\x7e]*(?:<\d+>)?(?:{_STAMP})?")
_LATE_STAMP = re.compile(rf".{{1,200}}?{_STAMP}")  # a line that was not ended stands before it
_LONGEST = 1000  # characters of a line that are looked at


def find(console: str) -> Crash | None:
    """The first crash report, None where there is none."""
    return next(_crashes(console), None)


def parse(console: str) -> list[Crash]:
    """All crash reports, in the order of their first lines."""
    return list(_crashes(console))


def _crashes(console: str) -> Iterator[Crash]:
    for number, line in enumerate(console.split("\n"), start=1):
        if crash := _crash(line, number):
            yield crash


def _crash(line: str, number: int) -> Crash | None:
    for text in _messages(line):
        if ANY.match(text):
            return _named(text, KINDS, number)
    if loud := ANY_LOUD.search(line):
        return _named(line[loud.start() : loud.start() + _LONGEST], LOUD, number)
    return None


def _messages(line: str) -> Iterator[str]:
    """What a line says, without its level and timestamp."""
    begin = line[:_LONGEST]
    before = _BEFORE.match(begin)
    yield begin[before.end() :] if before else begin
    if late := _LATE_STAMP.match(begin):
        yield begin[late.end() :]


def _named(text: str, kinds: tuple[Kind, ...], number: int) -> Crash:
    kind = next(kind for kind in kinds if kind.pattern.match(text))
    said = text.rstrip()
    return Crash(kind.name, said, said, first_line=number, last_line=number)
