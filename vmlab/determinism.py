"""Whether runs repeat to the byte: many runs of one scenario, compared, under load."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.catalog import Kernel
from vmlab.plain import plain
from vmlab.runner import Runner
from vmlab.scenario import Expanded
from vmlab.verdict import Verdict

_TIME = re.compile(rb"(?:# uptime=|^\[ *)(\d+\.\d+)")  # of the results, of printk
REMADE_EVERY = 25
"""Each so many runs, or before the last one, the snapshot is thrown away and made anew."""


@dataclass(frozen=True)
class Difference:
    """The first line in which a run differs from the first run."""

    run: int
    file: str
    line: int
    guest_s: float | None  # when the guest last said what time it was before that
    first: str
    other: str


@dataclass(frozen=True)
class Outcome:
    """What came of one kernel's runs."""

    kernel: str
    runs: int
    identical: int
    difference: Difference | None
    trouble: str = ""  # why runs could not be compared
    skipped: str = ""  # why there were none: it says nothing of the kernel

    @property
    def fine(self) -> bool:
        return bool(self.skipped) or (self.identical == self.runs and not self.trouble)


def verify(
    runner: Runner,
    expanded: Expanded,
    kernel: Kernel,
    runs: int,
    remake: Callable[[], None],
    begun: Callable[[int], None] = lambda number: None,
) -> Outcome:
    """Runs a scenario so many times; `remake` throws the snapshots away, `begun` hears of each."""
    first: dict[str, bytes] = {}
    identical = 0
    difference = None
    for number in range(1, runs + 1):
        begun(number)
        if number % min(REMADE_EVERY, runs - 1) == 0:
            remake()
        run = runner.run(expanded, kernel, number)
        if run.judgement.verdict is Verdict.SKIPPED:
            return Outcome(kernel.id, 0, 0, None, skipped=run.judgement.reason)
        if run.token is None or run.judgement.verdict is Verdict.BROKEN:
            return Outcome(kernel.id, runs, identical, None, run.judgement.reason)
        found = _files(Path(run.dir))
        first = first or found
        if found == first:
            identical += 1
        elif difference is None:
            difference = compare(number, first, found)
    return Outcome(kernel.id, runs, identical, difference)


def _files(directory: Path) -> dict[str, bytes]:
    paths = (directory / name for name in ("console", "results"))
    return {path.name: path.read_bytes() if path.exists() else b"" for path in paths}


def compare(number: int, first: dict[str, bytes], other: dict[str, bytes]) -> Difference | None:
    """The first difference of two runs' files, None where they are alike."""
    for name in first:
        ours, theirs = first[name].splitlines(), other[name].splitlines()
        for line in range(max(len(ours), len(theirs))):
            left = ours[line] if line < len(ours) else b"(the end)"
            right = theirs[line] if line < len(theirs) else b"(the end)"
            if left != right:
                texts = (plain(text.decode(errors="replace")) for text in (left, right))
                return Difference(number, name, line + 1, _time_before(ours, line), *texts)
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
    process = subprocess.Popen(spin)
    try:
        yield
    finally:
        process.kill()
        process.wait()
