"""QEMU's monitor is greeted, and one that dies in that holds nobody up."""

import json
import socket
import threading
import time

import pytest
from qemu.qmp import QMPError

from vmlab.guest import qmp

GREETING = {"QMP": {"version": {"qemu": {"major": 7}, "package": ""}, "capabilities": []}}


def greet(theirs: socket.socket, *answers: dict[str, object]) -> None:
    """Greets, takes what comes and answers it; then it is gone, as a QEMU that dies."""
    with theirs:
        theirs.sendall(json.dumps(GREETING).encode() + b"\n")
        assert b"qmp_capabilities" in theirs.recv(4096)
        for answer in answers:
            theirs.sendall(json.dumps(answer).encode() + b"\n")
            theirs.recv(1)


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_monitor_that_greets_is_ready(ends):
    ours, theirs = ends
    thread = threading.Thread(target=greet, args=(theirs, {"return": {}}), daemon=True)
    thread.start()
    qmp.greeted(ours, 20).close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_qemu_that_dies_while_it_greets_is_not_waited_for_without_end(ends):
    ours, theirs = ends
    threading.Thread(target=greet, args=(theirs,), daemon=True).start()
    began = time.monotonic()
    with pytest.raises((QMPError, TimeoutError, EOFError)):
        qmp.greeted(ours, 1)
    assert time.monotonic() - began < 10
