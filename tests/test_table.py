"""What `vmlab run` shows while it works and at its end."""

import io

from rich.console import Console

from vmlab.report import table
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict


def test_the_status_line_names_what_is_under_way_and_is_short():
    assert table.progress(0, 72, ["a 6.1"]) == "0 of 72 done; under way: a 6.1"
    line = table.progress(3, 72, [f"{name} 6.1" for name in "abc"])
    assert line == "3 of 72 done; under way: a 6.1 and 2 more"
    assert table.progress(72, 72, []) == "72 of 72 done"


def test_four_kernels_fit_into_80_columns():
    kernels = ("5.10.0-32-686", "5.10.0-32-amd64", "6.1.0-50-686", "6.1.0-50-amd64")
    judged = Judgement(Verdict.PASSED)
    runs = [Run("parameters-rejected", one, "", "", judged, 123.4, 1, "") for one in kernels]
    assert shown(runs, 80) == [
        "                     5.10.0-32      5.10.0-32      6.1.0-50       6.1.0-50",
        "scenario             686            amd64          686            amd64",
        "parameters-rejected  passed 123.4s  passed 123.4s  passed 123.4s  passed 123.4s",
        "4 passed",
    ]
    assert shown(runs, 120)[0].split() == ["scenario", *kernels]


def shown(runs: list[Run], width: int) -> list[str]:
    out = io.StringIO()
    table.show(runs, Console(file=out, width=width, highlight=False))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_files_are_named_from_here(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    folder = str(tmp_path / "vmlab-out" / "1" / "storm-6.1")
    run = Run("storm", "6.1", "i386", "qemu", Judgement(Verdict.FAILED, "no"), 1, 1, folder)
    for here, seen in ((tmp_path, "vmlab-out/1/storm-6.1"), (tmp_path / "sub", folder)):
        monkeypatch.chdir(here)
        assert f"  files:  {seen}" in shown([run], 80 + len(folder))
