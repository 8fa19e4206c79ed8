"""Bisections without kernels: python -m vmlab.bisect.simulate [--rate R ...] [--noise N]

Each revision fails as often as it is told to; what is asked of it, and the answer, are the
engine's own. Prints how often answers were wrong, and what they cost beside the bound.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from vmlab.bisect import engine
from vmlab.bisect.belief import RAREST, Count, Evidence
from vmlab.bisect.bound import bound, naive
from vmlab.bisect.choose import Costs, Trial
from vmlab.bisect.engine import Answer, End, Rules, checked
from vmlab.bisect.space import Space, line

RATES = (1.0, 0.5, 0.2, 0.05, 0.01)
RATE = Callable[[int], float]


def bisection(
    space: Space,
    rate: RATE,
    rules: Rules,
    drawn: random.Random,
    untestable: Collection[int] = (),
    prepare: float = 0.0,
) -> tuple[Answer, Evidence]:
    """A whole bisection, in which each revision fails at its own rate."""
    found = Evidence()
    while True:
        known = [one in found.counts for one in range(space.size)]
        costs = Costs(np.where(known, 0.0, prepare))
        decision = engine.decide(space, found, rules, costs)
        if isinstance(decision, Answer):
            return decision, found
        found = seen(decision, found, rate, drawn, untestable)


def seen(
    test: Trial, found: Evidence, rate: RATE, drawn: random.Random, untestable: Collection[int]
) -> Evidence:
    """What a test shows, drawn."""
    if test.revision in untestable:
        return found.without(test.revision)
    failed = sum(drawn.random() < rate(test.revision) for _ in range(test.runs))
    return found.add(test.revision, Count(failed, test.runs - failed))


def from_(first: int, rate: float = 1.0, noise: float = 0.0) -> RATE:
    """Bad from a revision on."""
    return lambda revision: rate if revision >= first else noise


@dataclass(frozen=True)
class Simulated:
    """Many bisections at one rate; each bad revision is the first bad one as often as another."""

    size: int
    rate: float
    noise: float
    rules: Rules
    wrong: int
    runs: tuple[int, ...]  # of each
    took_s: float

    @property
    def mean(self) -> float:
        return statistics.fmean(self.runs)

    @property
    def bound(self) -> float:
        return bound(self.size - 1, self.rate, self.rules.confidence, self.noise).runs

    @property
    def usual(self) -> int | None:
        """What halving takes; with noise it has no number of runs that is enough."""
        if self.noise:
            return None
        return naive(self.size - 1, self.rate, self.rules.confidence)

    def __str__(self) -> str:
        of, noise = len(self.runs), f", good ones {self.noise:.0%}" if self.noise else ""
        usual = f"; halving {self.usual}" if self.usual else ""
        return (
            f"bad ones fail in {self.rate:.0%}{noise}: {self.wrong} of {of} answers wrong, "
            f"{self.mean:.1f} runs, {self.mean / self.bound:.2f} x the bound{usual}; "
            f"{self.took_s:.0f} s"
        )


def simulate(
    rate: float, times: int, rules: Rules, noise: float = 0.0, size: int = 16, seed: int = 5
) -> Simulated:
    """An answer that is none is a wrong one."""
    drawn, space = random.Random(seed), line([str(number) for number in range(size)])
    began, wrong, runs = time.process_time(), 0, []
    for _ in range(times):
        first = drawn.randrange(1, size)
        answer, found = bisection(space, from_(first, rate, noise), rules, drawn)
        wrong += (answer.end, answer.first) != (End.FOUND, (first,))
        runs.append(found.runs)
    return Simulated(
        size, rate, noise, rules, wrong, tuple(runs), time.process_time() - began
    )  # fmt: skip


def main() -> None:
    about = (__doc__ or "").partition(":")[0]
    parser = argparse.ArgumentParser(prog="python -m vmlab.bisect.simulate", description=about)
    parser.add_argument("--times", type=int, default=1000, help="bisections at each rate")
    parser.add_argument("--size", type=int, default=16, help="revisions")
    parser.add_argument("--rate", type=float, action="append", help="at which bad ones fail")
    parser.add_argument("--noise", type=float, default=0.0, help="rate at which good ones fail")
    parser.add_argument("--allowed", type=float, help="what --noise of vmlab bisect says")
    parser.add_argument("--confidence", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=5)
    wish = parser.parse_args()
    allowed = wish.noise if wish.allowed is None else wish.allowed
    rules = checked(Rules(wish.confidence, allowed, RAREST))
    for rate in wish.rate or RATES:
        print(simulate(rate, wish.times, rules, wish.noise, wish.size, wish.seed), flush=True)


if __name__ == "__main__":
    main()
