"""Bisections without kernels: revisions that fail as often as they are told to."""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from vmlab.bisect import engine
from vmlab.bisect.belief import Count, Evidence
from vmlab.bisect.choose import Costs, Trial
from vmlab.bisect.drive import Heard, Task
from vmlab.bisect.engine import Answer, Rules
from vmlab.bisect.evidence import Outcome, Seen
from vmlab.bisect.space import Space
from vmlab.catalog.progress import Say

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
    if test.revision in untestable:
        return found.without(test.revision)
    failed = sum(drawn.random() < rate(test.revision) for _ in range(test.runs))
    return found.add(test.revision, Count(failed, test.runs - failed))


def from_(first: int, rate: float = 1.0, noise: float = 0.0) -> RATE:
    """Bad from a revision on."""
    return lambda revision: rate if revision >= first else noise


@dataclass
class Fake:
    """A tester whose revisions say what a function says of them."""

    outcome: Callable[[str, int], Outcome]
    build: str = ""
    ran: list[tuple[str, int]] = field(default_factory=list)
    dies_after: int | None = None
    places: int = 1

    def ahead(self, revision: str) -> None: ...

    def finish(self, say: Say) -> None: ...

    def together(self, wanted: Sequence[Task], heard: Heard) -> None:
        """Those that are asked for later end first."""
        for one in reversed(wanted):
            self.run(*one, heard)

    def run(
        self, revision: str, seeds: Sequence[int], heard: Heard = lambda one: None
    ) -> list[Seen]:
        made = []
        for seed in seeds:
            if self.dies_after is not None and len(self.ran) >= self.dies_after:
                raise KeyboardInterrupt
            self.ran.append((revision, seed))
            outcome = self.outcome(revision, seed)
            build = f"{revision}: {self.build}" if self.build == "own" else self.build
            made.append(
                Seen(revision, seed, outcome, "why", "", "", 1.0,
                     build if outcome is Outcome.BUILD else "", seed)
            )  # fmt: skip
            heard(made[-1])
        return made
