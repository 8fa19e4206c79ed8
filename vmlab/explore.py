"""Exploring: one scenario under many seeds, and how often which outcome came of it."""

import math
import re
import shlex
import shutil
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass

from vmlab.catalog import Kernel
from vmlab.errors import UsageError
from vmlab.executor import Pair, each
from vmlab.runner import Run, Runner
from vmlab.scenario import Expanded
from vmlab.verdict import Verdict

SEED_LIMIT = 1 << 32
CONFIDENCE_Z = 1.959964  # standard deviations on either side that hold 95 %
_NUMBER = re.compile(r"\b(?:0x[0-9a-f]+|[0-9a-f]{8,}|\d+)")
_UNCOUNTED = (Verdict.SKIPPED, Verdict.BROKEN)  # they say nothing of the kernel or the module
_HOPELESS = (Verdict.SKIPPED, Verdict.FAILED)  # without a guest: of no seed's doing


@dataclass(frozen=True)
class Task:
    """One run to do."""

    expanded: Expanded
    kernel: Kernel
    seed: int


@dataclass(frozen=True)
class Found:
    """One run that was done."""

    seed: int
    run: Run

    @property
    def kind(self) -> tuple[str, ...]:
        """What runs of one kind have in common: on what, verdict, step and reason.

        Of the reason without its numbers: a crash's title has pids, addresses and times in it.
        """
        run, judged = self.run, self.run.judgement
        reason = _NUMBER.sub("#", judged.reason)
        return run.scenario, run.kernel, str(judged.verdict), str(judged.step), reason


@dataclass(frozen=True)
class Outcome:
    """How often runs of one kind came; `share` is None where the runs do not count."""

    first: Found
    seeds: tuple[int, ...]
    share: "Share | None"

    @property
    def count(self) -> int:
        return len(self.seeds)

    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        run, judged = self.first.run, self.first.run.judgement
        share = self.share
        return {
            "scenario": run.scenario, "kernel": run.kernel, "verdict": str(judged.verdict),
            "reason": judged.reason, "step": judged.step, "line": judged.line,
            "label": judged.label, "count": self.count, "of": share.of if share else None,
            "rate": round(share.rate, 6) if share else None,
            "interval": [round(share.low, 6), round(share.high, 6)] if share else None,
            "first_seed": self.first.seed, "seeds": list(self.seeds),
            "token": str(run.token) if run.token else None, "dir": run.dir,
        }  # fmt: skip


@dataclass(frozen=True)
class Share:
    """So many of so many, and where the true rate lies with 95 % confidence (Wilson's interval)."""

    count: int
    of: int

    @property
    def rate(self) -> float:
        return self.count / self.of

    @property
    def low(self) -> float:
        return 0.0 if self.count == 0 else self._centre() - self._reach()

    @property
    def high(self) -> float:
        return 1.0 if self.count == self.of else self._centre() + self._reach()

    def _centre(self) -> float:
        z2 = CONFIDENCE_Z**2
        return (self.count + z2 / 2) / (self.of + z2)

    def _reach(self) -> float:
        z2 = CONFIDENCE_Z**2
        spread = self.rate * (1 - self.rate) * self.of + z2 / 4
        return CONFIDENCE_Z * math.sqrt(spread) / (self.of + z2)


def tasks(pairs: Sequence[Pair], first: int, seeds: int) -> list[Task]:
    """Every pair under every seed. Raises UsageError for what cannot be explored."""
    last = first + seeds - 1
    if not 0 <= first <= last < SEED_LIMIT:
        raise UsageError(
            f"seeds {first} to {last} are out of range; they are 0 to {SEED_LIMIT - 1}"
        )
    for expanded, _ in pairs:
        if expanded.scenario.clock != "virtual":
            raise UsageError(
                f"{expanded.name} runs on the real clock, on which no run repeats; "
                "explore scenarios with `clock: virtual`"
            )
        if expanded.paired:
            raise UsageError(
                f"{expanded.name} is of two guests, which no seed shifts in time; explore "
                "scenarios of one guest"
            )
    return [Task(*pair, seed) for pair in pairs for seed in range(first, first + seeds)]


def explore(
    runner: Runner, wanted: Sequence[Task], jobs: int, begun: Callable[[Task], None]
) -> Iterator[Found]:
    """Yields each run as it ends. Of each kind only the first seed's run directory is kept.

    Where a scenario is skipped or does not build, its other seeds are not tried.
    """
    hopeless: set[tuple[str, ...]] = set()

    def run(task: Task) -> Found:
        return Found(task.seed, runner.run(task.expanded, task.kernel, task.seed, task.seed))

    kept: dict[tuple[str, ...], Found] = {}
    hopeful = (one for one in wanted if (one.expanded.name, one.kernel.id) not in hopeless)
    for found in each(run, hopeful, jobs, begun, runner.stop):
        if found.run.token is None and found.run.judgement.verdict in _HOPELESS:
            hopeless.add(found.kind[:2])
        other = kept.get(found.kind, found)
        kept[found.kind] = min(found, other, key=lambda one: one.seed)
        if other is not found:
            shutil.rmtree(max(found, other, key=lambda one: one.seed).run.dir, ignore_errors=True)
        yield found


def outcomes(found: Sequence[Found]) -> list[Outcome]:
    """The kinds of each scenario and kernel, in the order they were asked for; passed comes last.

    Runs that were skipped, had no guest, or in which the lab broke count neither way.
    """
    kinds: dict[tuple[str, ...], list[Found]] = {}
    for one in found:
        kinds.setdefault(one.kind, []).append(one)
    places = list(dict.fromkeys(kind[:2] for kind in kinds))
    counted = {
        place: sum(len(them) for kind, them in kinds.items() if kind[:2] == place and _counts(them))
        for place in places
    }
    made = [
        Outcome(
            min(them, key=lambda one: one.seed),
            tuple(sorted(one.seed for one in them)),
            Share(len(them), counted[kind[:2]]) if _counts(them) else None,
        )
        for kind, them in kinds.items()
    ]
    return sorted(made, key=lambda one: (places.index(one.first.kind[:2]), *_order(one)))


def _counts(them: Sequence[Found]) -> bool:
    first = them[0].run
    return first.token is not None and first.judgement.verdict not in _UNCOUNTED


def _order(outcome: Outcome) -> tuple[bool, int]:
    return outcome.first.run.judgement.verdict is Verdict.PASSED, -outcome.count


def again(outcome: Outcome, outside: Container[str] = ()) -> str:
    """The command that runs an outcome's first seed again.

    The files of scenarios that are `outside` the project's directory of them are named as such.
    """
    run = outcome.first.run
    scenario = run.scenario.partition("(")[0]
    if scenario in outside:
        scenario = shlex.quote(run.file)
    return f"vmlab run {scenario} --kernel {run.kernel} --seed {outcome.first.seed} --perturb"
