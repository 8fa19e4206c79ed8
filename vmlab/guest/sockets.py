"""Connections to the sockets that QEMU is started with."""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_S = 0.01
_ROOM = 80  # bytes of a directory's name, below which a socket's is no longer than one may be (107)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A directory for sockets, which goes with the block; not in TMPDIR if that name is long."""
    usual = tempfile.gettempdir()
    where = usual if len(os.fsencode(usual)) <= _ROOM else "/tmp"
    with tempfile.TemporaryDirectory(prefix="vmlab-", dir=where) as made:
        yield Path(made)


def connected(path: Path, alive: Callable[[], bool], deadline: float) -> socket.socket | None:
    """A connection; None where QEMU is not `alive` or `deadline` (of the monotonic clock) is over.

    A socket's file is there a moment before QEMU listens: a busy host makes that long.
    """
    while alive() and time.monotonic() < deadline:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            made.close()
            time.sleep(_POLL_S)
            continue
        return made
    return None
