"""Whether runs repeat to the byte: many runs of each scenario, compared, under load."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmlab import machines
from vmlab.catalog import Kernel
from vmlab.executor import Pair, each
from vmlab.plain import plain
from vmlab.runner import Run, Runner
from vmlab.scenario import Expanded
from vmlab.verdict import Verdict

_TIME = re.compile(rb"(?:# uptime=|^\[ *)(\d+\.\d+)")  # of the results, of printk
REMADE_EVERY = 25
"""After each so many runs, and before the last one, the snapshot is thrown away and made anew."""


@dataclass(frozen=True)
class Difference:
    """The first line in which a run differs from the one that the others are compared with."""

    run: int
    file: str
    line: int
    guest_s: float | None  # when the guest last said what time it was before that
    first: str
    other: str
    against: int = 1  # the run that is compared with: the first that came to its end


@dataclass(frozen=True)
class Outcome:
    """What came of one scenario's runs on one kernel."""

    kernel: str
    runs: int
    identical: int
    difference: Difference | None
    trouble: str = ""  # why runs could not be compared
    skipped: str = ""  # why there were none: it says nothing of the kernel
    scenario: str = ""
    why_inexact: str = ""  # why its bytes need not repeat

    @property
    def fine(self) -> bool:
        return bool(self.skipped) or (self.identical == self.runs and not self.trouble)


@dataclass
class _Tally:
    """One scenario's runs on one kernel, as they come."""

    expanded: Expanded
    kernel: Kernel
    first: dict[str, bytes] = field(default_factory=dict)
    against: int = 0
    identical: int = 0
    difference: Difference | None = None
    trouble: str = ""
    skipped: str = ""
    promised: bool = True  # whether the runs' tokens say that their bytes repeat
    added: int = 0
    restored: bool | None = None  # whether the first guest began from a snapshot

    @property
    def over(self) -> bool:
        return bool(self.trouble or self.skipped)

    def add(self, number: int, run: Run) -> None:
        self.added += 1
        if run.judgement.verdict is Verdict.SKIPPED:
            self.skipped = run.judgement.reason
        elif run.token is None or run.judgement.verdict is Verdict.BROKEN:
            self.trouble = run.judgement.reason
        elif self.restored not in (None, run.token.how.restored):
            self.trouble = (
                f"of runs {self.against} and {number} one began from a snapshot and the other "
                "booted, as was said; make room on disk and in memory for snapshots, and run again"
            )
        else:
            self.restored = run.token.how.restored
            self.promised &= run.token.how.exact
            self._compared(number, run)

    def _compared(self, number: int, run: Run) -> None:
        """Of the runs that are alike one directory is left."""
        directory = Path(run.dir)
        found = given(directory) | {"verdict": _verdict(run)}
        if not self.against:
            self.first, self.against, self.identical = found, number, 1
        elif found == self.first:
            self.identical += 1
            shutil.rmtree(directory, ignore_errors=True)
        elif self.difference is None:
            self.difference = compare(number, self.first, found, self.against)

    def outcome(self, runs: int, runner: Runner) -> Outcome:
        count = 0 if self.skipped else runs
        why = "" if self.promised else self._why_inexact(runner)
        return Outcome(
            self.kernel.id, count, self.identical, self.difference, self.trouble, self.skipped,
            self.expanded.name, why,
        )  # fmt: skip

    def _why_inexact(self, runner: Runner) -> str:
        machine = runner.machine(self.expanded, self.kernel)
        why = machines.why_inexact(machine, runner.backend.name, bool(self.restored))
        return why or "the lab ended a guest"


def verify(
    runner: Runner,
    pairs: Sequence[Pair],
    runs: int,
    jobs: int,
    remake: Callable[[], None],
    begun: Callable[[Pair, int], None] = lambda pair, number: None,
    odd: Callable[[Pair, int], None] = lambda pair, number: None,
) -> Iterator[Outcome]:
    """Runs each scenario so many times, `jobs` guests at a time, one kernel after another.

    `remake` throws the snapshots away: between rounds of runs, which all scenarios share, for a
    boot takes as long as tens of runs. `begun` hears of each run, `odd` at once of those that are
    not as the others. Ctrl-C comes out after what was found until then.
    """
    for kernel in {one.id: one for _, one in pairs}.values():
        tallies = [_Tally(*pair) for pair in pairs if pair[1].id == kernel.id]
        try:
            for number, round_ in enumerate(rounds(runs)):
                if number:
                    remake()
                _go(runner, tallies, round_, jobs, begun, odd)
        except KeyboardInterrupt:
            yield from (tally.outcome(tally.added, runner) for tally in tallies if tally.added)
            raise
        yield from (tally.outcome(runs, runner) for tally in tallies)


def rounds(runs: int) -> list[range]:
    """The numbers of the runs that begin from the same snapshot, from 1 on; at least two rounds."""
    size = min(REMADE_EVERY, runs - 1)
    return [range(at, min(at + size, runs + 1)) for at in range(1, runs + 1, size)]


def _go(
    runner: Runner,
    tallies: Sequence[_Tally],
    numbers: range,
    jobs: int,
    begun: Callable[[Pair, int], None],
    odd: Callable[[Pair, int], None],
) -> None:
    def run(task: tuple[_Tally, int]) -> tuple[_Tally, int, Run]:
        tally, number = task
        return tally, number, runner.run(tally.expanded, tally.kernel, number)

    def said(task: tuple[_Tally, int]) -> None:
        begun((task[0].expanded, task[0].kernel), task[1])

    tasks = ((tally, number) for tally in tallies for number in numbers if not tally.over)
    for tally, number, made in each(run, tasks, jobs, said, runner.stop):
        alike = tally.identical
        tally.add(number, made)
        if tally.identical == alike and not tally.skipped:
            odd((tally.expanded, tally.kernel), number)


def given(directory: Path) -> dict[str, bytes]:
    """What a guest gave: console and results."""
    paths = (directory / name for name in ("console", "results"))
    return {path.name: path.read_bytes() if path.exists() else b"" for path in paths}


def _verdict(run: Run) -> bytes:
    judged = run.judgement
    return f"{judged.verdict}, step {judged.step}: {judged.reason}".encode()


def compare(
    number: int, first: dict[str, bytes], other: dict[str, bytes], against: int = 1
) -> Difference | None:
    """The first difference of two runs' files, None where they are alike."""
    for name in first:
        ours, theirs = first[name].splitlines(), other[name].splitlines()
        for line in range(max(len(ours), len(theirs))):
            left = ours[line] if line < len(ours) else b"(the end)"
            right = theirs[line] if line < len(theirs) else b"(the end)"
            if left != right:
                shown = (plain(text.decode(errors="replace")) for text in (left, right))
                when = _time_before(ours, line)
                return Difference(number, name, line + 1, when, next(shown), next(shown), against)
    return None


def _time_before(lines: Sequence[bytes], at: int) -> float | None:
    """The last time of the guest's in the lines up to this one, seconds."""
    for line in reversed(lines[: at + 1]):
        if found := _TIME.search(line):
            return float(found[1])
    return None


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keeps one of the host's cores busy meanwhile."""
    spin = "setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-c", "while True: pass"
    process = subprocess.Popen(spin, start_new_session=True)  # Ctrl-C does not reach it
    try:
        yield
    finally:
        process.kill()
        process.wait()
