"""KTAP, the kernel's own format: kernels, in each its scenarios, in each its steps.

(Linux: Documentation/dev-tools/ktap.rst.) What a guest said is in diagnostic lines only, each after
`# | ` (`# Subtest: x` would be a head), or in descriptions without a hash sign.
"""

from collections.abc import Iterator, Sequence

from vmlab.report import clean
from vmlab.report.junit import details
from vmlab.report.told import FINE, Report, Step, Told, natural
from vmlab.verdict import Verdict

# What follows a result's hash sign. A directive that a reader does not know leaves `not ok`.
_DIRECTIVES = {Verdict.SKIPPED: "SKIP", Verdict.TIMEOUT: "TIMEOUT", Verdict.BROKEN: "ERROR"}
_SKIPPED_STEPS = ("not reached", "not judged", "skipped")


def text(report: Report) -> str:
    """The whole document."""
    kernels = sorted({run.kernel for run in report.runs}, key=natural)
    lines = ["KTAP version 1", f"1..{len(kernels)}"]
    for number, kernel in enumerate(kernels, start=1):
        runs = [run for run in report.runs if run.kernel == kernel]
        lines += _indented(_kernel(kernel, runs))
        lines.append(_result(all(run.verdict in FINE for run in runs), number, kernel))
    return "\n".join(lines) + "\n"


def _kernel(kernel: str, runs: Sequence[Told]) -> Iterator[str]:
    yield from _head(kernel, len(runs))
    for number, run in enumerate(runs, start=1):
        if run.steps:
            yield from _indented(_scenario(run))
        if not run.fine:
            yield from _diagnostics(details(run))
        directive = _DIRECTIVES.get(run.verdict, "")
        why = run.reason.partition("\n")[0] if directive else ""
        yield _result(run.verdict in FINE, number, run.scenario, directive, why)


def _scenario(run: Told) -> Iterator[str]:
    yield from _head(run.scenario, len(run.steps))
    for number, step in enumerate(run.steps, start=1):
        if step.tests:
            yield from _indented(_tests(step))
        yield from _diagnostics(step.output)
        directive = "SKIP" if step.state in _SKIPPED_STEPS else ""
        fine = bool(directive) or step.state == "passed"
        yield _result(fine, number, step.label, directive, step.state if directive else "")


def _tests(step: Step) -> Iterator[str]:
    """The tests inside a step."""
    yield from _head(step.label, len(step.tests))
    for number, test in enumerate(step.tests, start=1):
        skipped = test.state == "skipped"
        yield from _diagnostics("" if skipped else test.why)
        directive = "SKIP" if skipped else ""
        why = test.why.partition("\n")[0] if skipped else ""
        yield _result(test.state != "failed", number, test.name, directive, why)


def _head(name: str, count: int) -> list[str]:
    return ["KTAP version 1", f"# Subtest: {clean.ktap(name)}", f"1..{count}"]


def _result(fine: bool, number: int, name: str, directive: str = "", why: str = "") -> str:
    tail = f" # {directive} {clean.ktap(why)}".rstrip() if directive else ""
    return f"{'ok' if fine else 'not ok'} {number} {clean.ktap(name)}{tail}"


def _diagnostics(text: str) -> Iterator[str]:
    for line in clean.visible(text).split("\n") if text else ():
        yield f"# | {line}".rstrip()


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
