"""What `vmlab run` writes of real guests, in each format at once."""

import itertools
import json
import xml.etree.ElementTree as ET

import ktap as reader
import pytest
from typer.testing import CliRunner

from vmlab.cli import app

KERNEL = "6.1.0-50-amd64"
SCENARIOS = {
    "a-passes": "  - write: /dev/kmsg hello\n  - console: hello\n",
    "b-fails": "  - write: /dev/kmsg <script>1</script>\n  - console: bye\n",
    "c-crashes": "  - write: /proc/sysrq-trigger c\n  - run: 'true'\n",
    "d-late": "  - sleep: 10m\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "vmlab.yaml").write_text("")
    (tmp_path / "scenarios").mkdir()
    for name, steps in SCENARIOS.items():
        skip = f"skip_if:\n  - kernel: '{KERNEL}'\n    reason: not here\n"
        text = f"name: {name}\nabout: x\n{skip if name == 'd-late' else ''}steps:\n{steps}"
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.guest
def test_each_format_tells_of_the_same_runs(project):
    (project / "summary").write_text("")
    formats = ("html", "junit", "ktap", "markdown", "jsonl")
    words = [word for name in formats for word in (f"--{name}", f"out.{name}")]
    done = CliRunner(env={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary"}).invoke(
        app, ["run", "--kernel", KERNEL, "-j", "1", "--json", "out.json", *words]
    )
    assert done.exit_code == 1
    runs = json.loads((project / "out.json").read_text())["runs"]
    verdicts = {run["scenario"]: run["verdict"] for run in runs}
    assert verdicts == {"a-passes": "passed", "b-fails": "failed", "c-crashes": "crashed",
                        "d-late": "skipped"}  # fmt: skip
    (kernel,) = reader.parse((project / "out.ktap").read_text()).subtests
    assert {one.name: one.ok for one in kernel.subtests} == {
        name: verdict in ("passed", "skipped") for name, verdict in verdicts.items()
    }
    suite = ET.fromstring((project / "out.junit").read_text())[0]
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["4", "2", "1"]
    html = (project / "out.html").read_text()
    assert "&lt;script&gt;1&lt;/script&gt;" in html and html.count("<script>") == 1
    summary = (project / "summary").read_text()
    assert summary == (project / "out.markdown").read_text()
    told = done.stdout.splitlines()
    mute = next(line for line in told if line.startswith("::stop-commands::"))
    after = told[told.index(f"::{mute.rpartition(':')[2]}::") + 1 :]
    assert [line.split("::")[1] for line in after] == [
        "error file=scenarios/c-crashes.yaml,line=4,title=crashed%3A c-crashes on " + KERNEL,
        "error file=scenarios/b-fails.yaml,line=5,title=failed%3A b-fails on " + KERNEL,
    ]
    events = [json.loads(line) for line in (project / "out.jsonl").read_text().splitlines()]
    _check_events(events, verdicts)


def _check_events(events, verdicts):
    assert (events[0]["event"], events[0]["version"]) == ("start", 1)
    assert [run["scenario"] for run in events[0]["runs"]] == list(verdicts)
    order = [event["event"] for event in events if event.get("scenario") == "a-passes"]
    assert order == ["run-start", "step", "step", "run-end"]
    ends = {one["scenario"]: one["verdict"] for one in events if one["event"] == "run-end"}
    assert ends == verdicts
    assert events[-1] == {
        "time": events[-1]["time"], "event": "end", "exit_status": 1,
        "counts": {"passed": 1, "failed": 1, "crashed": 1, "skipped": 1},
    }  # fmt: skip
    steps = [event for event in events if event["event"] == "step"]
    assert [one["state"] for one in steps if one["scenario"] == "c-crashes"] == [
        "crashed", "not reached",
    ]  # fmt: skip
    assert all(before["time"] <= after["time"] for before, after in itertools.pairwise(events))


def test_a_file_that_cannot_be_written_is_said_before_a_guest_runs(project):
    for words in (["--html", "no/x.html"], ["--jsonl", "no/x"], ["--ktap", "scenarios"]):
        done = CliRunner().invoke(app, ["run", *words])
        assert type(done.exception).__name__ == "UsageError", done.output
        assert words[1] in str(done.exception)
    assert not (project / "vmlab-out").exists()
