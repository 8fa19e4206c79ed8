"""What counts of runs say: how probable each answer is, together with the rates of failure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from vmlab.bisect.space import Space, Table

RATES = 64
RAREST = 0.002  # the lowest rate that is thought of: a bug that shows in one run of 500
_SELDOM = -0.25  # rare failures are thought of more than Jeffreys would: there answers go wrong
_NEVER = -1e4  # log of a probability that is none
_NOISES = ((0.4, 1.0), (1.0, 4.0))  # parts of the highest noise with their weights; of none it is 1


@dataclass(frozen=True)
class Count:
    """How often a revision failed and passed."""

    failed: int = 0
    passed: int = 0

    @property
    def runs(self) -> int:
        return self.failed + self.passed

    def plus(self, other: "Count") -> "Count":
        return Count(self.failed + other.failed, self.passed + other.passed)


@dataclass(frozen=True)
class Evidence:
    """All that was seen: counts by revision, and the revisions of which nothing can be seen."""

    counts: Mapping[int, Count] = field(default_factory=dict)
    untestable: frozenset[int] = frozenset()
    silent: int = 0  # runs that said nothing of what is looked for

    def of(self, revision: int) -> Count:
        return self.counts.get(revision, Count())

    @property
    def runs(self) -> int:
        return sum(count.runs for count in self.counts.values())

    def add(self, revision: int, count: Count) -> "Evidence":
        return replace(self, counts={**self.counts, revision: self.of(revision).plus(count)})

    def without(self, revision: int) -> "Evidence":
        return replace(self, untestable=self.untestable | {revision})


@dataclass(frozen=True, eq=False)
class Grid:
    """Pairs of rates: how often bad revisions fail, and how often good ones do (noise)."""

    bad: Table
    good: Table
    weight: Table


@dataclass(frozen=True, eq=False)
class Belief:
    """The probability of each answer with each pair of rates: `joint[answer, pair]`."""

    space: Space
    grid: Grid
    joint: Table
    evidence: float  # log of how probable the counts were

    @property
    def answers(self) -> Table:
        return np.asarray(self.joint.sum(axis=1))

    @property
    def rate(self) -> float:
        """The expected rate of failure of bad revisions."""
        return float(self.joint.sum(axis=0) @ self.grid.bad)

    @property
    def noise(self) -> float:
        """The expected rate of failure of good ones."""
        return float(self.joint.sum(axis=0) @ self.grid.good)


@lru_cache
def grid(noise: float = 0.0, always: bool = False) -> Grid:
    """The rates that are thought of: near Jeffreys' prior, which sin² of even angles has.

    The last of them is `always`. Noise, where it is allowed, is none, some, or as much as that,
    which counts most: there answers go wrong. It is less than half of the rate. Where bad ones
    are known to fail `always`, no other rate is.
    """
    if always:
        return Grid(np.ones(1), np.zeros(1), np.ones(1))
    steps = np.arange(1, RATES + 1)
    rates = np.sin(np.pi / 2 * steps / RATES) ** 2
    rates = rates[rates >= RAREST]
    noises = [(0.0, 1.0), *((part * noise, weight) for part, weight in _NOISES if noise)]
    pairs = [(rate, *one) for rate in rates for one in noises if rate > 2 * one[0]]
    bad, good, weight = np.array(pairs).T
    weight = weight * bad**_SELDOM
    return Grid(bad, good, weight / weight.sum())


def belief(space: Space, evidence: Evidence, rates: Grid) -> Belief:
    """A pure function of the counts. Before all of them each answer is as likely as another."""
    tested = sorted(evidence.counts)
    failed = np.array([evidence.of(one).failed for one in tested], dtype=float)
    passed = np.array([evidence.of(one).passed for one in tested], dtype=float)
    bad = space.bad[:, tested]
    logs = np.log(rates.weight)[None, :] - np.log(space.size + 1)
    for flags, rate in ((bad, rates.bad), (~bad, rates.good)):
        logs = logs + _times(flags @ failed, rate) + _times(flags @ passed, 1 - rate)
    top = float(logs.max())
    joint = np.exp(logs - top)
    return Belief(space, rates, joint / joint.sum(), top + float(np.log(joint.sum())))


def likelihood(count: Count, rate: Table) -> Table:
    """log of how probable the counts of one revision are at each rate."""
    failed, passed = np.array([float(count.failed)]), np.array([float(count.passed)])
    return np.asarray((_times(failed, rate) + _times(passed, 1 - rate))[0])


def _times(count: Table, rate: Table) -> Table:
    """count x log(rate), with nothing where nothing was counted."""
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(rate), _NEVER)
    return count[:, None] * logs[None, :]
