"""Runs of a scenario on a revision, whatever a revision is."""

import contextlib
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vmlab.bisect.drive import Heard, Task
from vmlab.bisect.evidence import Match, Outcome, Seen, build_class, ended, seen
from vmlab.catalog import Kernel
from vmlab.catalog.progress import Say
from vmlab.errors import LabError, UsageError, VmlabError
from vmlab.executor import each
from vmlab.perturb import perturbation
from vmlab.runner import Runner
from vmlab.scenario import Expanded
from vmlab.sources.configure import ConfigError

# After these others of the revision are not run.
_SPARES = (Outcome.BUILD, Outcome.BOOT, Outcome.UNTESTABLE, Outcome.BROKEN)


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
    _boots: Counter[str] = field(default_factory=Counter)  # that failed, by revision
    _kept: set[tuple[str, Outcome]] = field(default_factory=set)
    _ahead: list[threading.Thread] = field(default_factory=list)
    _runners: list[Runner] = field(default_factory=list)
    _ended: bool = False

    @property
    def places(self) -> int:
        """Kernels are built one after another, so that two at once would wait for one another."""
        return 1 if self.builds else self.jobs

    def together(self, wanted: Sequence[Task], heard: Heard) -> None:
        """Revisions at the same time, each with its part of the guests."""
        share, guard = max(1, self.jobs // len(wanted)), threading.Lock()

        def told(one: Seen) -> None:
            with guard:
                if not self._ended:  # what was ended with the others says nothing
                    heard(one)

        if len(wanted) == 1:
            self.run(*wanted[0], share, told)
            return
        for _ in each(
            lambda one: self.run(*one, share, told),
            wanted,
            len(wanted),
            lambda one: None,
            self.stop,
        ):
            pass  # all has been told

    def stop(self) -> None:
        """Ends the guests and builds that run now; none is begun after it."""
        self._ended = True
        for runner in self._runners:
            runner.stop()

    def ahead(self, revision: str) -> None:
        """Builds what will most probably be wanted next, while guests run."""
        if self.builds and not any(one.is_alive() for one in self._ahead):
            self._ahead = [threading.Thread(target=self._quietly, args=(revision,))]
            self._ahead[0].start()

    def finish(self, say: Say) -> None:
        """Waits for a build that was begun ahead, which nobody can end but make itself."""
        for one in self._ahead:
            if one.is_alive():
                say("waiting for a kernel's build, which was begun ahead and is kept")
            one.join()

    def _quietly(self, revision: str) -> None:
        """What goes wrong is told when the revision's turn comes."""
        with contextlib.suppress(VmlabError, OSError):
            self.subject(revision)

    def run(
        self, revision: str, numbers: Sequence[int], jobs: int = 1, heard: Heard = lambda one: None
    ) -> list[Seen]:
        """The first run goes alone: it builds, and where it does not, the others are spared."""
        first, subject = self._first(revision, numbers[0])
        heard(first)
        if subject is None or first.outcome in _SPARES or len(numbers) == 1:
            return [first]
        made = [first]
        for one in each(
            lambda number: self._one(subject, revision, number), numbers[1:], jobs,
            lambda number: None, subject.runner.stop,
        ):  # fmt: skip
            heard(one)
            made.append(one)
        return made

    def _first(self, revision: str, one: int) -> tuple[Seen, Subject | None]:
        began = time.monotonic()
        try:
            subject = self.subject(revision)
        except ConfigError as error:  # an option that came or went in between
            why = " ".join(map(str.strip, str(error).splitlines()[:2]))
            return Seen(revision, one, Outcome.UNTESTABLE, why, number=one), None
        except UsageError:
            raise
        except LabError as error:
            return Seen(revision, one, Outcome.BROKEN, str(error), number=one), None
        except VmlabError as error:
            took = time.monotonic() - began
            if why := ended(str(error)):
                return Seen(revision, one, Outcome.BROKEN, why, wall_s=took, number=one), None
            said = build_class(str(error).partition("\n")[2] or str(error))
            why, kept = said.partition("\n")[0], said if self.match.admits(str(error)) else ""
            made = Seen(revision, one, Outcome.BUILD, why, wall_s=took, build=kept, number=one)
            return made, None
        if subject.runner not in self._runners:
            self._runners.append(subject.runner)
        took = time.monotonic() - began
        first = self._one(subject, revision, one)
        return replace(first, wall_s=first.wall_s + took), subject

    def _one(self, subject: Subject, revision: str, number: int) -> Seen:
        failed = self._boots[revision]
        drawn = seed_of(number, failed)
        if failed:
            subject.runner.try_again(subject.kernel)
        run = subject.runner.run(subject.expanded, subject.kernel, number, drawn)
        made = seen(revision, drawn, run, self.match, number)
        self._boots[revision] += made.outcome is Outcome.BOOT
        kind = revision, made.outcome
        if kind in self._kept and made.outcome is not Outcome.BROKEN:
            shutil.rmtree(run.dir, ignore_errors=True)
        self._kept.add(kind)
        return made


def seed_of(number: int, failed_boots: int = 0) -> int:
    """The seed of that number among those that leave the clock's shift as it is.

    Another shift is another snapshot: three boots a revision instead of one. A third of the seeds
    leave it; they come in blocks, so that the number's block is looked through and no more. Of a
    revision whose boot failed the next one has another shift, for the same boot would fail again.
    """
    shift = _SHIFTS[failed_boots % len(_SHIFTS)]
    block = range(number * _BLOCK, (number + 1) * _BLOCK)
    fitting = (seed for seed in block if perturbation(seed).dilation == shift)
    return next(fitting, block[0])


_BLOCK = 32
_SHIFTS = (0, 1, -1)  # of the boots of one revision, one after another
