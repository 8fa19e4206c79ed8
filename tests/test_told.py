"""What was found is told, whatever happens to the one who tells it."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from vmlab import executor, explore, lab
from vmlab.cli import app
from vmlab.errors import LabError, VmlabError
from vmlab.explore import Found
from vmlab.project import Project, Settings
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict

FAILED = Judgement(Verdict.FAILED, "no match")
RUN = Run("hello", "6.1.0-50-686", "i386", "qemu", FAILED, 1.0, 1.0, "run")


@pytest.fixture(params=["run", "explore"])
def command(request, tmp_path, monkeypatch):
    """One that has one failed run to tell of, and then `after`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vmlab.yaml").write_text("")
    runner = SimpleNamespace(
        project=Project(tmp_path, Settings()), stamp="now", backend=SimpleNamespace()
    )
    monkeypatch.setattr(lab, "prepare", lambda *given: (runner, []))
    after: list[Exception] = []

    def runs(*given):
        yield RUN if request.param == "run" else Found(1, RUN)
        if after:
            raise after[0]

    monkeypatch.setattr(executor, "execute", runs)
    monkeypatch.setattr(explore, "explore", runs)

    def invoke(*words: str, error: Exception | None = None):
        after.extend([error] if error else [])
        return CliRunner().invoke(app, [request.param, "hello", "--kernel", "all", *words])

    return invoke


def test_a_file_that_cannot_be_written_is_named_after_the_table(command):
    done = command("--json", "no/such/folder.json")
    assert isinstance(done.exception, LabError)
    assert str(done.exception) == "writing no/such/folder.json: no such file or directory"
    assert "no match" in done.output


def test_an_error_between_runs_does_not_lose_those_before(command):
    done = command("--json", "out.json", error=VmlabError("the cache is gone"))
    assert str(done.exception) == "the cache is gone"
    assert "no match" in done.stdout


def test_no_command_s_help_is_cut_off_in_80_columns():
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    assert "verify-determinism" in shown
    assert "..." not in shown.partition("Commands:")[2]
