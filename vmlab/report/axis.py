"""A run on the guest's own time: where each step lies, and ticks to read it by. Pure."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vmlab.report.console import crash_span
from vmlab.report.told import Told

_STAMP = re.compile(rb"^(?:<\d+>)?\[\s*(\d{1,9}\.\d{1,9})\]", re.MULTILINE)
_ENDS = 16 << 10  # bytes at either end of a console that are searched for a timestamp
_TICKS = 6


@dataclass(frozen=True)
class Bar:
    """A step; its place in percent of the axis."""

    number: int
    state: str
    left: float
    width: float
    about: str


@dataclass(frozen=True)
class Tick:
    left: float
    label: str


@dataclass(frozen=True)
class Axis:
    bars: Sequence[Bar]
    ticks: Sequence[Tick]
    crash: float | None  # percent
    about: str


def axis(run: Told, console: bytes) -> Axis | None:
    """The run's axis; None where no guest time is known."""
    known = [time for step in run.steps for time in (step.began_s, step.ended_s) if time]
    known += [stamp for part in (console[:_ENDS], console[-_ENDS:]) for stamp in _ends(part)]
    if not known or max(known) <= min(known):
        return None
    scale = _Scale(min(known), max(known))
    trouble = _crashed(run, console)
    return Axis(
        list(_bars(run, scale)),
        scale.ticks(),
        None if trouble is None else scale.at(trouble),
        f"guest time from {scale.start:.3f} s to {scale.end:.3f} s",
    )


@dataclass(frozen=True)
class _Scale:
    start: float
    end: float

    def at(self, time: float) -> float:
        part = (time - self.start) / (self.end - self.start)
        return round(100 * min(max(part, 0.0), 1.0), 3)

    def ticks(self) -> list[Tick]:
        """About six, at round times."""
        rough = (self.end - self.start) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(one for one in (1, 2, 5, 10) if one * power >= rough)
        digits = max(0, -math.floor(math.log10(step)))
        first = math.ceil(self.start / step)
        count = math.floor(self.end / step) - first + 1
        times = [(first + number) * step for number in range(count)]
        return [Tick(self.at(time), f"{time:.{digits}f} s") for time in times]


def _bars(run: Told, scale: _Scale) -> "list[Bar]":
    made = []
    for step in run.steps:
        if step.state == "not reached":
            continue
        begin = scale.start if step.began_s is None else step.began_s
        end = scale.end if step.ended_s is None else step.ended_s
        left, right = scale.at(begin), scale.at(end)
        about = f"step {step.number}, {step.state}, {begin:.3f} s to {end:.3f} s"
        made.append(Bar(step.number, step.state, left, round(right - left, 3), about))
    return made


def _ends(part: bytes) -> list[float]:
    found = [float(one) for one in _STAMP.findall(part)]
    return [found[0], found[-1]] if found else []


def _crashed(run: Told, console: bytes) -> float | None:
    """The time that the crash's first line bears."""
    span = crash_span(run.crash, console) if run.crash else None
    found = _STAMP.match(console[span[0] : span[1]]) if span else None
    return float(found[1]) if found else None
