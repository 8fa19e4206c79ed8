"""The loop: decide, run, write down; until there is an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from vmlab.bisect import count, engine
from vmlab.bisect.belief import Evidence
from vmlab.bisect.choose import Trial
from vmlab.bisect.engine import Answer, Rules
from vmlab.bisect.evidence import Seen
from vmlab.bisect.journal import Journal
from vmlab.bisect.space import Space
from vmlab.errors import LabError

BROKEN = 3  # runs one after another that the lab breaks, after which it stops


class Tester(Protocol):
    """Makes revisions and runs them."""

    def run(self, revision: str, seeds: Sequence[int]) -> Sequence[Seen]:
        """One run for each seed, in any order; those that a build spares may be left out."""
        ...

    def ahead(self, revision: str) -> None:
        """What will most probably be run next."""
        ...


class Stopped(LabError):
    """The lab broke; what is known until then stays in the journal."""


@dataclass(frozen=True)
class Step:
    """One decision, and what came of it."""

    test: Trial
    evidence: Evidence


@dataclass(frozen=True)
class Result:
    """All that a bisection found."""

    space: Space
    rules: Rules
    evidence: Evidence
    answer: Answer
    seen: tuple[Seen, ...]


def bisect(
    space: Space,
    tester: Tester,
    rules: Rules,
    journal: Journal,
    told: Callable[[Step], None] = lambda step: None,
) -> Result:
    """Goes on from what the journal has. Raises Stopped where the lab breaks again and again."""
    while True:
        found = count.evidence(space, journal.seen)
        held = settled(space, journal.seen, rules)
        decision = engine.decide(space, found, held, count.costs(space, journal.seen))
        if isinstance(decision, Answer):
            journal.finish()
            return Result(space, held, found, decision, tuple(journal.seen))
        told(Step(decision, found))
        name = space.names[decision.revision]
        if (next_one := engine.likely(space, found, held, decision)) is not None:
            tester.ahead(space.names[next_one])
        journal.add(tester.run(name, _seeds(journal, decision.runs)))
        if len(last := count.broken(journal.seen)) >= BROKEN:
            raise Stopped(
                f"{last[0].revision}: the lab broke {len(last)} times, which says nothing of it: "
                f"{last[0].reason}; what was found until now is kept: mend that, then go on with "
                "--resume"
            )


def settled(space: Space, seen: Sequence[Seen], rules: Rules) -> Rules:
    """A build's error shows always."""
    return replace(rules, always=True) if count.bad_build(space, seen) else rules


def _seeds(journal: Journal, runs: int) -> list[int]:
    """Each run of a bisection has a seed of its own, or what failed once would fail everywhere."""
    return list(range(len(journal.seen), len(journal.seen) + runs))
