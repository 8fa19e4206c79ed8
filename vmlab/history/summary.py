"""What follows from runs that were kept: how often they fail, how long they take. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from vmlab.explore import Share
from vmlab.history.entry import COUNTED, Entry
from vmlab.verdict import Verdict

Place = tuple[str, str, bool]


@dataclass(frozen=True)
class Times:
    """Host seconds of the runs that passed."""

    median: float
    low: float  # a quarter took no longer
    high: float  # a quarter took no less


@dataclass(frozen=True)
class Summary:
    """One scenario on one kernel; times are seconds since 1970."""

    place: Place
    runs: int  # whatever became of them
    fails: Share | None  # None where no run says something of kernel or module
    last: Entry
    last_passed: float | None
    last_failed: float | None
    times: Times | None

    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        scenario, kernel, explored = self.place
        return {
            "scenario": scenario, "kernel": kernel, "explored": explored, "runs": self.runs,
            "fails": self.fails.count if self.fails else None,
            "of": self.fails.of if self.fails else None,
            "rate": round(self.fails.rate, 6) if self.fails else None,
            "interval": [round(self.fails.low, 6), round(self.fails.high, 6)]
            if self.fails else None,
            "last": str(self.last.verdict), "last_at": self.last.at,
            "last_passed_at": self.last_passed, "last_failed_at": self.last_failed,
            "median_s": round(self.times.median, 3) if self.times else None,
            "quartiles_s": [round(self.times.low, 3), round(self.times.high, 3)]
            if self.times else None,
        }  # fmt: skip


@dataclass(frozen=True)
class Flaky:
    """Runs of the same inputs that passed and that did not."""

    place: Place
    fails: Share
    by: Literal["seed", "itself"]
    """seed: each seed always gave the same; itself: one and the same seed gave both."""
    passed: Entry  # the last one
    failed: Entry

    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        scenario, kernel, explored = self.place
        return {
            "scenario": scenario, "kernel": kernel, "explored": explored, "by": self.by,
            "fails": self.fails.count, "of": self.fails.of, "rate": round(self.fails.rate, 6),
            "interval": [round(self.fails.low, 6), round(self.fails.high, 6)],
            "inputs": self.failed.inputs, "passed": self.passed.token, "failed": self.failed.token,
        }  # fmt: skip


def summaries(entries: Iterable[Entry], window: int) -> list[Summary]:
    """One for each scenario and kernel, over the last `window` runs of each. Oldest come first."""
    return [_summary(place, some, window) for place, some in sorted(_by_place(entries).items())]


def flaky(entries: Iterable[Entry]) -> list[Flaky]:
    """The places where the newest inputs gave both; those that fail most often come first."""
    found = [_flaky(place, some) for place, some in _by_place(entries).items()]
    return sorted((one for one in found if one), key=lambda one: (-one.fails.rate, one.place))


def _by_place(entries: Iterable[Entry]) -> dict[Place, list[Entry]]:
    places: dict[Place, list[Entry]] = {}
    for one in entries:
        places.setdefault(one.place, []).append(one)
    return places


def _summary(place: Place, entries: Sequence[Entry], window: int) -> Summary:
    recent = entries[-window:]
    counted = [one for one in recent if one.verdict in COUNTED]
    bad = [one for one in counted if one.bad]
    passed = [one for one in entries if one.verdict is Verdict.PASSED]
    failed = [one for one in entries if one.bad]
    return Summary(
        place, len(recent), Share(len(bad), len(counted)) if counted else None, recent[-1],
        passed[-1].at if passed else None, failed[-1].at if failed else None,
        times([one.wall_s for one in recent if one.verdict is Verdict.PASSED]),
    )  # fmt: skip


def times(seconds: Sequence[float]) -> Times | None:
    """None of nothing; the quartiles of fewer than four are the least and the most."""
    if not seconds:
        return None
    median = statistics.median(seconds)
    if len(seconds) < 4:
        return Times(median, min(seconds), max(seconds))
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Times(median, low, high)


def _flaky(place: Place, entries: Sequence[Entry]) -> Flaky | None:
    counted = [one for one in entries if one.verdict in COUNTED and one.inputs]
    some = [one for one in counted if one.inputs == counted[-1].inputs]
    passed = [one for one in some if not one.bad]
    failed = [one for one in some if one.bad]
    if not (passed and failed):
        return None
    both = {one.seed for one in passed} & {one.seed for one in failed}
    share = Share(len(failed), len(some))
    return Flaky(place, share, "itself" if both else "seed", passed[-1], failed[-1])
