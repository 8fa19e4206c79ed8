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
from vmlab.bisect.together import together
from vmlab.catalog.progress import Say
from vmlab.errors import LabError

_SHOWN = 60  # characters of a revision, which may be two hundred options
BROKEN = 3  # runs one after another that the lab breaks, after which it stops


Task = tuple[str, Sequence[int]]
"""A revision and the numbers of its runs."""
Heard = Callable[[Seen], None]


class Tester(Protocol):
    """Makes revisions and runs them."""

    @property
    def places(self) -> int:
        """Runs at once that may be of different revisions."""
        ...

    def together(self, wanted: Sequence[Task], heard: Heard) -> None:
        """One run for each number of each revision, in any order; each is told when it ends, so
        that a kill loses those under way and no more. Those that a build spares are left out."""
        ...

    def ahead(self, revision: str) -> None:
        """What will most probably be run next."""
        ...

    def finish(self, say: Say) -> None:
        """Ends what was begun ahead."""
        ...


class Stopped(LabError):
    """The lab broke; what is known until then stays in the journal."""


@dataclass(frozen=True)
class Step:
    """One decision, and what came of it."""

    test: Trial
    evidence: Evidence
    others: tuple[Trial, ...] = ()  # that are run at the same time


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
        costs = count.costs(space, journal.seen)
        decision = engine.decide(space, found, held, costs)
        if isinstance(decision, Answer):
            journal.finish()
            return Result(space, held, found, decision, tuple(journal.seen))
        trials = together(space, found, held, costs, decision, tester.places)
        told(Step(trials[0], found, tuple(trials[1:])))
        if (next_one := engine.likely(space, found, held, decision)) is not None:
            tester.ahead(space.names[next_one])
        tester.together(_tasks(space, journal, trials), lambda one: journal.add([one]))
        check_broken(journal.seen)


def check_broken(seen: Sequence[Seen]) -> None:
    """Raises Stopped where the lab broke the last runs, one after another."""
    if len(last := count.broken(seen)) >= BROKEN:
        raise Stopped(
            f"{last[0].revision[:_SHOWN]}: the lab broke {len(last)} times, which says nothing of "
            f"it: {last[0].reason}; what was found until now is kept: mend that, then go on with "
            "--resume"
        )


def settled(space: Space, seen: Sequence[Seen], rules: Rules) -> Rules:
    """A build's error shows always."""
    return replace(rules, always=True) if count.bad_build(space.names[-1], seen) else rules


def _tasks(space: Space, journal: Journal, trials: Sequence[Trial]) -> list[Task]:
    """Each run has a number of its own, or what failed once would fail everywhere."""
    begin = max(len(journal.seen), 1 + max((one.number for one in journal.seen), default=-1))
    tasks: list[Task] = []
    for trial in trials:
        tasks.append((space.names[trial.revision], range(begin, begin + trial.runs)))
        begin += trial.runs
    return tasks
