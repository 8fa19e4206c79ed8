"""Builds that do not end, and labs that do."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vmlab.build import kbuild, process
from vmlab.errors import LabError

ENV = {"PATH": os.environ["PATH"]}


def shell(text: str, limit_s: float = 60) -> process.Done:
    return process.run(["sh", "-c", text], ENV, limit_s)


def gone(pid: int) -> bool:
    """Whether a process has ended, within some seconds; one that nobody waits for is a zombie."""
    for _ in range(100):
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        if text.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_what_a_command_says_and_its_status_come_back():
    assert shell("echo out; echo err >&2; exit 3") == process.Done(3, "out\n", "err\n")
    assert shell("kill -KILL $$").returncode == 128 + signal.SIGKILL
    assert shell("printf '\\377'").stdout == "\N{REPLACEMENT CHARACTER}"


def test_a_command_that_is_not_there_is_a_failure_with_its_name():
    done = process.run(["no-such-maker"], ENV)
    assert done.returncode == 127
    assert "no-such-maker" in done.stderr


def test_a_command_gets_no_input_and_the_descriptors_that_it_is_to_hold():
    read, write = os.pipe()
    held = [os.dup2(write, number) for number in (203, 204)]
    code = (
        "import os; from vmlab.build import process; os.dup2(203, 3); os.dup2(204, 4);"
        "asks = 'read -r answer || echo nobody; echo three >&3; echo four >&4';"
        f"print(process.run(['sh', '-c', asks], {ENV!r}, 60, [3, 4]).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, pass_fds=held)
    assert done.stdout == b"nobody\n\n"
    assert os.read(read, 99) == b"three\nfour\n"
    for number in (read, write, *held):
        os.close(number)


@pytest.mark.parametrize(
    ("text", "why"),
    [("echo first; sleep 600", "no process of it did anything.*a lock; it was in: sleep 600$"),
     ("while :; do :; done", "was not done after .*; it was in: sh -c while"),
     ("while echo why; do :; done", "printed more than")],
)  # fmt: skip
def test_a_command_that_does_not_end_is_ended_and_says_how_it_hung(monkeypatch, text, why):
    monkeypatch.setattr(process, "_LOUDEST", 1 << 20)
    began = time.monotonic()
    done = shell(text, 600 if "why" in text else 0.4)
    assert re.search(why, done.ended), done.ended
    assert done.returncode < 0
    assert time.monotonic() - began < 30


def test_of_a_build_that_was_ended_its_last_words_are_told():
    done = process.Done(-9, "".join(f"{n}\n" for n in range(9)), "error: old\n", "ended: it hung")
    said = kbuild.message(done, Path("/x")).splitlines()
    assert said == ["ended: it hung", "its last words:", *"45678", "error: old"]


def test_what_a_command_leaves_in_the_background_ends_with_it():
    began = time.monotonic()
    done = shell("(trap '' TERM; exec sleep 600) & echo $!")
    assert (done.ended, done.returncode) == ("", 0)
    assert gone(int(done.stdout))
    assert time.monotonic() - began < 30


def test_what_left_the_session_is_not_waited_for():
    began = time.monotonic()
    done = shell("setsid sh -c 'echo $$; exec sleep 20' & sleep 0.3")
    os.kill(int(done.stdout), signal.SIGKILL)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_build_ends_with_the_lab(tmp_path, number):
    """However the lab ends: its builds have a session of their own, which no terminal ends."""
    text = "echo $$ > told; (sleep 600; :) & wait"
    code = f"from vmlab.build import process; process.run(['sh', '-c', {text!r}], {ENV!r})"
    lab = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    told = tmp_path / "told"
    while not (told.exists() and told.read_text().endswith("\n")):
        assert lab.poll() is None
        time.sleep(0.05)
    build = int(told.read_text())
    assert Path(f"/proc/{build}").exists()
    lab.send_signal(number)
    lab.wait(30)
    assert gone(build)


def test_a_build_that_is_ended_with_the_lab_has_not_failed():
    """Else its module would be said not to build; the next one is not ended."""
    with ThreadPoolExecutor(1) as pool:
        build = pool.submit(shell, "echo begun; exec sleep 600")
        while not process._RUNNING:
            time.sleep(0.01)
        process.end()
        with pytest.raises(process.StoppedError, match="the lab was stopped"):
            build.result(30)
    assert not process._RUNNING and not process._ENDED
    assert shell("echo fine").stdout == "fine\n"


def watched(moments: list[tuple[float, float, bool]], limit_s: float = 100) -> process._Watch:
    """A build that is looked at: the time, the CPU time until then, and whether something runs."""
    now = [0.0]
    watch = process._Watch(1, limit_s, ["make"], lambda: now[0], lambda pid: moments[0][1:])
    while moments and not watch.why:
        now[0] = moments[0][0]
        watch.over()
        moments.pop(0)
    return watch


def test_the_host_s_load_is_not_held_against_a_build():
    """Its processes are ready to run, and do not come to it."""
    loaded = [(float(at), at * 0.05, True) for at in range(0, 450, 5)]
    assert watched(list(loaded)).why == ""
    with pytest.raises(LabError, match=r"gave it 2. s of CPU time in 500 s; run fewer"):
        watched([*loaded, (500.0, 25.0, True)])


def test_a_build_that_works_on_is_ended_once_it_has_had_its_time():
    assert watched([(float(at), at * 1.0, True) for at in range(0, 100, 5)]).why == ""
    assert "not done after 100 s" in watched([(float(at), at, True) for at in range(0, 200, 5)]).why


def test_a_build_may_be_silent_while_a_process_of_it_works():
    quiet = [(float(at), 10.0, False) for at in range(5, 120, 5)]
    assert watched(list(quiet), 1000).why == ""
    assert "no process of it did anything" in watched([*quiet, (130, 10.1, False)], 1000).why
    assert watched([*quiet, (121.0, 12.0, False), (130, 12.0, False)], 1000).why == ""
