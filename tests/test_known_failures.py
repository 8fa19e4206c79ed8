"""Failures that a project knows of: excused until a day, always told, never those of the lab."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
import stand_in

from vmlab.backend import QemuBackend
from vmlab.errors import UsageError
from vmlab.executor import exit_status
from vmlab.known_failures import Held, KnownFailure, held, unmeant
from vmlab.lab import Options, prepare
from vmlab.project import find
from vmlab.report import github, junit, page, told
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict

TODAY = datetime.date(2026, 11, 25)
ENTRY = KnownFailure(scenario="one", reason="bug 7", until="2026-11-25")
FAILED = Judgement(Verdict.FAILED, "the kernel printed no match", 2)


def state(entry: KnownFailure, judged: Judgement, name: str = "one", day=TODAY) -> str | None:
    found = held([entry], name, "6.1.0-686", judged, day)
    return found and found.state


def known(**more) -> KnownFailure:
    return KnownFailure.model_validate(ENTRY.model_dump() | more)


@pytest.mark.parametrize(
    ("entry", "judged", "wanted"),
    [
        (ENTRY, FAILED, "known"),
        (ENTRY, replace(FAILED, verdict=Verdict.TIMEOUT), "known"),
        (ENTRY, replace(FAILED, verdict=Verdict.CRASHED), "known"),
        (ENTRY, replace(FAILED, verdict=Verdict.BROKEN), None),
        (ENTRY, replace(FAILED, verdict=Verdict.SKIPPED), None),
        (ENTRY, Judgement(Verdict.PASSED), "passes"),
        (known(if_passed="ignore"), Judgement(Verdict.PASSED), None),
        (known(until="2026-11-24"), FAILED, "expired"),
        (known(scenario="on*", kernel="6.*"), FAILED, "known"),
        (known(kernel="5.*"), FAILED, None),
        (known(scenario="two"), FAILED, None),
        (known(match="no mat.h"), FAILED, "known"),
        (known(match="panic"), FAILED, None),
    ],
)
def test_what_a_run_is_held_to_be(entry, judged, wanted):
    assert state(entry, judged) == wanted


def test_parameters_may_be_named_and_need_not_be():
    assert state(ENTRY, FAILED, "one(n=2)") == "known"
    assert state(known(scenario="one(n=[[]23[]])"), FAILED, "one(n=2)") is None
    assert state(known(scenario="one(n=2)"), FAILED, "one(n=2)") == "known"
    assert state(known(scenario="one(n=2)"), FAILED, "one(n=3)") is None


def test_of_several_entries_the_one_that_excuses_decides():
    expired = known(until="2020-01-01")
    found = held([expired, ENTRY], "one", "6.1", FAILED, TODAY)
    assert found and found.state == "known"


def of(verdict: Verdict, one: Held | None = None) -> Run:
    return Run("one", "6.1", "i386", "qemu", Judgement(verdict, "x"), 1, 1, "/nowhere", held=one)


EXCUSED = Held("known", "bug 7", "2026-12-31", False)
EXPIRED = Held("expired", "bug 7", "2026-01-01", True)
PASSES = Held("passes", "bug 7", "2026-12-31", False)


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        ([of(Verdict.FAILED, EXCUSED), of(Verdict.PASSED)], 0),
        ([of(Verdict.FAILED, EXCUSED), of(Verdict.FAILED)], 1),
        ([of(Verdict.FAILED, EXCUSED), of(Verdict.BROKEN)], 3),
        ([of(Verdict.CRASHED, EXPIRED)], 1),
        ([of(Verdict.PASSED, PASSES)], 0),
        ([of(Verdict.PASSED, replace(PASSES, counts=True))], 1),
    ],
)
def test_the_exit_status_leaves_out_what_is_known(runs, status):
    assert exit_status(runs) == status
    assert told.of_runs(runs).exit_status == status


def test_reports_tell_it_and_do_not_turn_red():
    report = told.of_runs([of(Verdict.FAILED, EXCUSED), of(Verdict.FAILED, EXPIRED)])
    xml = junit.xml(report)
    assert xml.count("<failure") == 1 and xml.count("<skipped") == 1
    assert "known until 2026-12-31: bug 7" in xml
    lines = list(github.annotations(report, Path("/"), Path("/")))
    assert sorted(line[:8] for line in lines) == ["::error ", "::notice"]
    assert page.html(report).count("known until 2026-01-01, which is over, so it counts again") == 2


@pytest.fixture
def project(tmp_path):
    (tmp_path / "scenarios").mkdir()
    text = "name: one\nabout: x\nsteps:\n  - run: 'false'\n"
    (tmp_path / "scenarios" / "one.yaml").write_text(text)

    def make(entries: str):
        (tmp_path / "vmlab.yaml").write_text(f"known_failures:\n{entries}")
        return find(tmp_path)

    return make


GOOD = "  - scenario: one\n    reason: bug 7\n    until: 2999-01-01\n"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (GOOD.replace("2999-01-01", "2026-02-30"), ":4:5: known_failures.0.until: input should be"),
        (GOOD.replace("    until: 2999-01-01\n", ""), ":2:5: known_failures.0.until: field requ"),
        (GOOD + "    match: '('\n", ":5:5: known_failures.0.match: value error, '(' is no patt"),
        (GOOD + "    because: x\n", "there are scenario, kernel, reason, until, match, if_passed"),
    ],
    ids=["date", "missing", "pattern", "key"],
)
def test_a_bad_entry_is_told_with_its_place(project, entries, message):
    with pytest.raises(UsageError) as error:
        project(entries)
    assert message in str(error.value)
    assert ("there are scenario" in str(error.value)) is ("because" in entries)


def test_an_entry_that_means_nothing_is_told_before_anything_is_run(project, tmp_path):
    made = project(GOOD + GOOD.replace("one", "oen"))
    with pytest.raises(UsageError, match=r"entry 2: .*'oen'.*one"):
        prepare(made, stand_in.artifacts(tmp_path), [], [], stand_in.KERNEL, Options())
    assert unmeant(made.settings.known_failures, ["one", "oen"]) == []


def test_a_run_s_verdict_file_has_it(tmp_path, fake_qemu, project):
    made = project(GOOD)
    artifacts = stand_in.artifacts(tmp_path)
    runner, (pair,) = prepare(made, artifacts, [], [], stand_in.KERNEL, Options(accel="tcg"))
    runner.backend = QemuBackend(None)
    run = runner.run(*pair)
    assert (run.judgement.verdict, run.held and run.held.state) == (Verdict.FAILED, "known")
    (read,) = told.of_directory(Path(run.dir)).runs
    assert read.excused and read.known and read.known.reason == "bug 7"
