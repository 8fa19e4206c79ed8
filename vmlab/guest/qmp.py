"""QEMU's monitor, greeted within a time."""

import contextlib
import socket

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

GREETING_S = 60.0
"""How long QEMU may take to greet, host seconds: what the host's load can make of a moment."""


class _Monitor(QEMUMonitorProtocol):
    """The library's own `connect` waits for ever where QEMU dies between greeting and answer."""

    def greet(self, within_s: float) -> None:
        self._sync(self._qmp.connect(self._address), within_s)


def greeted(at: socket.socket | str, within_s: float = GREETING_S) -> QEMUMonitorProtocol:
    """The monitor behind a connection or a socket's path, which has greeted.

    Raises QMPError, OSError, EOFError or TimeoutError where it does not.
    """
    monitor = _Monitor(at)
    try:
        monitor.greet(within_s)
    except BaseException:
        with contextlib.suppress(QMPError, OSError, EOFError):
            monitor.close()
        raise
    return monitor
