"""The command line as a whole."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from vmlab.cli import app
from vmlab.errors import UsageError


def commands(group, *before):
    """Every command's words."""
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *before, name)


@pytest.mark.parametrize("words", [*commands(typer.main.get_command(app))], ids=" ".join)
def test_each_command_has_h_beside_help(words):
    short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert short.stdout == long.stdout and "-h, --help" in short.stdout


def test_the_version_is_vmlab_s_python_s_and_qemu_s(monkeypatch):
    monkeypatch.setattr("vmlab.snapshots.qemu_version", lambda program: "QEMU 99")
    said = CliRunner().invoke(app, ["--version"])
    python = ".".join(map(str, sys.version_info[:3]))
    assert (said.exit_code, said.stdout) == (
        0,
        f"vmlab {version('vmlab')}, Python {python}, QEMU 99\n",
    )


def vmlab(folder, output, unbuffered, *words):
    program = [sys.executable, "-c", "from vmlab.cli import main; main()", *words]
    known = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(
        program, cwd=folder, env=known, stdout=output, stderr=subprocess.PIPE, text=True,
        timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def full():
    with open("/dev/full", "w") as file:
        yield file


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["run one --json out.json --junit out.xml", "schema", "-h"])
def test_an_output_that_takes_nothing_is_the_lab_s_trouble(tmp_path, full, unbuffered, words):
    (tmp_path / "vmlab.yaml").write_text("")
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "one.yaml").write_text(
        "name: one\nabout: x\nskip_if:\n  - kernel: all\n    reason: not here\n"
        "steps:\n  - sleep: 1s\n"
    )
    done = vmlab(tmp_path, full, unbuffered, *words.split())
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "vmlab: writing to standard output: no space left on device; not all of it was written"
    )
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    if words.startswith("run"):  # what can be written is
        runs = json.loads((tmp_path / "out.json").read_text())["runs"]
        assert {run["verdict"] for run in runs} == {"skipped"}
        assert (tmp_path / "out.xml").exists()


def test_a_reader_that_has_seen_enough_hears_no_complaint(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as output:
        done = vmlab(tmp_path, output, "", "-h")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [("run --kernel a --kernel=b", "--kernel was given 2 times, and takes one value; write several "
      "with commas between"),
     ("kernels add x --name a --name b --name c", "--name was given 3 times, and takes one value")],
)  # fmt: skip
def test_an_option_that_is_given_twice_is_not_taken_by_its_last_value(words, said):
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_what_may_be_given_twice_may(tmp_path):
    words = ["run", "none", "--tag", "a", "--tag", "b", "--perturb", "--perturb"]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UsageError), done.output
