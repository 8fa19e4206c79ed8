"""QEMU's sockets: their files are there before anybody listens."""

import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

from vmlab.guest.sockets import connected, folder

SHORT_S = 0.3


def bound(path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    return made


def within(seconds: float) -> float:
    return time.monotonic() + seconds


def test_a_socket_that_is_not_listened_at_yet_is_waited_for(tmp_path):
    with bound(tmp_path / "qmp") as server:
        late = threading.Timer(SHORT_S, server.listen)
        late.start()
        opened = connected(tmp_path / "qmp", lambda: True, within(20))
        assert opened is not None
        opened.close()
        late.join()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("alive", [True, False])
def test_one_that_does_not_come_is_given_up(tmp_path, there, alive):
    began = time.monotonic()
    with bound(tmp_path / ("qmp" if there else "other")):
        limit = SHORT_S if alive else 20
        assert connected(tmp_path / "qmp", lambda: alive, within(limit)) is None
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("length", [10, 80, 81, 200])
def test_a_directory_for_sockets_has_room_for_their_names(monkeypatch, length):
    usual = Path("/tmp/" + "x" * (length - 5))
    usual.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(usual))
    try:
        with folder() as made, bound(made / "port") as server:
            assert (made.parent == usual) is (length <= 80)
            server.listen()
            opened = connected(made / "port", lambda: True, within(20))
            assert opened is not None
            opened.close()
        assert not made.exists()
    finally:
        usual.rmdir()
