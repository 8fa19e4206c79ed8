"""The verdict of a run: results, console and the guest's end, judged after the fact.

A run starts as crashed and earns its way up: absence of a result is never a pass.
"""

import enum
import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmlab import expected, health, lacking
from vmlab.crash import Crash
from vmlab.guest.launch import Ended
from vmlab.guest.results import Results, StepResult
from vmlab.health import Finding
from vmlab.plain import plain
from vmlab.scenario import errnos
from vmlab.scenario.expand import Expanded, RunStep
from vmlab.scenario.model import Console, ExpectCrash
from vmlab.scenario.references import found, with_captures
from vmlab.scenario.values import FLOOD
from vmlab.seen import (
    SHOWN,
    console_lines,
    last_word,
    nearest,
    no_firmware,
    tail,
    why_not_loaded,
)
from vmlab.subtests import of_step

LOADS = ("insmod", "modprobe", "kunit")
CRASH_LINES = 24
_SILENT = (
    "the kernel came to its program and printed nothing on ttyS0, where its crashes would be seen; "
    "has it a console there (CONFIG_SERIAL_8250_CONSOLE)?"
)
_CUT = "the agent came to its end, and its results are not whole: "
# The agent's own outcomes of a spawn, above those that are a command's exit status.
_NOT_READY = {
    256 + errno.ETIMEDOUT: "no line `ready` in time",
    256 + errno.ENODATA: "the command ended with success before it said `ready`",
}


class Verdict(enum.StrEnum):
    """What a run showed; broken is the lab's own fault and never counts for or against a kernel."""

    PASSED = "passed"
    FAILED = "failed"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"
    BROKEN = "broken"


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reason; a failed step's number (from 1) and line in the YAML file.

    `crash` is the first crash report on the console, where that decided.
    """

    verdict: Verdict
    reason: str = ""
    step: int | None = None
    line: int | None = None
    label: str = ""
    wanted: str = ""
    seen: str = ""
    crash: Crash | None = None

    def __post_init__(self) -> None:
        """A guest's words, and a scenario's, are shown to people."""
        for name in ("reason", "label", "wanted", "seen"):
            object.__setattr__(self, name, plain(getattr(self, name)))


def judge(
    expanded: Expanded, kernel_id: str, results: Results, console: bytes, ended: Ended
) -> Judgement:
    """Judges one run. The first thing that is wrong, in the order of the steps, is the reason."""
    text = _text(console)
    where = _running(expanded, results)
    if ended.how == "lost":
        return _at(expanded, where, Verdict.BROKEN, ended.detail, seen=tail(text))
    if results.kernel is not None and results.kernel != kernel_id:
        reason = f"the guest runs kernel {results.kernel}, and {kernel_id} was wanted"
        return Judgement(Verdict.BROKEN, reason)
    if not console and results.kernel is not None and not ended.restored:
        return _at(expanded, where, Verdict.BROKEN, _SILENT)
    sick = health.first(health.findings(results, console, ended), expanded.scenario.allow)
    if isinstance(expanded.steps[-1].step, ExpectCrash):
        return _expected_crash(expanded, results, console, ended, sick)
    if sick:
        return _sick(expanded, sick, text)
    if not results.placed:
        return _at(expanded, where, Verdict.BROKEN, results.fault or "", seen=tail(text))
    if failure := _first_failure(expanded, results, console):
        return failure
    return _whole(expanded, results, text, ended)


def waited(expanded: Expanded, results: Results, console: bytes, ended: Ended) -> Judgement | None:
    """Of a guest that was ended while it waited for one that was to crash: whether all that it was
    to do itself came out as it says. None where that cannot be told."""
    own = max((n for n, one in enumerate(expanded.steps) if one.verb != "await"), default=-1)
    if not results.placed or len(results.steps) <= own:
        return None
    if sick := health.first(health.findings(results, console, ended), expanded.scenario.allow):
        return _sick(expanded, sick, _text(console))
    return _first_failure(expanded, results, console, own + 1) or Judgement(Verdict.PASSED)


def _crashed(expanded: Expanded, index: int | None, trouble: Crash, text: str) -> Judgement:
    """Shows the console from the crash on: its end is mostly registers, or the next crash."""
    first = trouble.first_line - 1
    lines = text.split("\n")[first : trouble.last_line]
    seen = "\n".join(line.rstrip("\r")[:SHOWN] for line in lines[:CRASH_LINES])
    if len(lines) > CRASH_LINES:
        seen += f"\n... and on to line {trouble.last_line} of the console"
    judged = _at(expanded, index, Verdict.CRASHED, trouble.named[:SHOWN], seen=seen)
    return replace(judged, crash=trouble)


def _sick(expanded: Expanded, sick: Finding, text: str) -> Judgement:
    if sick.kind == FLOOD:
        return _at(expanded, sick.step, Verdict.FAILED, sick.title, seen=tail(text))
    if sick.crash:
        return _crashed(expanded, sick.step, sick.crash, text)
    return _at(expanded, sick.step, Verdict.CRASHED, str(sick), seen=tail(text))


def _expected_crash(
    expanded: Expanded, results: Results, console: bytes, ended: Ended, sick: Finding | None
) -> Judgement:
    """The verdict of a scenario whose last step wants a crash: nothing else is a pass."""
    if not results.placed:
        return Judgement(Verdict.BROKEN, results.fault or "", seen=tail(_text(console)))
    if sick is None and lacking.all_of_it(expanded, results):
        return _whole(expanded, results, _text(console), ended)
    if sick is None:
        return _no_crash(expanded, results, console, ended)
    last = expanded.steps[-1]
    pattern = _pattern(last.text("title") or "", results.steps[-1].values if results.steps else {})
    action = expected.last_action(expanded)
    if failure := _first_failure(expanded, results, console, min(action, sick.step)):
        return failure
    if isinstance(pattern, str):
        return _at(expanded, len(expanded.steps) - 1, Verdict.FAILED, pattern)
    if reason := expected.otherwise(last, results, sick, action, pattern):
        judged = _at(expanded, sick.step, Verdict.FAILED, reason, last.argument, str(sick))
        return replace(judged, crash=sick.crash)
    return Judgement(Verdict.PASSED, crash=sick.crash)


def _no_crash(expanded: Expanded, results: Results, console: bytes, ended: Ended) -> Judgement:
    text, last = _text(console), len(expanded.steps) - 1
    failure = _first_failure(expanded, results, console)
    judged = failure or _whole(expanded, results, text, ended)
    if judged.verdict in (Verdict.FAILED, Verdict.BROKEN, Verdict.SKIPPED):
        return judged
    reason = f"the kernel did not crash: {judged.reason or 'all steps came to their end'}"
    where = last if judged.step is None else judged.step - 1
    wanted = expanded.steps[last].argument
    return _at(expanded, where, Verdict.FAILED, reason, wanted, f"no crash\n{tail(text)}")


def _text(console: bytes) -> str:
    return console.decode(errors="replace")


def _whole(expanded: Expanded, results: Results, text: str, ended: Ended) -> Judgement:
    """The verdict where no step that was reported failed."""
    where = _running(expanded, results)
    if ended.how == "timeout" or results.timed_out:
        detail = ended.detail or "the steps took longer than the scenario's timeout of guest time"
        return _at(expanded, where, Verdict.TIMEOUT, detail, seen=tail(text))
    if results.lab_s_fault or (ended.how == "off" and results.fault and not results.gave_up):
        reason = ("" if results.gave_up else _CUT) + (results.fault or "")
        return _at(expanded, where, Verdict.BROKEN, reason, seen=tail(text))
    if results.kernel is None and not results.steps:
        reason = f"the guest never came to its first step: {ended.detail or results.fault}"
        return Judgement(Verdict.CRASHED, reason, seen=tail(text))
    if results.fault is not None:
        reason = f"{results.fault}; {ended.detail or 'the guest powered off'}"
        return _at(expanded, where, Verdict.CRASHED, reason, seen=tail(text))
    if not len(results.steps) == results.begun == len(expanded.steps):
        reason = (
            f"{results.begun} steps began and {len(results.steps)} came back, "
            f"and {len(expanded.steps)} were sent"
        )
        return Judgement(Verdict.BROKEN, reason)
    if results.kernel is None:
        return Judgement(Verdict.BROKEN, "the results do not say which kernel ran", seen=tail(text))
    if ended.how != "off":
        reason = f"after its last step: {ended.detail or ended.how}"
        return Judgement(Verdict.CRASHED, reason, seen=tail(text))
    verdict = Verdict.SKIPPED if lacking.all_of_it(expanded, results) else Verdict.PASSED
    return Judgement(verdict, lacking.told(expanded, results))


def _running(expanded: Expanded, results: Results) -> int | None:
    """The index of the step that had begun and not ended."""
    index = len(results.steps)
    return index if results.begun == index + 1 and index < len(expanded.steps) else None


def _at(
    expanded: Expanded,
    index: int | None,
    verdict: Verdict,
    reason: str,
    wanted: str = "",
    seen: str = "",
) -> Judgement:
    if index is None or not 0 <= index < len(expanded.steps):
        return Judgement(verdict, reason, wanted=wanted, seen=seen)
    step = expanded.steps[index]
    return Judgement(verdict, reason, index + 1, step.line, step.label, wanted, seen)


def _first_failure(
    expanded: Expanded, results: Results, console: bytes, before: int | None = None
) -> Judgement | None:
    """What the first step that did not come out as it says, of those `before` an index, did."""
    since = 0  # where the last action began
    after = 0  # where the last match of a console step ended
    steps = zip(expanded.steps[:before], results.steps, strict=False)
    for index, (step, result) in enumerate(steps):
        if lacking.passed_over(expanded, step, result):
            continue
        if failure := _tests(expanded, index, result, console):
            return failure
        if step.step.action:
            since = after = result.console[0]
        if failure := _output(expanded, index, result):
            return failure
        if step.verb == "console":
            region = (max(since, after), result.console[1])
            end = _console(expanded, index, result, console, region)
            if isinstance(end, Judgement):
                return end
            after = end
        elif failure := _no_console(expanded, index, result, console):
            return failure
    return None


def _tests(expanded: Expanded, index: int, result: StepResult, console: bytes) -> Judgement | None:
    """What is wrong with a step and the tests in it; of those that failed before its outcome."""
    step = expanded.steps[index]
    folded = of_step(step.verb, step.step.folds, result, console)
    failure = _result(expanded, index, result)
    refused = failure and result.outcome and step.verb in LOADS
    if failure and refused and (heard := why_not_loaded(console, *result.console)):
        failure = replace(failure, seen=f"{failure.seen}\n{heard}")
        if failure.verdict is Verdict.SKIPPED:
            failure = replace(failure, reason=f"{failure.reason}; {last_word(heard)}")
    if failure and refused:  # the kernel's words of a file, and the agent's of a module
        lacks = (no_firmware(console, *result.console), result.output.strip())
        failure = replace(failure, reason="; ".join([failure.reason, *filter(None, lacks)]))
    if folded is None or (failure and (failure.verdict is not Verdict.FAILED or not folded.failed)):
        return failure
    if reason := folded.reason:
        return _at(expanded, index, Verdict.FAILED, reason, "every test passes", folded.told)
    return failure


def _result(expanded: Expanded, index: int, result: StepResult) -> Judgement | None:
    """What is wrong with a step by the agent's own account. Its ok is not taken on trust."""
    step = expanded.steps[index]
    if result.verb != step.verb:
        reason = f"the result of a step {result.verb!r} came back in the place of {step.verb!r}"
        return _at(expanded, index, Verdict.BROKEN, reason)
    if result.state == "skipped":
        reason = "the agent skipped this step, and none before it had failed"
        return _at(expanded, index, Verdict.BROKEN, reason)
    if missing := _not_given(step, result):
        return _at(expanded, index, Verdict.FAILED, missing)
    if result.state == "failed" or not _expected(step.step.expect, result.outcome):
        if step.step.skips(result.outcome):
            why = f"{errnos.text(result.outcome)}{step.step.why()}"
            return Judgement(Verdict.SKIPPED, f"{step.label}: {why}")
        return _outcome(expanded, index, result)
    return None


def _expected(expect: str, outcome: int) -> bool:
    return {"any": True, "nonzero": outcome != 0}.get(expect, expect == str(outcome))


def _not_given(step: RunStep, result: StepResult) -> str | None:
    """A step that ran with a reference in it which no earlier step had given a value."""
    if "console" in step.verb:
        return None
    wanted = {f"{name}.{key}" for name, key in found(step.argument) if key is not None}
    left = {f"{name}.{key}" for name, key in found(result.argument) if key is not None}
    return _no_value(min(wanted & left), result.values) if wanted & left else None


def _no_value(reference: str, values: Mapping[str, str]) -> str:
    return f"no step gave {reference}; the values at that time: {', '.join(values) or 'none'}"


def _outcome(expanded: Expanded, index: int, result: StepResult) -> Judgement:
    step = expanded.steps[index]
    names = {"0": "success", "any": "any outcome", "nonzero": "an exit status that is not 0"}
    is_errno = "errno" in type(step.step).model_fields
    what = errnos.of_call if is_errno else errnos.of_command
    expect = step.step.expect
    wanted = names[expect] if expect in names else what(int(expect))
    got = what(result.outcome)
    if step.verb == "spawn":
        got = _NOT_READY.get(result.outcome, got)
    seen = _shown(result.output) if result.output else ""
    return _at(
        expanded, index, Verdict.FAILED, f"{got}, and {wanted} was wanted", wanted, seen or got
    )


def _output(expanded: Expanded, index: int, result: StepResult) -> Judgement | None:
    step = expanded.steps[index]
    for key, wanted in (("output", True), ("no_output", False)):
        text = step.text(key)
        if text is None:
            continue
        pattern = _pattern(text, result.values)
        if isinstance(pattern, str):
            return _at(expanded, index, Verdict.FAILED, pattern)
        found = pattern.search(result.output)
        if bool(found) != wanted:
            reason = "its output has no match" if wanted else "its output has a match"
            seen = _shown(result.output) if wanted or not found else found[0]
            return _at(expanded, index, Verdict.FAILED, reason, pattern.pattern, seen or "nothing")
    return None


def _console(
    expanded: Expanded, index: int, result: StepResult, console: bytes, region: tuple[int, int]
) -> Judgement | int:
    """Where the match ends, or what is wrong."""
    step = expanded.steps[index]
    pattern = _pattern(step.argument, result.values)
    if isinstance(pattern, str):
        return _at(expanded, index, Verdict.FAILED, pattern)
    begin, end = region
    lines = console_lines(console, begin, end)
    matches = [(found, stop) for text, stop in lines for found in pattern.finditer(text)]
    times = step.step.times if isinstance(step.step, Console) else None
    if times is not None and len(matches) != times:
        reason = f"the kernel printed {len(matches)} matches, and {times} were wanted"
        seen = matches[0][0].string if matches else nearest(pattern.pattern, lines)
        return _at(expanded, index, Verdict.FAILED, reason, pattern.pattern, seen)
    if times is None and not matches:
        reason = "the kernel printed no match" + _earlier(pattern, console, begin)
        seen = nearest(pattern.pattern, lines)
        return _at(expanded, index, Verdict.FAILED, reason, pattern.pattern, seen)
    if times is not None:
        return matches[-1][1] if matches else begin
    return matches[0][1]


def _no_console(
    expanded: Expanded, index: int, result: StepResult, console: bytes
) -> Judgement | None:
    step = expanded.steps[index]
    if step.verb != "no_console":
        return None
    pattern = _pattern(step.argument, result.values)
    if isinstance(pattern, str):
        return _at(expanded, index, Verdict.FAILED, pattern)
    for text, _ in console_lines(console, *result.console):
        if pattern.search(text):
            reason = "the kernel printed a match"
            return _at(expanded, index, Verdict.FAILED, reason, f"no {pattern.pattern}", text)
    return None


def _pattern(text: str, values: Mapping[str, str]) -> "re.Pattern[str] | str":
    try:
        return re.compile(with_captures(text, values), re.MULTILINE)
    except KeyError as missing:
        return _no_value(str(missing.args[0]), values)
    except re.error as error:
        return f"with the captures put in, the pattern is none: {error}"


def _earlier(pattern: "re.Pattern[str]", console: bytes, begin: int) -> str:
    for number, (text, _) in enumerate(console_lines(console, 0, begin), start=1):
        if pattern.search(text):
            return f" since the last action began; line {number} of the console is one before"
    return ""


def _shown(text: str) -> str:
    return tail(text, 6)
