"""Runs of a scenario on a revision, whatever a revision is."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vmlab.bisect.evidence import Match, Outcome, Seen, seen
from vmlab.catalog import Kernel
from vmlab.executor import each
from vmlab.perturb import perturbation
from vmlab.runner import Runner
from vmlab.scenario import Expanded

_SPARES = (Outcome.BUILD, Outcome.UNTESTABLE, Outcome.BROKEN)  # others of the revision are not run


@dataclass(frozen=True)
class Subject:
    """What one revision is run as."""

    runner: Runner
    expanded: Expanded
    kernel: Kernel


@dataclass
class Runs:
    """A tester: each revision is made by `subject`, which may raise what building raises."""

    subject: Callable[[str], Subject]
    match: Match
    jobs: int = 1
    _kept: set[tuple[str, Outcome]] = field(default_factory=set)

    def run(self, revision: str, seeds: Sequence[int]) -> list[Seen]:
        """The first run goes alone: it builds, and where it does not, the others are spared."""
        subject = self.subject(revision)
        first = self._one(subject, revision, seeds[0])
        if first.outcome in _SPARES or len(seeds) == 1:
            return [first]
        rest = each(
            lambda seed: self._one(subject, revision, seed), seeds[1:], self.jobs,
            lambda seed: None, subject.runner.stop,
        )  # fmt: skip
        return [first, *rest]

    def _one(self, subject: Subject, revision: str, number: int) -> Seen:
        drawn = plain_seed(number)
        run = subject.runner.run(subject.expanded, subject.kernel, number, drawn)
        made = seen(revision, drawn, run, self.match)
        kind = revision, made.outcome
        if kind in self._kept and made.outcome is not Outcome.BROKEN:
            shutil.rmtree(run.dir, ignore_errors=True)
        self._kept.add(kind)
        return made


def plain_seed(number: int) -> int:
    """The seed of that number among those that leave the clock's shift as it is.

    Another shift is another snapshot: three boots a revision instead of one. A third of the seeds
    leave it; they come in blocks, so that the number's block is looked through and no more.
    """
    block = range(number * _BLOCK, (number + 1) * _BLOCK)
    plain = (seed for seed in block if perturbation(seed).dilation == 0)
    return next(plain, block[0])


_BLOCK = 32
