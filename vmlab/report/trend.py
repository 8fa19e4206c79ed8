"""What became of the last runs, as the small chart that the page shows beside each."""

from collections.abc import Sequence
from dataclasses import dataclass

from vmlab.history.entry import COUNTED, Entry
from vmlab.history.summary import times
from vmlab.report.past import day
from vmlab.verdict import Verdict

BARS = 40
"""How many runs are shown."""
HEIGHT = 40.0
WIDTH = 6.0  # of a bar with its gap
_LEAST = 3.0  # a bar's height, so that a run that took no time is seen


@dataclass(frozen=True)
class Bar:
    """One run; lengths are the chart's own."""

    left: float
    top: float
    height: float
    verdict: Verdict
    about: str


@dataclass(frozen=True)
class Trend:
    """The chart, oldest run first, and what it says in words."""

    bars: Sequence[Bar]
    about: str

    @property
    def width(self) -> float:
        return len(self.bars) * WIDTH


def trend(entries: Sequence[Entry]) -> Trend | None:
    """Of the runs of one scenario on one kernel; None where there are not two to compare."""
    shown = entries[-BARS:]
    if len(shown) < 2:
        return None
    longest = max(one.wall_s for one in shown) or 1.0
    bars = [_bar(number, one, longest) for number, one in enumerate(shown)]
    counted = [one for one in shown if one.verdict in COUNTED]
    bad = sum(one.bad for one in counted)
    passed = times([one.wall_s for one in shown if one.verdict is Verdict.PASSED])
    took = f", {passed.median:.1f} s in the middle, {longest:.1f} s at most" if passed else ""
    return Trend(bars, f"{bad} of {len(counted)} failed since {day(shown[0].at)}{took}")


def _bar(number: int, one: Entry, longest: float) -> Bar:
    height = round(max(_LEAST, HEIGHT * one.wall_s / longest), 1)
    about = f"{day(one.at)}: {one.verdict}, {one.wall_s:.1f} s"
    return Bar(number * WIDTH, round(HEIGHT - height, 1), height, one.verdict, about)
