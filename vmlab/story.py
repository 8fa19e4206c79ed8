"""What a run did, step by step, as verdict.json keeps it for reports. Pure.

A step's places in the console are bytes: where it began and ended, and the lines that it matched.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vmlab.catalog import Kernel
from vmlab.guest import devices, qemu
from vmlab.guest.results import Results, StepResult
from vmlab.scenario.expand import Expanded, RunStep
from vmlab.scenario.references import with_captures
from vmlab.seen import console_lines
from vmlab.subtests import of_step
from vmlab.verdict import Judgement, Verdict

VERSION = 1
"""Of verdict.json's format. Keys may be added; one that changes its meaning raises it."""
OUTPUT_LIMIT = 4096  # characters of a step's output; the file `results` holds all that came
TESTS_LIMIT = 5000  # tests of a step
_MATCHES = 200  # of one step
NOT_REACHED = "not reached"
"""The state of a step that never began."""
_UNTOLD = (Verdict.BROKEN, Verdict.SKIPPED)  # nothing is said of the steps after these

Step = dict[str, object]
Span = tuple[int, int]


def steps(expanded: Expanded, results: Results, console: bytes, judged: Judgement) -> list[Step]:
    """Every step of the scenario: what came of it, when in guest time, and where."""
    told: list[Step] = []
    before: float | None = None
    place = 0
    for index, (step, spans) in enumerate(
        zip(expanded.steps, _matches(expanded, results, console), strict=True)
    ):
        result = results.steps[index] if index < len(results.steps) else None
        made = _step(index, step, result, _state(index, results, judged), before, spans)
        if result and result.state != "skipped":
            made["tests"] = _tests(step, result, console)
        if index == len(results.steps) < results.begun:  # it had begun, and never came back
            made["tests"] = _tests(step, _Unfinished((place, len(console))), console)
            made["console"] = [place, len(console)] if results.placed else None
        told.append(made)
        before, place = (result.uptime, result.console[1]) if result else (None, place)
    return told


def environment(
    machine: qemu.Machine, program: str, restored: bool, backend: str
) -> dict[str, object]:
    """What the guest ran on, and why it booted where it can begin from no snapshot."""
    why = "" if restored else _why_booted(machine, backend)
    return {
        "memory_mib": machine.memory_mib, "cpus": machine.cpus, "clock": machine.clock,
        "accel": machine.accel, "devices": list(machine.devices), "emulator": program,
        "began": "from a snapshot" if restored else "by a boot",
        **({"no_snapshot": why} if why else {}),
    }  # fmt: skip


def elsewhere(modules: str, kernel: Kernel) -> dict[str, object]:
    """Where a replay finds what project and catalog may not have: a bisection's modules of another
    commit, a kernel that it built."""
    return {
        **({"modules": modules} if Path(modules).is_absolute() else {}),
        **({"kernel": str(kernel.added.directory)} if kernel.added else {}),
    }  # fmt: skip


def _why_booted(machine: qemu.Machine, backend: str) -> str:
    """Empty where there can be a snapshot; one that failed is said when that happens."""
    unfrozen = [name for name in machine.devices if not devices.frozen([name])]
    if backend == "virtme":
        return "virtme-ng boots each guest"
    if machine.clock != "virtual":
        return "on the real clock no guest begins from a snapshot"
    return f"QEMU writes no state of {', '.join(unfrozen)}" if unfrozen else ""


def _step(
    index: int,
    step: RunStep,
    result: StepResult | None,
    state: str,
    before: float | None,
    spans: Sequence[Span],
) -> Step:
    return {
        "number": index + 1, "line": step.line, "verb": step.verb,
        "text": result.argument if result and result.argument else step.argument or _time(step),
        "state": state, "outcome": result.outcome if result else None,
        "began_s": before, "ended_s": result.uptime if result else None,
        "console": list(result.console) if result else None,
        "matches": [list(span) for span in spans],
        "output": result.output[:OUTPUT_LIMIT] if result else "",
        "tests": [],
        **({"lacks": result.lacks} if result and result.lacks else {}),
    }  # fmt: skip


@dataclass(frozen=True)
class _Unfinished:
    """What there is of a step that never came back."""

    console: Span
    output: str = ""


def _tests(step: RunStep, result: StepResult | _Unfinished, console: bytes) -> list[dict[str, str]]:
    """The tests inside a step; of very many the first."""
    folded = of_step(step.verb, step.step.folds, result, console)
    return [asdict(one) for one in folded.tests[:TESTS_LIMIT]] if folded else []


def _time(step: RunStep) -> str:
    """What a step without words is told by: how long it waits."""
    return f"{step.step.ms / 1000:g}s" if step.step.ms else ""


def _state(index: int, results: Results, judged: Judgement) -> str:
    """passed, the verdict of the step that it fell in, skipped, `not judged` or `not reached`."""
    reported = index < len(results.steps)
    if judged.step == index + 1:
        return str(judged.verdict)
    if reported and results.steps[index].lacks:
        return "skipped"
    if not reported:
        return NOT_REACHED
    later = judged.step is not None and index + 1 > judged.step
    return "not judged" if later or judged.verdict in _UNTOLD else "passed"


def _matches(expanded: Expanded, results: Results, console: bytes) -> Iterator[list[Span]]:
    """The lines that each step's pattern matched, where the verdict looks for them."""
    since = after = 0
    for index, step in enumerate(expanded.steps):
        result = results.steps[index] if index < len(results.steps) else None
        if result is None or not results.placed or result.lacks:
            yield []
            continue
        if step.step.action:
            since = after = result.console[0]
        begin, end = result.console
        if step.verb == "console":
            begin = max(since, after)
        found = _spans(step, result, console, begin, end)
        if step.verb == "console":
            found = found if _counted(step) else found[:1]
            after = found[-1][1] if found else after
        yield found[:_MATCHES]


def _counted(step: RunStep) -> bool:
    return getattr(step.step, "times", None) is not None


def _spans(step: RunStep, result: StepResult, console: bytes, begin: int, end: int) -> list[Span]:
    if step.verb not in ("console", "no_console"):
        return []
    try:
        pattern = re.compile(with_captures(step.argument, result.values), re.MULTILINE)
    except (KeyError, re.error):
        return []
    found = []
    for text, stop in console_lines(console, begin, end):
        if pattern.search(text):
            found.append((begin, stop))
        begin = stop
    return found
