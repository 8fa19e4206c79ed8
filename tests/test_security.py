"""A hostile guest, and a stranger's files: what they try, and that it comes to nothing."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import stand_in
from rich.console import Console
from test_runner import Backend
from typer.testing import CliRunner

from vmlab.archive import opened
from vmlab.cache import Cache
from vmlab.cli import app
from vmlab.errors import LabError, UsageError
from vmlab.guest import launch, program
from vmlab.guest.results import parse
from vmlab.plain import plain
from vmlab.report import clean, table
from vmlab.runner import Run, file_name
from vmlab.scenario import Known, ScenarioError, expand, load
from vmlab.verdict import Judgement, Verdict

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[1;1H\x9b31m\rpassed\x08\u202egnp.exe\x00\ud800"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text\twith\nlines, ä and 漢", "plain text\twith\nlines, ä and 漢"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\rb\x08\x7f", "a\\x0db\\x08\\x7f"),
        ("\u202ecod.exe", "\\u202ecod.exe"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\u3164\ufe0f\uffa0", "\\u3164\\ufe0f\\uffa0"),
    ],
)
def test_what_acts_and_is_not_seen_is_written_as_an_escape(text, shown):
    assert plain(text) == shown


def test_reports_for_machines_show_the_same_characters():
    for letter in map(chr, range(0x110000)):
        assert (clean.visible(letter) != letter) == (plain(letter) != letter), ascii(letter)


def acts(text: str) -> list[str]:
    return [letter for letter in text if plain(letter) != letter]


@pytest.mark.parametrize("width", [40, 200])
def test_a_report_of_a_hostile_run_moves_no_cursor(width):
    judgement = Judgement(Verdict.FAILED, HOSTILE, 1, 2, HOSTILE, HOSTILE, HOSTILE)
    run = Run("one", "6.1.0-50-686", "i386", "qemu", judgement, 1.0, 1.0, "run")
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, highlight=False)
    table.show([run], console)
    console.print(table.line(run), soft_wrap=True)
    assert "owned" in out.getvalue()
    assert acts(out.getvalue()) == []


def test_an_error_s_message_moves_no_cursor():
    assert str(LabError(f"the guest ended; its console: {HOSTILE}")).count("\\x1b") == 3
    assert acts(str(UsageError(HOSTILE))) == []


@pytest.mark.guest
def test_what_a_hostile_guest_prints_is_shown_and_does_nothing(tmp_path):
    """Its console, its output and its captures, by `vmlab run`, on a pipe and in JSON."""
    steps = """
  - run: "printf 'k=\\\\033[2J\\\\033]0;owned\\\\007\\\\n'; printf '\\\\033[1;1Hat home\\\\r\\\\n' > /dev/kmsg"
    as: r
  - run: "exit 3"
"""  # noqa: E501
    (tmp_path / "vmlab.yaml").write_text("")
    (tmp_path / "scenarios").mkdir()
    text = f"name: one\nabout: x\nsteps:{steps}"
    (tmp_path / "scenarios" / "one.yaml").write_text(text)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["vmlab", "run", "one", "--kernel", "6.1.0-50-686", "--json", "out.json"],
        cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "exit status 3" in done.stdout
    shown = done.stdout + done.stderr + (tmp_path / "out.json").read_text()
    assert acts(shown) == []


NAMES = [
    ("a file", "name: ../../owned\n", "is no name"),
    ("an absolute path", "name: /tmp/owned\n", "is no name"),
    ("a module", "name: one\nmodules: [../../etc]\n", "unknown module"),
    ("a workload", "name: one\nworkloads: [../../../bin/sh]\n", "unknown workload"),
    ("a capture", "name: one\nsteps:\n  - run: x\n    as: ../a\n", "is no name"),
    ("a tag", "name: one\ntags: [../a]\n", "is no name"),
]


@pytest.mark.parametrize(("text", "said"), [one[1:] for one in NAMES], ids=[o[0] for o in NAMES])
def test_a_name_in_a_file_leads_nowhere(tmp_path, text, said):
    file = tmp_path / "one.yaml"
    file.write_text(text + ("" if "steps" in text else "steps:\n  - sleep: 1s\n") + "about: x\n")
    with pytest.raises(ScenarioError, match=said):
        load(file, Known())


def test_values_of_parameters_do_not_lead_a_run_out_of_its_directory(tmp_path):
    """And no run into another's."""
    backend = Backend(launch.Ended("off"))
    values = '["/../../../../../owned", "../x", "\\e[2J", "a/b", "a_b", "\\u202e", "%s"]' % (
        "y" * 999
    )
    steps = f"\n  - sleep: 1s\nparameters:\n  p: {values}\n"
    made = stand_in.artifacts(tmp_path)
    runs = list(stand_in.runs(tmp_path, made, backend, 20, steps))
    assert len({run.dir for run in runs}) == len(runs) == 7
    for run in runs:
        assert Path(run.dir).resolve().is_relative_to(tmp_path / "vmlab-out")
        assert len(Path(run.dir).relative_to(tmp_path / "vmlab-out").parts) == 2
        assert acts(run.scenario + run.dir) == []
    assert not list(tmp_path.rglob("owned"))
    assert file_name("storm(count=2)") == "storm(count=2)"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(12)
)
YAMLS = [
    ("a tag that calls", "name: !!python/object/apply:os.system [touch {owned}]\n", "about"),
    ("aliases that multiply", BOMB, "its aliases contain themselves, or make more than"),
    ("an alias of itself", "name: &a [*a]\n", "its aliases contain themselves"),
    ("ten thousand levels", "a: " + "[" * 10_000, "nested deeper than 32 levels"),
    ("ten thousand blocks", "- " * 10_000, "nested deeper than 32 levels"),
    ("too long", "#" * (2 << 20), "the file is longer than"),
    ("markup", "name: one\nabout: '[/x]'\nsteps: [{run: '[/bold]'}]\nx: '[/y]'\n", "unknown key"),
    ("escapes", 'name: one\nabout: x\n"\\e[2J": 1\nsteps: [{sleep: 1s}]\n', "unknown key"),
]


@pytest.mark.parametrize(("text", "said"), [one[1:] for one in YAMLS], ids=[o[0] for o in YAMLS])
def test_a_hostile_file_is_told_what_is_wrong_with_it(tmp_path, text, said):
    file = tmp_path / "one.yaml"
    file.write_text(text.replace("{owned}", str(tmp_path / "owned")))
    with pytest.raises(ScenarioError, match=re.escape(said)) as raised:
        load(file, Known())
    assert acts(str(raised.value)) == []
    assert not (tmp_path / "owned").exists()


def test_markup_in_values_of_parameters_is_text(tmp_path):
    backend = Backend(launch.Ended("off"))
    steps = "\n  - sleep: 1s\nparameters:\n  p: ['[/bold]', '[link=file:///etc]x']\n"
    runs = list(stand_in.runs(tmp_path, stand_in.artifacts(tmp_path), backend, 20, steps))
    out = io.StringIO()
    table.show(runs, Console(file=out, width=300))
    assert "one(p=[/bold])" in out.getvalue() and "[link=file:///etc]x" in out.getvalue()


def test_a_file_of_steps_starts_nothing_on_the_host(tmp_path, monkeypatch):
    """All its words that are commands are the guest's; what is built is what the project has."""
    began: list[object] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **more: began.append(words))
    monkeypatch.setattr(os, "system", lambda words: began.append(words))
    file = tmp_path / "one.yaml"
    file.write_text(
        "name: one\nabout: $(touch owned)\nkernels: default\nsteps:\n"
        "  - run: touch owned\n  - spawn: '`touch owned`'\n  - write: /tmp/x $(touch owned)\n"
        "  - modprobe: ../../../owned\n  - read: /etc/shadow\n  - insmod: m x=$(touch owned)\n"
        "modules: [m]\n"
    )
    (one,) = expand(load(file, Known(frozenset({"m"}))))
    program.archive(one.program(), {})
    assert began == []


HOSTILE_PORTS = [
    ("a path as a capture", "# set ../../x=../../y\n"),
    ("a huge number", "1..99999999999999999999\n"),
    ("a huge step", "\x1e# begin 99999999999999999999\n"),
    ("nested results", "# | KTAP version 1\n# | 1..1\n# | ok 1 - run true\n"),
    ("more results than steps", "ok 1 - run\nok 2 - run\n"),
    ("markup", "# | <script>alert(1)</script> ]]> &amp;\n"),
    ("a line of a megabyte", "x" * (1 << 20) + "\n"),
    ("a note of a megabyte", "# a: " + " " * (1 << 20) + "\n"),
    ("a result of a megabyte", "ok 1 - run " + " # SKIP" * (1 << 17) + "\n"),
]


@pytest.mark.parametrize(
    "port", [one[1] for one in HOSTILE_PORTS], ids=[one[0] for one in HOSTILE_PORTS]
)
def test_results_that_the_agent_did_not_write_are_no_pass(tmp_path, port):
    head = "KTAP version 1\n# kernel=6.1.0-50-686\n"
    assert parse(head + port).fault is not None
    backend = Backend(launch.Ended("off"), head + port)
    run = stand_in.run(tmp_path, stand_in.artifacts(tmp_path), backend)
    assert run.judgement.verdict in (Verdict.CRASHED, Verdict.BROKEN, Verdict.FAILED)
    files = {path.name for path in Path(run.dir).iterdir()}
    assert files == {"console", "results", "transcript", "program.tar", "mode", "verdict.json"}


def test_an_archive_of_a_stranger_s_writes_only_its_own_members(tmp_path):
    import tarfile

    file = tmp_path / "run.vmlab"
    with tarfile.open(file, "w:gz") as tar:
        for name in ("../../owned", "/tmp/owned", "meta.json"):
            about = tarfile.TarInfo(name)
            about.size = 2
            tar.addfile(about, io.BytesIO(b"{}"))
    with pytest.raises(UsageError, match="is no archive of a run"):
        opened(file, Cache(tmp_path / "cache"))
    assert [path for path in tmp_path.rglob("owned")] == []
    assert not Path("/tmp/owned").exists()


def test_a_project_s_files_are_not_asked_for_hooks(tmp_path, monkeypatch):
    """vmlab.yaml names directories alone: nothing in it is run, and no other key is taken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vmlab.yaml").write_text("before: touch owned\n")
    done = CliRunner().invoke(app, ["run"])
    assert "before" in str(done.exception)
    assert not (tmp_path / "owned").exists()
