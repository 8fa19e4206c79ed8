"""The chart of what became of the last runs."""

import dataclasses

import told_runs
from test_history import entry
from told_runs import record

from vmlab.cli.reports import with_past
from vmlab.history.store import Store, place
from vmlab.report.page import html
from vmlab.report.trend import BARS, HEIGHT, trend
from vmlab.verdict import Verdict


def test_one_run_is_no_trend():
    assert trend([]) is None and trend([entry(1)]) is None


def test_bars_are_as_high_as_runs_are_long():
    some = [
        entry(1, wall_s=1.0), entry(2, wall_s=4.0, verdict=Verdict.FAILED),
        entry(3, wall_s=0.0, verdict=Verdict.SKIPPED),
    ]  # fmt: skip
    found = trend(some)
    assert found is not None
    assert [(bar.left, bar.top, bar.height) for bar in found.bars] == [
        (0.0, 30.0, 10.0), (6.0, 0.0, HEIGHT), (12.0, 37.0, 3.0),
    ]  # fmt: skip
    assert [str(bar.verdict) for bar in found.bars] == ["passed", "failed", "skipped"]
    assert found.about == "1 of 2 failed since 1970-01-01, 1.0 s in the middle, 4.0 s at most"


def test_the_newest_are_shown():
    found = trend([entry(number, wall_s=float(number)) for number in range(BARS + 5)])
    assert found is not None and len(found.bars) == BARS
    assert found.bars[-1].about.endswith("44.0 s")


def test_the_page_has_the_chart_of_a_run_that_has_a_past(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_DATA", str(tmp_path / "data"))
    report = told_runs.report(tmp_path / "20261124-120000-1-1", record("loads"), record("new"))
    assert with_past(report, tmp_path) is report
    with Store(place(tmp_path), print) as store:
        store.add([entry(n, scenario="loads", kernel="6.1-686") for n in range(3)])
        store.add([entry(9, scenario="loads", kernel="6.1-686", explored=True)])
    told = with_past(report, tmp_path)
    assert list(told.past) == [("loads", "6.1-686")]
    assert len(told.past["loads", "6.1-686"].bars) == 3
    page = html(told)
    assert page.count('class="trend"') == 1 and page.count('class="bar passed"') >= 3
    assert 'aria-label="0 of 3 failed since 1970-01-01' in page
    assert "style=" not in page


def test_a_history_that_cannot_be_read_leaves_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VMLAB_DATA", str(tmp_path / "data"))
    report = told_runs.report(tmp_path / "20261124-120000-1-1", record("loads"))
    place(tmp_path).mkdir(parents=True)
    assert with_past(report, tmp_path) is report
    assert "the history in" in capsys.readouterr().err
    assert dataclasses.asdict(report)["past"] == {}
