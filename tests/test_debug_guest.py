"""Runs under gdb, in real guests."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_tutorial import blocks

from vmlab import replay as replaying
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.debug import stop, trace
from vmlab.errors import UsageError
from vmlab.inputs import output_key
from vmlab.lab import Options, prepare
from vmlab.project import find
from vmlab.tokens import read

ROOT = Path(__file__).parent.parent
KERNELS = ("6.1.0-50-686", "6.1.0-50-amd64")
NEWER = "7.2*"  # whose tables of the stack have other numbers
ZOMBIE = r"Process PID = \d+,::PPID = \d+,::State = \d+ ::Zombie=ZOMBIE"
HANGS = """\
name: hangs
about: does not come to an end
timeout: 600m
steps:
  - write: /dev/kmsg here it hangs
  - run: 'while :; do :; done'
"""

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed"),
]


def vmlab(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["vmlab", *words], cwd=root, env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    made = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "kmod", made / "kmod")
    shutil.copytree(ROOT / "scenarios", made / "scenarios")
    shutil.copy(ROOT / "vmlab.yaml", made)
    (made / "scenarios" / "hangs.yaml").write_text(HANGS)
    return made


@pytest.fixture(scope="module", params=[*KERNELS, pytest.param(NEWER, marks=pytest.mark.slow)])
def token(request, root):
    done = vmlab(root, "run", "zombie-detect", "--kernel", request.param, "--json", "runs.json")
    assert done.returncode == 0, done.stderr
    (run,) = json.loads((root / "runs.json").read_text())["runs"]
    return str(run["token"])


@pytest.fixture
def artifacts(root, monkeypatch):
    monkeypatch.chdir(root)
    cache = Cache.default()
    return Artifacts(cache, Catalog.open(cache))


def commands(*lines: str) -> list[str]:
    return [word for line in lines for word in ("--gdb-command", line)]


def test_gdb_sees_functions_of_kernel_and_module_and_changes_nothing(root, token):
    shutil.rmtree(root / "vmlab-out")
    done = vmlab(
        root, "replay", token, "--gdb", *commands(
            "shell wc -c vmlab-out/*/*/console",
            "break monitor", "continue", "next",
            "delete", "break schedule_timeout", "continue", "backtrace",
            "delete", "stepi 50", "watch *(int *)&state", "continue", "continue 20",
        ),
    )  # fmt: skip
    said = done.stdout
    assert "the guest stands at its program's start" in said, said + done.stderr
    assert re.search(r"^0 vmlab-out/", said, re.MULTILINE), said
    assert re.search(r"Breakpoint 1, monitor \(unused=.*\) at kthread_monitor\.c:\d+", said), said
    assert 'printk(KERN_ALERT "::Inside Thread Function::\\n");' in said  # the source's line
    stack = said[said.index("#0 ") :]
    frames = re.findall(r"^#\d+ +(?:0x\w+ in )?(\w+) \(", stack, re.MULTILINE)
    expected = ["schedule_timeout", "pause_until_next", "monitor", "kthread"]
    assert frames[:4] == expected, said
    if "amd64" in token:  # i386 keeps no frame of what has no caller
        assert frames[4:] in (["ret_from_fork"], ["ret_from_fork", "ret_from_fork_asm"])
    assert "the guest ran to its end: console and results are the same to the byte" in said


def test_a_run_is_stopped_before_a_line_and_goes_on_to_print_it(root, token, artifacts):
    _, prepared = replaying.prepare(read(token), find(root), artifacts)
    run = stop.record(prepared.job, artifacts)
    files = prepared.job.run
    assert read(token).gave(output_key(files))
    line = re.search(ZOMBIE.encode(), run.console)
    begin = run.console.rindex(b"\n", 0, line.start()) + 1
    with stop.stopped(run, ZOMBIE, None) as stopped:
        assert files.console.read_bytes() == run.console[:begin]
        assert stopped.guest.alive()
        assert "before the line: " in stopped.where
        with stopped.guest.stub(60) as stub:
            counter = trace.REGISTERS[run.boot.machine.arch.name]
            at = stub.register(counter.counter, counter.size)
            assert at == run.kernel.addresses[trace.PRINTS]
            stub.stop_at(at)
            stub.step_over(at)
            assert stub.go_on()
            assert files.console.read_bytes() == run.console[: run.console.index(b"\n", begin) + 1]
            stub.pass_by(at)
            assert not stub.go_on()
        stopped.guest.process.wait(20)
    assert read(token).gave(output_key(files))
    with pytest.raises(UsageError, match="no line of this run's console matches 'no such line'"):
        stop.place(run.console, "no such line")


def test_a_pattern_that_no_line_has_is_told(root, token):
    done = vmlab(root, "replay", token, "--at", "Zombie=ZOMBIES")
    assert done.returncode == 2
    assert "no line of this run's console matches 'Zombie=ZOMBIES'; the nearest is: " in done.stderr


def test_a_run_that_hangs_is_on_tape_too(root, artifacts):
    runner, ((expanded, kernel),) = prepare(
        find(root), artifacts, ["hangs"], [], KERNELS[0], Options()
    )
    prepared = runner.prepare(expanded, kernel, runner.directory(expanded, kernel))
    run = stop.record(replace(prepared.job, timeout_s=3.0), artifacts)
    assert b"here it hangs" in run.console
    with stop.stopped(run, "here it hangs", None) as stopped:
        assert b"here it hangs" not in prepared.job.run.console.read_bytes()
        assert stopped.guest.alive()


def plain(text: str) -> list[str]:
    """Without what may differ: numbers, addresses, directories, the width of columns."""
    text = re.sub(r"0x[0-9a-f]+", "ADDRESS", re.sub(r"\S*/vmlab-out/\S*/", "DIR/", text))
    lines = [re.sub(r"\d+(\.\d+)?", "N", re.sub(r"\s+", " ", line)) for line in text.splitlines()]
    return [line.strip() for line in lines if line.strip()]


def test_the_pages_commands_print_what_it_says(root):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = blocks((ROOT / "docs" / "debugging.md").read_text())
    assert len(found) == 2
    for command, output in found:
        done = subprocess.run(
            ["sh", "-c", command], cwd=root, env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert plain(done.stdout) == plain(output), done.stderr
