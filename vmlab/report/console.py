"""A console in pieces: where steps began, what they matched, where the kernel's trouble is.

Few pieces, whatever the console's length: a page with a hundred long ones opens at once.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vmlab.report import clean
from vmlab.report.told import Crash, Told

HEAD, TAIL = 100_000, 300_000  # bytes shown of a console that is longer than both
_MOST_MARKS = 1000  # of one console

Kind = Literal["text", "step", "match", "crash", "cut"]


@dataclass(frozen=True)
class Piece:
    """A stretch of a console, or, for `step`, the place where one began."""

    kind: Kind
    text: str = ""
    steps: tuple[int, ...] = ()  # numbers of those that began here, or that matched this


@dataclass(frozen=True)
class _Mark:
    begin: int
    end: int
    step: int  # 0: the crash


def pieces(run: Told, console: bytes) -> list[Piece]:
    """The console, ready to be shown."""
    starts = _starts(run, console)
    marks = [
        _Mark(begin, end, step.number)
        for step in run.steps
        for begin, end in step.matches
        if 0 <= begin < end <= len(console)
    ][:_MOST_MARKS]
    if run.crash and (span := crash_span(run.crash, console)):
        marks.append(_Mark(*span, 0))
    gap = _gap(console)
    return list(_pieces(console, starts, marks, gap))


def crash_span(crash: Crash, console: bytes) -> tuple[int, int] | None:
    """Where the crash's lines are, in bytes."""
    first, last = crash.first_line, max(crash.first_line, crash.last_line)
    lines = [len(line) + 1 for line in console.split(b"\n", last)]
    if not 1 <= first <= len(lines):
        return None
    begin = sum(lines[: first - 1])
    end = min(begin + sum(lines[first - 1 : last]), len(console))
    return (begin, end) if begin < end else None


def _starts(run: Told, console: bytes) -> dict[int, list[int]]:
    """The steps that began at a place, each at the start of its line."""
    starts = defaultdict(list)
    for step in run.steps:
        if step.console and step.state != "not reached":
            at = min(max(step.console[0], 0), len(console))
            starts[console.rfind(b"\n", 0, at) + 1].append(step.number)
    return starts


def _gap(console: bytes) -> tuple[int, int]:
    """What is left out of a long console: from and to the start of a line, where there is one."""
    if len(console) <= HEAD + TAIL:
        return len(console), len(console)
    begin = console.rfind(b"\n", 0, HEAD) + 1 or HEAD
    end = console.find(b"\n", len(console) - TAIL) + 1 or len(console) - TAIL
    return begin, end


def _pieces(
    console: bytes, starts: dict[int, list[int]], marks: Sequence[_Mark], gap: tuple[int, int]
) -> Iterator[Piece]:
    edges = {0, len(console), *gap, *starts}
    edges.update(edge for mark in marks for edge in (mark.begin, mark.end))
    places = sorted(edges)
    opened, closed = defaultdict(list), defaultdict(list)
    for mark in marks:
        opened[mark.begin].append(mark.step)
        closed[mark.end].append(mark.step)
    active: list[int] = []
    for begin, end in zip(places, [*places[1:], len(console)], strict=True):
        for step in closed[begin]:
            active.remove(step)
        active += opened[begin]
        if numbers := starts.get(begin):
            yield Piece("step", steps=tuple(numbers))
        if begin == gap[0] and gap[0] < gap[1]:
            yield Piece("cut", f"{gap[1] - gap[0]} bytes are left out here")
        if begin < end and not gap[0] <= begin < gap[1]:
            yield _stretch(console[begin:end], active)


def _stretch(raw: bytes, active: Sequence[int]) -> Piece:
    text = clean.visible(clean.short(raw.decode(errors="replace").replace("\r\n", "\n")))
    matched = tuple(dict.fromkeys(step for step in active if step))
    kind: Kind = "match" if matched else "crash" if active else "text"
    return Piece(kind, text, matched)
