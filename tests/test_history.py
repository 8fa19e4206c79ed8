"""What is kept of runs, by several writers, through crashes, in whatever state the file is."""

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vmlab.cli import app
from vmlab.history import choose, schema, summary
from vmlab.history.entry import Entry, inputs_key
from vmlab.history.recorder import Recorder
from vmlab.history.store import HistoryError, Store, place
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict

ENTRY = Entry(
    "u0", 1000.0, "one", "6.1", "i386", "qemu", Verdict.PASSED, "", None, 1.5, 2.0, 7, False,
    "aa", "vm1:one", "run",
)  # fmt: skip


def entry(number: int, **more) -> Entry:
    known = {"uid": f"u{number}", "at": 1000.0 + number}
    return dataclasses.replace(ENTRY, **(known | more))


def run(verdict: Verdict = Verdict.PASSED, number: int = 0) -> Run:
    judged = Judgement(verdict, "no match")
    return Run("one", "6.1", "i386", "qemu", judged, 1.0, 2.0, f"/there/{number}")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "deep" / "history.sqlite", print) as made:
        yield made


def test_what_is_kept_comes_back_oldest_first_and_once(store):
    kept = [entry(2, verdict=Verdict.CRASHED, step=3, reason="it's"), entry(1), entry(3, seed=None)]
    assert store.add(kept) == 3
    assert store.add([entry(1), entry(4)]) == 1
    assert store.entries() == [entry(1), kept[0], kept[2], entry(4)]
    crashed, newest = kept[0], entry(4)
    assert store.entries(each=1) == [crashed, newest]  # each verdict's newest is there too
    assert store.entries(each=2) == [crashed, kept[2], newest]


@pytest.mark.parametrize(
    ("name", "kernel", "found"),
    [("one", "*", 1), ("on*", "6.*", 1), ("two", "*", 2), ("*", "5.*", 0), ("two(n=1)", "*", 1)],
)
def test_globs_mean_names_with_and_without_their_parameters(store, name, kernel, found):
    store.add([entry(1), entry(2, scenario="two(n=1)"), entry(3, scenario="two(n=2)")])
    assert len(store.entries(name, kernel)) == found


def test_the_last_verdict_is_of_a_plain_run_that_was_not_skipped(store):
    store.add([
        entry(1, verdict=Verdict.FAILED), entry(2, verdict=Verdict.SKIPPED),
        entry(3, explored=True), entry(1, uid="x", kernel="5.10"),
    ])  # fmt: skip
    assert store.last() == {("one", "6.1"): Verdict.FAILED, ("one", "5.10"): Verdict.PASSED}


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_history import entry, Store
with Store(Path(sys.argv[2]), print) as store:
    for number in range(int(sys.argv[4])):
        store.add([entry(number, uid=f"{sys.argv[3]}-{number}")])
        print(number, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen:
    words = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(path), name, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_several_writers_lose_nothing_also_where_all_begin_it_at_once(tmp_path):
    path = tmp_path / "history.sqlite"
    writers = [writer(path, str(number), 40) for number in range(3)]
    assert [one.wait(60) for one in writers] == [0] * 3
    with Store(path, print) as store:
        assert len(store.entries()) == 120


def test_a_writer_that_is_killed_has_kept_all_that_it_said(tmp_path):
    path = tmp_path / "history.sqlite"
    killed = writer(path, "killed", 1_000_000)
    while int(killed.stdout.readline()) < 200:
        pass
    os.kill(killed.pid, signal.SIGKILL)
    last = [int(line) for line in killed.stdout.read().splitlines() if line.isdigit()]
    killed.wait()
    said = []
    with Store(path, said.append) as store:
        kept = {one.uid for one in store.entries()}
    assert said == []
    assert {f"killed-{number}" for number in range(max(last, default=200))} <= kept


@pytest.mark.parametrize("damage", ["no database at all " * 100, None])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path, damage):
    path = tmp_path / "history.sqlite"
    with Store(path, print) as store:
        store.add([entry(number, reason="x" * 400) for number in range(200)])
    if damage:
        path.write_text(damage)
    else:  # pages in its middle
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 4096 * 8)
    said = []
    with Store(path, said.append) as store:
        store.entries()
        store.add([entry(500)])
        assert store.entries() == [entry(500)]
    (line,) = said
    aside = next(one for one in tmp_path.glob("history.sqlite.damaged-*") if "wal" not in one.name)
    assert "is damaged" in line and aside.name in line and "a new one is begun" in line


def test_what_was_set_aside_in_the_same_second_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("vmlab.history.store.time.strftime", lambda shape: "now")
    path = tmp_path / "history.sqlite"
    for number in range(3):
        path.write_text(f"no database {number}")
        with Store(path, lambda line: None) as store:
            assert store.entries() == []
    aside = sorted(tmp_path.glob("history.sqlite.damaged-now*"))
    assert [one.read_text() for one in aside] == [f"no database {number}" for number in range(3)]


def test_a_file_of_a_later_version_is_left_as_it_is(tmp_path):
    path = tmp_path / "history.sqlite"
    with Store(path, print) as store:
        store.add([entry(1)])
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with Store(path, print) as store, pytest.raises(HistoryError, match="is of version 99"):
        store.add([entry(2)])
    assert path.read_bytes() == before


def test_a_file_of_an_earlier_version_is_brought_up(tmp_path, monkeypatch):
    path = tmp_path / "history.sqlite"
    with Store(path, print) as store:
        store.add([entry(1)])
    column = "ALTER TABLE runs ADD COLUMN host TEXT NOT NULL DEFAULT ''"
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, (column,)])
    with Store(path, print) as store:
        assert store.entries() == [entry(1)]
        assert store.add([entry(2)]) == 1
    with sqlite3.connect(path) as connection:
        assert schema.version(connection) == 2
        assert connection.execute("SELECT host FROM runs").fetchall() == [("",), ("",)]


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "history.sqlite"
    with Store(path, print) as store:
        store.add([entry(1)])
    bad = ("ALTER TABLE runs ADD COLUMN host TEXT", "ALTER TABLE nowhere ADD COLUMN x TEXT")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, bad])
        with Store(path, print) as store, pytest.raises(HistoryError, match="no such table"):
            store.entries()
    with Store(path, print) as store:
        assert store.entries() == [entry(1)]


def test_a_history_that_cannot_be_written_is_said_once(tmp_path, monkeypatch):
    (tmp_path / "history").write_text("a file where a directory is needed")
    monkeypatch.setenv("VMLAB_DATA", str(tmp_path))
    said = []
    recorder = Recorder(tmp_path, "run", said.append)
    for number in range(3):
        recorder.add(run(number=number))
    recorder.close()
    (line,) = said
    assert line.endswith("what is run now is not kept there")


def test_keeping_a_run_costs_less_than_five_milliseconds(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_DATA", str(tmp_path))
    recorder = Recorder(tmp_path, "run", print)
    recorder.add(run())
    began = time.process_time()
    for number in range(1, 201):
        recorder.add(run(number=number))
    spent = (time.process_time() - began) / 200
    recorder.close()
    with Store(place(tmp_path), print) as store:
        assert len(store.entries()) == 201
    assert spent < 0.005


def test_a_summary_counts_what_says_something_of_the_kernel():
    verdicts = ("PASSED", "FAILED", "BROKEN", "PASSED", "SKIPPED", "CRASHED")
    some = [entry(n, verdict=Verdict[one], wall_s=float(n)) for n, one in enumerate(verdicts)]
    (found,) = summary.summaries(some, 100)
    assert (found.runs, found.fails) == (6, summary.Share(2, 4))
    assert (found.last_passed, found.last_failed) == (1003.0, 1005.0)
    assert found.times == summary.Times(1.5, 0.0, 3.0)
    (found,) = summary.summaries(some, 2)
    assert (found.fails, found.last_passed, found.times) == (summary.Share(1, 1), 1003.0, None)


def test_times_are_median_and_quartiles():
    assert summary.times([]) is None
    assert summary.times([3.0]) == summary.Times(3.0, 3.0, 3.0)
    assert summary.times([5.0, 1.0, 2.0, 4.0, 3.0]) == summary.Times(3.0, 2.0, 4.0)


FAILED = {"verdict": Verdict.FAILED, "token": "vm1:bad"}


@pytest.mark.parametrize(
    ("some", "by"),
    [
        ([entry(1), entry(2)], None),
        ([entry(1), entry(2, **FAILED)], "itself"),
        ([entry(1), entry(2, seed=8, **FAILED)], "seed"),
        ([entry(1, inputs="bb"), entry(2, **FAILED)], None),  # it was changed in between
        ([entry(1, **FAILED), entry(2, verdict=Verdict.BROKEN)], None),
        ([entry(1, inputs=""), entry(2, inputs="", **FAILED)], None),  # no guest ran
        ([entry(1), entry(2, **FAILED), entry(3, inputs="bb")], None),  # mended since
    ],
)
def test_flaky_is_what_gave_both_with_the_same_inputs(some, by):
    found = summary.flaky(some)
    assert [one.by for one in found] == ([by] if by else [])
    if by:
        assert (found[0].fails, found[0].failed.token) == (summary.Share(1, 2), "vm1:bad")


def test_inputs_are_one_hash_without_the_sources_text():
    assert inputs_key({}) == ""
    assert inputs_key({"kernel": "a", "sources": "x"}) == inputs_key(
        {"sources": "y", "kernel": "a"}
    )
    assert inputs_key({"kernel": "a"}) != inputs_key({"kernel": "b"})


class Named:
    def __init__(self, name: str) -> None:
        self.name = self.id = name


def test_what_failed_last_comes_first_or_alone():
    pairs = [(Named(name), Named("6.1")) for name in "abcd"]
    last = {("c", "6.1"): Verdict.CRASHED, ("b", "6.1"): Verdict.PASSED, ("d", "5"): Verdict.FAILED}

    def names(chosen):
        return "".join(one.name for one, _ in chosen)

    assert names(choose.failed(pairs, last)) == "c"
    assert names(choose.failed_first(pairs, last)) == "cabd"
    assert names(choose.failed(pairs, {})) == ""


def test_the_commands_show_what_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vmlab.yaml").write_text("")
    nothing = CliRunner().invoke(app, ["history"])
    assert "nothing is kept yet" in str(nothing.exception)
    with Store(place(tmp_path), print) as store:
        store.entries("*", "*", 1)  # as after one that was damaged
    assert place(tmp_path).exists()
    for words, said in ((["history"], "no run is kept in "), (["history", "x"], "no run of 'x'")):
        assert str(CliRunner().invoke(app, words).exception).startswith(said)
    with Store(place(tmp_path), print) as store:
        store.add([entry(1), entry(2, **FAILED), entry(3, scenario="two")])
    shown = CliRunner().invoke(app, ["history"]).stdout.splitlines()
    assert len(shown) == 3
    assert shown[1].split()[:3] == ["one", "6.1", "failed"]
    assert "1 of 2  50.0%  9.5% to 90.5%  1.50 s" in shown[1]
    assert "one" not in CliRunner().invoke(app, ["history", "two"]).stdout
    flaky = CliRunner().invoke(app, ["flaky"]).stdout
    assert "itself (one seed gave both)" in flaky and "failed: vmlab replay vm1:bad" in flaky
    assert "nothing is flaky in 1 run" in CliRunner().invoke(app, ["flaky", "two"]).stdout
    none = CliRunner().invoke(app, ["history", "three"])
    assert "no run of 'three' on '*' is kept" in str(none.exception)
