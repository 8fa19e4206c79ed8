"""What `vmlab run` and pytest keep of runs, and take from it for the next ones."""

import json

import pytest
from test_plugin import project, run  # noqa: F401 - a fixture, and what it is for
from typer.testing import CliRunner

import vmlab.lab  # noqa: F401 - imported here, it is the same module inside
from vmlab.cli import app
from vmlab.history.store import Store, place

KERNEL = "6.1.0-50-686"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_DATA", str(tmp_path))


def kept(root) -> list[tuple[str, str, str]]:
    with Store(place(root), print) as store:
        return [(one.scenario, str(one.verdict), one.origin) for one in store.entries()]


def ran(project, *words: str) -> tuple[int, list[str]]:  # noqa: F811
    done = CliRunner().invoke(
        app, ["run", "--no-snapshot", "--kernel", KERNEL, "-j", "1", "--json", "out", *words]
    )
    runs = json.loads((project.path / "out").read_text())["runs"]
    return done.exit_code, [one["scenario"] for one in runs]


def test_runs_are_kept_and_what_failed_is_run_alone_or_first(project, monkeypatch):  # noqa: F811
    monkeypatch.chdir(project.path)
    assert ran(project, "--last-failed") == (1, ["fails", "passes"])  # nothing failed yet: all
    assert kept(project.path) == [("fails", "failed", "run"), ("passes", "passed", "run")]
    assert ran(project, "--lf") == (1, ["fails"])
    fails = project.path / "scenarios" / "fails.yaml"
    fails.write_text(fails.read_text().replace("wurld", "world"))
    passes = project.path / "scenarios" / "passes.yaml"
    passes.write_text(passes.read_text().replace("console: hello", "console: nothing"))
    assert ran(project) == (1, ["fails", "passes"])
    assert ran(project, "--ff") == (1, ["passes", "fails"])
    assert [one[0] for one in kept(project.path)][-2:] == ["passes", "fails"]


def test_known_failures_are_not_held_against_it(project, monkeypatch):  # noqa: F811
    monkeypatch.chdir(project.path)
    known = "known_failures:\n  - scenario: {}\n    reason: bug 7\n    until: 2999-01-01\n"
    (project.path / "vmlab.yaml").write_text(known.format("fails"))
    done = CliRunner().invoke(app, ["run", "--no-snapshot", "--kernel", KERNEL])
    assert done.exit_code == 0
    assert f"fails on {KERNEL} known until 2999-01-01: bug 7" in done.stdout
    (project.path / "vmlab.yaml").write_text(known.format("passes").replace("2999", "2020"))
    done = CliRunner().invoke(app, ["run", "--no-snapshot", "--kernel", KERNEL])
    assert done.exit_code == 1
    assert "passes, and is known to fail: bug 7; take it out of vmlab.yaml" in done.stdout


def test_pytest_keeps_runs_and_knows_failures_as_xfail(project):  # noqa: F811
    run(project, "--vmlab-cold").assert_outcomes(passed=1, failed=1)
    assert kept(project.path) == [("fails", "failed", "pytest"), ("passes", "passed", "pytest")]
    entry = "  - scenario: {}\n    reason: bug 7\n    until: 2999-01-01\n"
    known = "known_failures:\n" + entry.format("fails") + entry.format("passes")
    (project.path / "vmlab.yaml").write_text(known)
    run(project, "--vmlab-cold").assert_outcomes(xfailed=1, xpassed=1)
    (project.path / "vmlab.yaml").write_text(known + "    if_passed: fail\n")
    run(project, "--vmlab-cold").assert_outcomes(xfailed=1, failed=1)
