"""Connections to the sockets that QEMU is started with."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

_POLL_S = 0.01


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
