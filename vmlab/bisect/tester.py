"""Runs of a scenario on a revision, whatever a revision is."""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vmlab.bisect.evidence import Match, Outcome, Seen, build_class, seen
from vmlab.catalog import Kernel
from vmlab.errors import LabError, UsageError, VmlabError
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
    builds: bool = False  # whether making a subject takes long
    _kept: set[tuple[str, Outcome]] = field(default_factory=set)
    _ahead: list[threading.Thread] = field(default_factory=list)

    def ahead(self, revision: str) -> None:
        """Builds what will most probably be wanted next, while guests run."""
        if self.builds and not any(one.is_alive() for one in self._ahead):
            self._ahead = [threading.Thread(target=self._quietly, args=(revision,))]
            self._ahead[0].start()

    def _quietly(self, revision: str) -> None:
        """What goes wrong is told when the revision's turn comes."""
        with contextlib.suppress(VmlabError, OSError):
            self.subject(revision)

    def run(self, revision: str, seeds: Sequence[int]) -> list[Seen]:
        """The first run goes alone: it builds, and where it does not, the others are spared."""
        began = time.monotonic()
        try:
            subject = self.subject(revision)
        except UsageError:
            raise
        except LabError as error:
            return [Seen(revision, seeds[0], Outcome.BROKEN, str(error))]
        except VmlabError as error:
            took = time.monotonic() - began
            said = build_class(str(error).partition("\n")[2] or str(error))
            return [Seen(revision, seeds[0], Outcome.BUILD, said, wall_s=took, build=said)]
        made = time.monotonic() - began
        first = self._one(subject, revision, seeds[0])
        first = replace(first, wall_s=first.wall_s + made)
        if first.outcome in _SPARES or len(seeds) == 1:
            return [first]
        rest = each(
            lambda seed: self._one(subject, revision, seed), seeds[1:], self.jobs,
            lambda seed: None, lambda: _interrupted(subject),
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


def _interrupted(subject: Subject) -> None:
    """Guests are ended where the bisection is; at a batch's end there are none."""
    if sys.exc_info()[0]:
        subject.runner.stop()


def plain_seed(number: int) -> int:
    """The seed of that number among those that leave the clock's shift as it is.

    Another shift is another snapshot: three boots a revision instead of one. A third of the seeds
    leave it; they come in blocks, so that the number's block is looked through and no more.
    """
    block = range(number * _BLOCK, (number + 1) * _BLOCK)
    plain = (seed for seed in block if perturbation(seed).dilation == 0)
    return next(plain, block[0])


_BLOCK = 32
