"""What is to be done next, or what the answer is: a pure function of what was seen."""

import enum
import math
from dataclasses import dataclass, replace

import numpy as np

from vmlab.bisect.belief import RAREST, Belief, Count, Evidence, Grid, belief, grid, likelihood
from vmlab.bisect.choose import Costs, Trial, choose, masses
from vmlab.bisect.space import Space
from vmlab.errors import UsageError

_NOT_MONOTONE = math.log(1000)  # how much better revisions apart must explain what was seen
_MARGIN = 0.5  # of the doubt that is allowed: priors are averages, and no rate may fall below


class End(enum.StrEnum):
    """How a bisection ends."""

    FOUND = "found"
    NEWEST_GOOD = "the bad end passes"
    OLDEST_BAD = "the good end fails"
    NOT_MONOTONE = "good again after bad"
    NO_BAD_END = "the bad end cannot be tested"
    NO_GOOD_END = "the good end cannot be tested"
    TOO_MANY = "as many runs as were allowed"


@dataclass(frozen=True)
class Rules:
    """What is asked for. `rarest` is the lowest rate that the ends are searched for."""

    confidence: float = 0.99
    noise: float = 0.0
    rarest: float = 0.05
    most: int = 100_000  # runs
    always: bool = False  # bad revisions are known to fail in each run

    @property
    def grid(self) -> Grid:
        return grid(self.noise, self.always)

    @property
    def patience(self) -> int:
        """Runs of the bad end that pass, after which it is taken for good."""
        if self.always or self.rarest >= 1:
            return 1
        return math.ceil(math.log(1 - self.confidence) / math.log1p(-self.rarest))


@dataclass(frozen=True)
class Answer:
    """What is known at the end: one of `first` is the first bad one, with this probability.

    All of `first` but the last are untestable. `good` is the last good one that was tested, and
    `odd` the one that passes though an earlier one fails, where that is how it ended.
    """

    end: End
    first: tuple[int, ...]
    good: int | None
    probability: float
    odd: int | None = None


def decide(space: Space, evidence: Evidence, rules: Rules, costs: Costs) -> Trial | Answer:
    """The next test, or the answer."""
    bad_end, good_end = space.size - 1, 0
    held = belief(space, evidence, rules.grid)
    if ends := _ends(evidence, good_end, bad_end):
        return _answer(held, evidence, ends)
    if first := _check_ends(evidence, good_end, bad_end, rules):
        if isinstance(first, Trial) and _used_up(evidence, rules):
            first = End.TOO_MANY
        return first if isinstance(first, Trial) else _answer(held, evidence, first)
    if (odd := not_monotone(space, evidence, rules)) is not None:
        return replace(_answer(held, evidence, End.NOT_MONOTONE), odd=odd)
    answer = _answer(held, evidence, End.FOUND)
    if 1 - answer.probability <= _MARGIN * (1 - rules.confidence):
        return answer
    if _used_up(evidence, rules):
        return replace(answer, end=End.TOO_MANY)
    return choose(held, evidence, costs)


def _used_up(evidence: Evidence, rules: Rules) -> bool:
    return evidence.runs + evidence.silent >= rules.most


def _ends(evidence: Evidence, good: int, bad: int) -> End | None:
    if bad in evidence.untestable:
        return End.NO_BAD_END
    return End.NO_GOOD_END if good in evidence.untestable else None


def _check_ends(evidence: Evidence, good: int, bad: int, rules: Rules) -> Trial | End | None:
    """Both ends come first: the bad one until it fails, the good one once."""
    seen = evidence.of(bad)
    if not seen.failed:
        if seen.passed >= rules.patience:
            return End.NEWEST_GOOD
        return Trial(bad, min(1 + seen.runs // 4, rules.patience - seen.passed))
    return None if evidence.of(good).runs else Trial(good, 1)


def _answer(held: Belief, evidence: Evidence, end: End) -> Answer:
    """The most probable answers that no test can tell apart."""
    space = held.space
    numbers = space.classes(evidence.untestable)
    sums = np.bincount(numbers, weights=held.answers)
    top = int(sums.argmax())
    first = tuple(int(one) for one in np.flatnonzero(numbers == top) if one != space.none)
    if space.none in np.flatnonzero(numbers == top) and end is End.FOUND:
        end = End.NEWEST_GOOD
    elif first and first[0] == 0 and end is End.FOUND:
        end = End.OLDEST_BAD
    return Answer(end, first, last_good(space, evidence, first), float(sums[top]))


def last_good(space: Space, evidence: Evidence, first: tuple[int, ...]) -> int | None:
    """The latest tested revision that the first bad one descends from, or that stands before it."""
    if not first:
        return None
    before = [one for one, count in evidence.counts.items() if one < first[0] and count.runs]
    lines = [one for one in before if space.bad[one, first[-1]]]
    return max(lines or before, default=None)


def not_monotone(space: Space, evidence: Evidence, rules: Rules) -> int | None:
    """A revision that is good though it descends from a bad one; None where none seems so.

    That is so where revisions that are good or bad by themselves, each as likely, explain what was
    seen a thousand times better than one first bad revision does.
    """
    tested = sorted(one for one, count in evidence.counts.items() if count.runs)
    odd = [one for one in tested if _passes_after(space, evidence, one)]
    if not odd:
        return None
    together = belief(space, evidence, rules.grid).evidence
    alone = _alone(evidence, tested, rules)
    if alone - together < _NOT_MONOTONE:
        return None
    return max(odd, key=lambda one: evidence.of(one).passed)


def _passes_after(space: Space, evidence: Evidence, revision: int) -> bool:
    count = evidence.of(revision)
    failing = [one for one, other in evidence.counts.items() if other.failed]
    below = any(one != revision and space.bad[one, revision] for one in failing)
    return below and count.passed > 0 and count.failed == 0


def _alone(evidence: Evidence, tested: list[int], rules: Rules) -> float:
    """log of how probable the counts are where each revision is good or bad by itself."""
    rates = rules.grid
    logs = np.log(rates.weight)
    for one in tested:
        count = evidence.of(one)
        logs = logs + np.logaddexp(likelihood(count, rates.bad), likelihood(count, rates.good))
        logs = logs - math.log(2)
    return float(np.logaddexp.reduce(logs))


def shares(space: Space, evidence: Evidence, rules: Rules) -> list[float]:
    """The probability that each revision is the first bad one; what is left is that none is."""
    return [float(one) for one in belief(space, evidence, rules.grid).answers[:-1]]


def remaining(space: Space, evidence: Evidence, rules: Rules) -> tuple[int, int]:
    """First and last of the revisions that hold all but the doubt that is allowed."""
    sums = belief(space, evidence, rules.grid).answers.cumsum()
    doubt = (1 - rules.confidence) / 2
    low, high = (int(np.searchsorted(sums, one)) for one in (doubt, 1 - doubt))
    return min(low, space.size - 1), min(high, space.size - 1)


def rate(space: Space, evidence: Evidence, rules: Rules) -> float:
    """The expected rate of failure of bad revisions."""
    return belief(space, evidence, rules.grid).rate


def probability_bad(space: Space, evidence: Evidence, rules: Rules) -> list[float]:
    """The probability that each revision is bad."""
    held = belief(space, evidence, rules.grid)
    return [float(one) for one in masses(held).sum(axis=1)]


def likely(space: Space, evidence: Evidence, rules: Rules, trial: Trial) -> int | None:
    """The revision that will be wanted after a trial if that comes out as it most probably does."""
    if not evidence.counts:
        return 0
    fails = probability_bad(space, evidence, rules)[trial.revision] > 0.5
    then = evidence.add(trial.revision, Count(trial.runs, 0) if fails else Count(0, trial.runs))
    after = decide(space, then, rules, Costs(np.zeros(space.size)))
    same = isinstance(after, Answer) or after.revision in then.counts
    return None if same or isinstance(after, Answer) else after.revision


def states(space: Space, evidence: Evidence, rules: Rules) -> list[tuple[int, str]]:
    """What `git bisect` would be told of the tested revisions: good, bad or skip."""
    bad = probability_bad(space, evidence, rules)
    ends = {0: "good", space.size - 1: "bad"}
    said = []
    for one in evidence.counts:
        if bad[one] >= rules.confidence or 1 - bad[one] >= rules.confidence:
            said.append((one, "bad" if bad[one] > 0.5 else "good"))
    said += [(one, "skip") for one in sorted(evidence.untestable)]
    return [(at, word) for at, word in said if at not in ends]


def checked(rules: Rules) -> Rules:
    """The rules, where they can be meant. Raises UsageError."""
    if not 0.5 < rules.confidence < 1:
        raise UsageError(f"--confidence {rules.confidence} is out of range: above 0.5 and below 1")
    if not 0 <= rules.noise < 0.3:
        raise UsageError(f"--noise {rules.noise} is out of range: 0 or more, and below 0.3")
    if not RAREST <= rules.rarest <= 1:
        raise UsageError(f"--rarest {rules.rarest} is out of range; it is {RAREST} to 1")
    return rules
