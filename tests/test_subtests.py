"""Tests inside steps: KTAP and the kernel's own words read, judged and told of."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import ktap as reader
import pytest
from test_verdict import KERNEL, OFF, results, step
from told_runs import record, report
from told_runs import step as told_step

from vmlab import story
from vmlab.report import junit, ktap
from vmlab.report.page import html
from vmlab.scenario import Known, expand, load
from vmlab.subtests import of_step, parse
from vmlab.subtests.fold import DISABLED
from vmlab.verdict import Verdict, judge

CASES = Path(__file__).parent / "data" / "ktap"
STATES = {"passed": "ok", "failed": "not ok", "skipped": "skip"}


def told(folded) -> list[str]:
    """As the data files have it: a line for each test, `! ` before each fault."""
    tests = [
        f"{STATES[one.state]} {one.name}" + (f": {one.why.splitlines()[0]}" if one.why else "")
        for one in folded.tests
    ]
    return [*tests, *(f"! {fault}" for fault in folded.faults)]


@pytest.mark.parametrize("path", sorted(CASES.glob("*.txt")), ids=lambda path: path.stem)
def test_what_is_printed_is_read(path):
    """A case's head: the step's verb, and whether the step is marked as one of tests."""
    head, _, rest = path.read_text().partition("\n")
    text, _, wanted = rest.partition("\n====\n")
    said = text.encode() + b"\n"
    given = step(verb=head, output=text, console=(0, len(said)))
    folded = of_step(head, head != "kunit", given, said)
    assert folded is not None
    assert told(folded) == wanted.splitlines()


def test_a_step_that_holds_no_tests_has_none():
    assert of_step("run", False, step(output="ok 1 a"), b"") is None


def test_a_reader_of_ours_reads_what_we_write(tmp_path):
    """The report's KTAP is read back, subtests included."""
    folded = parse(ktap.text(held(tmp_path)).splitlines())
    assert told(folded)[:3] == [
        "ok 6.1-686.checks.kunit: rings.rings.fills",
        "not ok 6.1-686.checks.kunit: rings.rings.wraps: | 3 != 4",
        "skip 6.1-686.checks.kunit: rings.rings.big: no memory",
    ]


def expanded(tmp_path: Path, steps: str):
    path = tmp_path / "case.yaml"
    path.write_text(f"name: case\nabout: x\nsteps:\n{steps}")
    return expand(load(path, Known(frozenset())))[0]


GOOD = b"[    1.0]     ok 1 a\r\n[    1.0] ok 1 s\r\n"
BAD = b"[    1.0]     not ok 1 a\r\n[    1.0] not ok 1 s\r\n"


@pytest.mark.parametrize(
    ("console", "outcome", "verdict", "reason"),
    [
        (GOOD, 0, Verdict.PASSED, ""),
        (BAD, 0, Verdict.FAILED, "1 of 1 tests failed"),
        (BAD, 22, Verdict.FAILED, "1 of 1 tests failed"),
        (GOOD, 22, Verdict.FAILED, "EINVAL (invalid argument), and success was wanted"),
        (b"", 2, Verdict.FAILED, "ENOENT (no such file or directory), and success was wanted"),
        (b"", 0, Verdict.FAILED, "it told of no test"),
        (b"    # Subtest: s\r\n    1..2\r\n    ok 1 a\r\n", 0, Verdict.FAILED,
         "2 tests were announced in s, and 1 came to a result"),
        (b"1..0\n", 0, Verdict.FAILED, "it told of no test"),
        (b"[    1.0] kunit: disabled\r\n", 0, Verdict.FAILED, DISABLED),
    ],
)  # fmt: skip
def test_tests_in_a_step_judge_it(tmp_path, console, outcome, verdict, reason):
    state = "failed" if outcome else "passed"
    given = step("kunit", outcome, state, console=(0, len(console)))
    case = expanded(tmp_path, "  - kunit: rings\n")
    judged = judge(case, KERNEL, results(given), console + b"x", OFF)
    assert (judged.verdict, judged.reason) == (verdict, reason)
    if "failed" in reason:
        assert judged.seen == "s.a"


def test_a_program_s_tests_are_its_output_s(tmp_path):
    case = expanded(tmp_path, "  - run: selftest\n    ktap: true\n    status: any\n")
    given = step(outcome=1, output="TAP version 13\n1..2\nok 1 a\nnot ok 2 b\n# because\n")
    judged = judge(case, KERNEL, results(given), b"x", OFF)
    assert (judged.verdict, judged.reason) == (Verdict.FAILED, "1 of 2 tests failed")


def test_a_verdict_keeps_the_tests_also_those_before_a_crash(tmp_path):
    case = expanded(tmp_path, "  - kunit: rings\n")
    given = step("kunit", console=(0, len(GOOD)))
    judged = judge(case, KERNEL, results(given), GOOD, OFF)
    (made,) = story.steps(case, results(given), GOOD, judged)
    assert made["tests"] == [{"name": "s.a", "state": "passed", "why": ""}]
    hung = replace(results(begun=1), fault="reported 0")
    (made,) = story.steps(case, hung, GOOD, judged)
    assert json.loads(json.dumps(made["tests"])) == made["tests"] != []


def held(folder: Path):
    tests = [
        {"name": "rings.fills", "state": "passed", "why": ""},
        {"name": "rings.wraps", "state": "failed", "why": "3 != 4\n<script>x</script>"},
        {"name": "rings.big", "state": "skipped", "why": "no memory"},
    ]
    steps = [told_step(1, "kunit", "rings", "failed", tests=tests)]
    one = record("checks", "failed", reason="1 of 3 tests failed", step=1, steps=steps)
    return report(folder, one)


def test_each_test_has_a_line_in_ktap(tmp_path):
    whole = reader.parse(ktap.text(held(tmp_path)))
    (inner,) = whole.subtests[0].subtests[0].subtests
    assert [(one.name, one.ok, one.directive) for one in inner.subtests] == [
        ("rings.fills", True, ""), ("rings.wraps", False, ""), ("rings.big", True, "SKIP"),
    ]  # fmt: skip


def test_each_test_is_a_case_in_junit(tmp_path):
    suite = ET.fromstring(junit.xml(held(tmp_path)))[0]
    assert [suite.get(key) for key in ("tests", "failures", "skipped")] == ["4", "2", "1"]
    kinds = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert kinds.pop("checks")[0] == "failure"
    assert kinds == {
        "checks: rings.fills": [], "checks: rings.wraps": ["failure"],
        "checks: rings.big": ["skipped"],
    }  # fmt: skip


def test_each_test_has_a_line_in_the_page(tmp_path):
    page = html(held(tmp_path))
    assert page.count('<ul class="tests">') == 1
    assert "rings.wraps" in page and "3 tests" in page
    assert "<script>x" not in page
