"""Which revision is run next, and how often: where a second tells most."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vmlab.bisect.belief import Belief, Evidence, Grid
from vmlab.bisect.bound import best_input
from vmlab.bisect.space import Table

BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_AS_GOOD = 0.95  # more runs at once are taken where they tell nearly as much a second
_GROWTH = 8  # a batch has at most this part of all runs so far, and one more
_SURER = 1.5  # times as many runs of bad ones, where good ones fail too: rates are harder to tell
_SURE = 0.97  # the probability from which on a revision counts as bad
_SHY = 0.8  # how much of the fear of untestable revisions is left one revision further on


@dataclass(frozen=True)
class Trial:
    """A revision to run so many times."""

    revision: int
    runs: int


@dataclass(frozen=True, eq=False)
class Costs:
    """Seconds: to build and boot each revision (0 where that is done), and of one run."""

    prepare: Table
    run: float = 1.0

    def of(self, runs: int) -> Table:
        return self.prepare + runs * self.run


def choose(belief: Belief, evidence: Evidence, costs: Costs) -> Trial:
    """The next test: the one that tells most a second, or one that tells of the rate.

    How much a pass proves depends on the rate, and only runs of bad revisions tell that. The best
    share of those is the one at which the channel's capacity is reached.
    """
    allowed = _testable(belief, evidence)
    told = _best(belief, costs, allowed, evidence.runs)
    bad = masses(belief).sum(axis=1)
    if bad[told.revision] > 0.5 or len(belief.grid.bad) == 1:  # or the rate is known
        return told
    known = sum(count.runs * bad[one] for one, count in evidence.counts.items())
    passes = evidence.of(told.revision).passed + told.runs
    if known >= passes * _share(belief.rate, belief.noise):
        return told
    sure = [one for one in evidence.counts if bad[one] > _SURE and allowed[one] > 0]
    if not sure:
        return told
    # Of those that are known to be bad the one that shows it least: it may be good again.
    doubtful = max(sure, key=lambda one: (_odd(evidence, one), -costs.prepare[one], one))
    return Trial(doubtful, told.runs)


def information(belief: Belief, runs: int) -> Table:
    """Bits that so many runs of each revision are expected to tell of whether it is bad."""
    bad = masses(belief)
    good = np.maximum(belief.joint.sum(axis=0)[None, :] - bad, 0)
    ways = outcomes(belief.grid, runs)
    of_bad, of_good = bad @ ways[0], good @ ways[1]
    sides = np.stack((of_bad.sum(axis=1), of_good.sum(axis=1)), axis=1)
    told = _entropy(of_bad + of_good) + _entropy(sides) - _entropy(of_bad) - _entropy(of_good)
    return np.maximum(told, 0.0)


def masses(belief: Belief) -> Table:
    """The probability that each revision is bad, together with each pair of rates."""
    if belief.space.linear:
        return np.asarray(belief.joint[:-1].cumsum(axis=0))
    return np.asarray(belief.space.bad.T.astype(float) @ belief.joint)


@lru_cache(maxsize=64)
def outcomes(grid: Grid, runs: int) -> tuple[Table, Table]:
    """How probable 0, 1, 2, ... failures are of a bad and of a good revision, by the rates."""
    return _binomial(grid.bad, runs), _binomial(grid.good, runs)


def _binomial(rates: Table, runs: int) -> Table:
    made = np.ones((len(rates), 1))
    for _ in range(runs):
        wider = np.zeros((len(rates), made.shape[1] + 1))
        wider[:, :-1] += made * (1 - rates)[:, None]
        wider[:, 1:] += made * rates[:, None]
        made = wider
    return made


def _entropy(parts: Table) -> Table:
    """-sum of x log2 x along the last axis."""
    logs = np.log2(parts, out=np.zeros_like(parts), where=parts > 0)
    return np.asarray(-(parts * logs).sum(axis=-1))


def _best(belief: Belief, costs: Costs, allowed: Table, done: int) -> Trial:
    """The test that tells most a second. Where little is known of the rate, few runs are asked
    for at once."""
    most = 1 + done // _GROWTH + costs.prepare / (2 * costs.run)
    sizes = [m for m in BATCHES if m <= most.max()]
    gains = [information(belief, m) * allowed * (m <= most) / costs.of(m) for m in sizes]
    top = max(float(gain.max()) for gain in gains)
    revision = int(np.max(gains, axis=0).argmax())
    enough = [m for m, gain in zip(sizes, gains, strict=True) if gain[revision] >= _AS_GOOD * top]
    return Trial(revision, enough[-1])


def _testable(belief: Belief, evidence: Evidence) -> Table:
    """0 for untestable revisions, and less than 1 near them: they come in clusters."""
    allowed = np.ones(belief.space.size)
    places = np.arange(belief.space.size)
    for one in evidence.untestable:
        allowed = np.minimum(allowed, 1 - _SHY ** np.abs(places - one))
    allowed[list(evidence.counts)] = 1.0
    allowed[list(evidence.untestable)] = 0.0
    return allowed


def _share(rate: float, noise: float) -> float:
    """Runs of bad revisions for each run of a good one, where a run tells most on the whole."""
    if rate >= 1 and not noise:
        return 1.0
    failing = best_input(rate, noise)
    share = failing / (1 - failing)
    return share * _SURER if noise else share


def _odd(evidence: Evidence, revision: int) -> float:
    """How far a revision's passes outnumber its failures, in standard deviations of a coin."""
    count = evidence.of(revision)
    return (count.passed - count.failed) / math.sqrt(count.runs)
