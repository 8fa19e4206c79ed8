"""The terminal that is lent to a guest."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from types import SimpleNamespace

import pytest

from vmlab import shell
from vmlab.cli.shell import split
from vmlab.guest import shell as guest_shell
from vmlab.terminal import Escapes, Follower
from vmlab.verdict import Judgement, Verdict


@pytest.mark.parametrize(
    ("typed", "sent", "commands"),
    [
        (b"ls\r", b"ls\r", b""),
        (b"~.", b"", b"."),
        (b"ls\r~.", b"ls\r", b"."),
        (b"a~.", b"a~.", b""),
        (b"~~.", b"~.", b""),
        (b"~x", b"~x", b""),
        (b"~c~?x", b"x", b"c?"),
        (b"~/bin/x\r", b"~/bin/x\r", b""),
        (b"\n~.", b"\n", b"."),
    ],
)
def test_a_tilde_at_the_beginning_of_a_line_begins_a_command(typed, sent, commands):
    whole = Escapes().feed(typed)
    assert whole == (sent, commands)
    one = Escapes()
    parts = [one.feed(typed[at : at + 1]) for at in range(len(typed))]
    assert tuple(b"".join(each) for each in zip(*parts, strict=True)) == whole


def test_what_is_shown_of_the_console_moves_no_cursor(tmp_path):
    console = tmp_path / "console"
    follower = Follower(console, shown=True)
    assert follower.lines() == []
    console.write_bytes(b"[ 1.0] one\r\n[ 2.0] \x1b[2Jtwo\xff\r\nhal")
    assert follower.lines() == ["[ 1.0] one", "[ 2.0] \\x1b[2Jtwo\ufffd"]
    with console.open("ab") as file:
        file.write(b"f\n")
    assert follower.lines() == ["half"]
    follower.shown = False
    with console.open("ab") as file:
        file.write(b"unseen\n")
    assert follower.lines() == []
    follower.shown = True
    assert follower.lines() == []
    with console.open("ab") as file:
        file.write("\u202e\x07\tä\n".encode())
    assert follower.lines() == ["\\u202e\\x07\tä"]


def test_the_guest_s_own_escape_is_typed_as_two():
    assert guest_shell.typed(b"a\x1eb") == b"a\x1e\x1eb"
    assert guest_shell.size(24, 80) == b"\x1e24 80\n"


LENT = """
import os, sys, time
from vmlab.terminal import Lent
with Lent().raw():
    os.write(1, b"ready\\x1b[?1049h")
    Lent().show(b"")
    {what}
"""


@pytest.mark.parametrize(
    ("what", "end", "status"),
    [
        ("pass", None, 0),
        ("raise ValueError", None, 1),
        ("sys.exit(5)", None, 5),
        ("time.sleep(60)", signal.SIGTERM, 128 + signal.SIGTERM),
        ("time.sleep(60)", signal.SIGHUP, 128 + signal.SIGHUP),
    ],
)
def test_the_terminal_is_as_before_whatever_happens(what, end, status):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, "-c", LENT.format(what=what)],
        stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    said = b""
    while b"ready" not in said:
        said += os.read(ours, 100)
    if end is not None:
        deadline = time.monotonic() + 20
        while termios.tcgetattr(theirs)[3] & termios.ECHO and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        process.send_signal(end)
    assert process.wait(20) == status
    assert termios.tcgetattr(theirs) == before
    while select.select([ours], [], [], 0)[0]:
        said += os.read(ours, 100)
    assert said.endswith(b"\x1b[?25h")
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize(
    ("verdict", "step", "wanted", "count", "where"),
    [
        (Verdict.PASSED, None, None, 5, "after its last step"),
        (Verdict.PASSED, None, 2, 2, "after step 2"),
        (Verdict.FAILED, 4, None, 4, "after step 4: failed (why)"),
        (Verdict.FAILED, 4, 2, 2, "after step 2"),
        (Verdict.FAILED, 2, 4, 2, "after step 2: failed (why)"),
        (Verdict.CRASHED, 3, None, 2, "before step 3: crashed (why)"),
        (Verdict.TIMEOUT, 1, None, 0, "before step 1: timeout (why)"),
        (Verdict.CRASHED, 3, 2, 2, "after step 2"),
        (Verdict.CRASHED, None, None, 5, "after its last step"),
    ],
)
def test_the_shell_comes_where_there_is_a_guest_to_sit_at(verdict, step, wanted, count, where):
    run = SimpleNamespace(judgement=Judgement(verdict, "why", step))
    assert shell.stop_after(run, wanted, 5) == (count, where)


@pytest.mark.parametrize(
    ("text", "name", "step"),
    [("a:3", "a", 3), ("a", "a", None), ("a/b.yaml", "a/b.yaml", None), ("a:x", "a:x", None)],
)
def test_a_step_may_stand_behind_a_name(text, name, step):
    assert split(text) == (name, step)
