"""What changed between two results; `vmlab diff` and `vmlab report` on directories."""

import json

import pytest
from told_runs import CRASH, EACH, crashed, record, report, told, write
from typer.testing import CliRunner

from vmlab.cli import app
from vmlab.errors import UsageError
from vmlab.report import changes
from vmlab.report.told import Report, of_directory, of_json


def compared(before, after, times=1.5):
    old, new = (Report("x", [told(one) for one in some]) for some in (before, after))
    return changes.changes(old, new, times)


def kinds(before, after):
    found = compared([before] if before else [], [after] if after else [])
    return [change.kind for change in found.found]


PASSED, FAILED = record("s"), record("s", "failed", step=2)


@pytest.mark.parametrize(
    ("before", "after", "kind", "status"),
    [
        (PASSED, FAILED, "newly failing", 1),
        (PASSED, crashed("s"), "newly failing", 1),
        (record("s", "skipped"), record("s", "timeout"), "newly failing", 1),
        (record("s", "broken"), FAILED, "newly failing", 1),
        (None, FAILED, "newly failing", 1),
        (PASSED, record("s", "broken"), "broken", 3),
        (FAILED, record("s", "broken"), "broken", 3),
        (FAILED, PASSED, "fixed", 0),
        (record("s", "broken"), PASSED, "fixed", 0),
        (FAILED, crashed("s"), "fails differently", 0),
        (FAILED, record("s", "failed", step=3), "fails differently", 0),
        (crashed("s"), crashed("s", crash=CRASH | {"title": "x"}), "fails differently", 0),
        (PASSED, record("s", guest_s=3.8), "slower", 0),
        (PASSED, record("s", wall_s=3.0), "slower", 0),
        (record("s", guest_s=3.8), PASSED, "faster", 0),
        (PASSED, record("s", "skipped"), "other", 0),
        (PASSED, None, "gone", 0),
        (None, PASSED, "new", 0),
    ],
)
def test_each_change_has_its_kind_and_the_command_its_status(before, after, kind, status):
    found = compared([before] if before else [], [after] if after else [])
    assert [change.kind for change in found.found] == [kind]
    assert (found.exit_status, found.same) == (status, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PASSED, PASSED), (FAILED, FAILED), (crashed("s"), crashed("s")),
        (PASSED, record("s", guest_s=3.7)), (record("s", guest_s=0.05), record("s", guest_s=0.14)),
        (PASSED, record("s", wall_s=2.2)), (FAILED, FAILED | {"wall_s": 9.0}),
        (record("s", "broken"), record("s", "broken")),
    ],
)  # fmt: skip
def test_noise_and_what_stays_is_no_change(before, after):
    assert kinds(before, after) == []
    assert compared([before], [after]).same == 1


def test_of_several_runs_of_one_kind_the_worst_counts():
    assert compared([PASSED], [PASSED, FAILED, PASSED]).exit_status == 1
    assert compared([FAILED, PASSED], [FAILED]).found == []


def diff(*words):
    return CliRunner().invoke(app, ["diff", *map(str, words)])


def test_the_command_says_it_worst_first(tmp_path):
    before = write(tmp_path / "a", record("one"), record("two", "failed"), record("old"))
    after = write(tmp_path / "b", record("one", "failed", step=3, reason="no match\nmore"),
                  record("two"), record("new"))  # fmt: skip
    done = diff(before, after, "--json", tmp_path / "changes.json")
    assert done.output.splitlines() == [
        "newly failing (1):", "  one on 6.1-686: was passed, now failed in step 3 (no match)",
        "fixed (1):", "  two on 6.1-686: was failed, now passed",
        "new (1):", "  new on 6.1-686: was not there, now passed",
        "gone (1):", "  old on 6.1-686: was passed, now not there", "0 unchanged",
    ]  # fmt: skip
    assert done.exit_code == 1
    written = json.loads((tmp_path / "changes.json").read_text())
    assert [(one["kind"], one["scenario"]) for one in written["changes"]] == [
        ("new", "new"), ("gone", "old"), ("newly failing", "one"), ("fixed", "two"),
    ]  # fmt: skip
    assert diff(before, before).exit_code == 0


def test_results_may_be_files_of_run_json_too(tmp_path):
    file = tmp_path / "runs.json"
    file.write_text(json.dumps({"runs": [record("one")]}))
    assert diff(file, write(tmp_path / "b", record("one", "crashed"))).exit_code == 1
    assert [run.scenario for run in of_json(file).runs] == ["one"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "reading"), ('{"runs": 1}', "no list `runs`"),
        ('{"runs": [{"scenario": "s", "kernel": "k", "verdict": "fine"}]}', "verdict"),
        ('{"runs": [{"scenario": "s", "kernel": "k", "verdict": "passed", "version": 99}]}',
         "has version 99"),
    ],
    ids=["no JSON", "no list", "no verdict", "too new"],
)  # fmt: skip
def test_what_is_no_result_is_named(tmp_path, content, said):
    file = tmp_path / "runs.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=said):
        of_json(file)


def test_the_newest_command_s_runs_are_taken(tmp_path):
    write(tmp_path / "20261124-120000-9-1", record("old"))
    write(tmp_path / "20261124-120001-1-1", record("new"), record("new", kernel="6.12"))
    (tmp_path / "20261124-120002-1-1").mkdir()
    found = of_directory(tmp_path)
    assert (found.name, [run.kernel for run in found.runs]) == (
        "20261124-120001-1-1", ["6.1-686", "6.12"],
    )  # fmt: skip
    with pytest.raises(
        UsageError, match=r"no runs in .*found 0 directories; .*run scenarios first"
    ):
        of_directory(tmp_path / "20261124-120002-1-1")


def test_a_directory_of_other_things_is_no_directory_of_runs(tmp_path):
    write(tmp_path / "mine", record("one"))
    (tmp_path / "mine" / "other").mkdir()
    for folder, said in (
        (tmp_path / "mine", "found 2 directories, 1 of them with a verdict.json; name"),
        (tmp_path, "found 1 directory; name"),
        (tmp_path / "none", "found nothing of that name; name"),
        (tmp_path / "mine" / "000" / "verdict.json", "found a file; name"),
    ):
        done = run_report(folder)
        assert isinstance(done.exception, UsageError)
        assert f"no runs in {folder}: looked for" in str(done.exception)
        assert said in str(done.exception)
    assert not list(tmp_path.rglob("report.html"))


def test_a_run_that_was_stopped_does_not_hide_the_others(tmp_path):
    folder = write(tmp_path / "renamed", record("one"))
    (folder / "001").mkdir()
    (folder / "001" / "argv").write_text("qemu")
    done = run_report(folder)
    assert done.stderr == f"1 run, 1 passed: wrote {folder / '000' / 'report.html'}\n"


def run_report(*words, **environment):
    return CliRunner(env=environment).invoke(app, ["report", *map(str, words)])


def test_report_writes_a_page_beside_the_runs_or_what_is_asked_for(tmp_path):
    folder = write(tmp_path / "20261124-120000-1-1", *EACH)
    assert run_report(folder).exit_code == 0
    assert "<title>1 crashed, 1 failed" in (folder / "report.html").read_text()
    done = run_report(folder, "--ktap", "-", "--junit", tmp_path / "j.xml")
    assert done.stdout.startswith("KTAP version 1\n1..1\n")
    assert (tmp_path / "j.xml").read_text().startswith("<?xml")


def test_report_annotates_where_github_runs_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "runs", *EACH)
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    known = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    done = run_report(folder, "--no-github", "--ktap", "-", **known)
    assert "::error" not in done.stdout and summary.read_text() == "before\n"
    done = run_report(folder, **known)
    assert done.stdout.startswith("::error file=scenarios/resets.yaml,line=7,title=crashed%3A")
    assert summary.read_text().startswith("before\n## vmlab: 1 crashed, 1 failed")


def test_where_nothing_can_be_written_is_said_before_anything_is_done(tmp_path):
    folder = write(tmp_path / "runs", *EACH)
    for path, said in ((tmp_path / "no" / "x.html", "make it first"), (tmp_path, "a directory")):
        done = run_report(folder, "--html", path)
        assert isinstance(done.exception, UsageError) and said in str(done.exception)


def test_one_run_s_directory_is_a_report_too(tmp_path):
    folder = write(tmp_path / "runs", *EACH)
    assert len(report(tmp_path / "x", *EACH).runs) == 6
    assert [run.scenario for run in of_directory(folder / "002").runs] == ["resets"]
