"""JUnit's XML: a suite for each kernel, a case for each scenario.

Only elements and attributes that every reader's schema knows; tests/data/junit.xsd says which.
"""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence

from vmlab.report import clean
from vmlab.report.told import Report, Subtest, Told, natural
from vmlab.seen import tail
from vmlab.verdict import Verdict

# What a verdict is in JUnit's words; failures speak of the kernel or the module, errors of the lab.
_ELEMENTS = {
    Verdict.FAILED: "failure", Verdict.CRASHED: "failure", Verdict.TIMEOUT: "failure",
    Verdict.BROKEN: "error", Verdict.SKIPPED: "skipped",
}  # fmt: skip
_TESTS = {"failed": "failure", "skipped": "skipped"}  # those inside a step
_CONSOLE_LINES = 200  # of a run that went wrong


def xml(report: Report) -> str:
    """The whole document."""
    root = ET.Element("testsuites", {"name": "vmlab", **_counts(report.runs)})
    for kernel in sorted({run.kernel for run in report.runs}, key=natural):
        runs = [run for run in report.runs if run.kernel == kernel]
        suite = ET.SubElement(root, "testsuite", {"name": _text(kernel), **_counts(runs)})
        suite.set("skipped", str(_elements(runs).count("skipped")))
        _properties(suite, report, runs[0])
        seen: Counter[str] = Counter()
        for run in runs:
            seen[run.scenario] += 1
            _case(suite, run, seen[run.scenario])
            for step in run.steps:
                for test in step.tests:
                    _test(suite, run, test)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _counts(runs: Sequence[Told]) -> dict[str, str]:
    elements = _elements(runs)
    return {
        "tests": str(len(elements)), "failures": str(elements.count("failure")),
        "errors": str(elements.count("error")), "time": f"{sum(run.wall_s for run in runs):.3f}",
    }  # fmt: skip


def _elements(runs: Sequence[Told]) -> list[str | None]:
    """What each case holds: a run's, and those of the tests in its steps."""
    tests = [one for run in runs for step in run.steps for one in step.tests]
    return [_element(run) for run in runs] + [_TESTS.get(one.state) for one in tests]


def _element(run: Told) -> str | None:
    """What is known to fail is skipped for who reads it: it must not turn a build red."""
    return "skipped" if run.excused else _ELEMENTS.get(run.verdict)


def _properties(suite: ET.Element, report: Report, run: Told) -> None:
    properties = ET.SubElement(suite, "properties")
    known = {"report": report.name, "arch": run.arch, "backend": run.backend}
    for name, value in known.items():
        ET.SubElement(properties, "property", name=name, value=_text(value))


def _case(suite: ET.Element, run: Told, again: int) -> None:
    name = run.scenario if again == 1 else f"{run.scenario} ({again})"
    case = ET.SubElement(
        suite, "testcase", classname=_text(run.kernel), name=_text(name),
        time=f"{run.wall_s:.3f}",
    )  # fmt: skip
    if (element := _element(run)) is None:
        return
    message = clean.line(run.known.text if run.known else run.headline)
    made = ET.SubElement(case, element, message=message, type=str(run.verdict))
    made.text = _text(details(run))
    if not run.fine and (console := run.telling().content("console")):
        out = ET.SubElement(case, "system-out")
        out.text = _text(tail(console.decode(errors="replace"), _CONSOLE_LINES))


def _test(suite: ET.Element, run: Told, test: Subtest) -> None:
    """A test inside a step is a case of its own, after its scenario's."""
    name = _text(f"{run.scenario}: {test.name}")
    case = ET.SubElement(suite, "testcase", classname=_text(run.kernel), name=name, time="0")
    if element := _TESTS.get(test.state):
        message = clean.line(test.why.partition("\n")[0])
        made = ET.SubElement(case, element, message=message, type=_text(test.state))
        made.text = _text(test.why)


def details(run: Told) -> str:
    """What is known of a run that did not pass, in lines."""
    step = "" if run.step is None else f"step {run.step}, {run.file}:{run.line}: {run.label}"
    known = {
        "": step, "reason: ": run.reason, "wanted: ": run.wanted, "seen: ": run.seen,
        "again: ": f"vmlab replay {run.token}" if run.token else "", "files: ": run.dir,
    }  # fmt: skip
    lines = [f"{name}{value}" for name, value in known.items() if value]
    if run.crash and run.crash.stack:
        lines.insert(1, "stack:\n" + "\n".join(f"  {one.where}" for one in run.crash.stack))
    return "\n".join(lines)


def _text(text: str) -> str:
    return clean.visible(text)
