"""A guest with a shell on its results port, for whom sits at a terminal."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.errors import LabError
from vmlab.guest import launch, qemu, sockets
from vmlab.guest.images import Keeper
from vmlab.guest.monitor import Monitor

MODE = "shell"
"""The agent's mode for a shell at once."""
ESCAPE = b"\x1e"
"""Begins what is not typed in; see the agent's shell.c."""
_CONNECT_S = 10.0


def typed(text: bytes) -> bytes:
    """Bytes for the shell as they go to the guest."""
    return text.replace(ESCAPE, ESCAPE * 2)


def size(rows: int, columns: int) -> bytes:
    """The terminal's size as it goes to the guest."""
    return ESCAPE + b"%d %d\n" % (rows, columns)


@dataclass(frozen=True)
class Shell:
    """A guest that stands until `begin`, then serves one shell to its end."""

    boot: qemu.Boot
    process: launch.Process
    port: socket.socket
    monitor: Monitor

    def begin(self, environment: Mapping[str, str], rows: int, columns: int) -> None:
        """Lets the guest go on and its shell begin."""
        told = [b"%s=%s" % (name.encode(), value.encode()) for name, value in environment.items()]
        lines = b"".join(ESCAPE + line + b"\n" for line in (*told, b"go"))
        self.port.sendall(size(rows, columns) + lines)
        self.monitor.command("cont", {}, _CONNECT_S)

    def over(self) -> bool:
        """Whether the guest is gone, or stands dead in QEMU's hands."""
        poll = select.poll()
        if self.monitor.descriptor >= 0:
            poll.register(self.monitor.descriptor, select.POLLIN)
            if poll.poll(0):
                self.monitor.read()
        return bool(self.monitor.stands) or self.process.poll() is not None

    def ended(self, keeper: Keeper) -> launch.Ended:
        """How it ended, once it is over; a dead one's images are written."""
        if not self.monitor.stands:
            return launch.of_status(self.process.wait(), self.process)
        found = replace(launch.stands(self.process, self.monitor), restored=True)
        if self.monitor.stands == "off":
            return found
        return replace(found, kept=keeper.keep(self.monitor, self.process.pid, self.boot))


@contextlib.contextmanager
def opened(boot: qemu.Boot) -> Iterator[Shell]:
    """A guest, from a snapshot, that stands before its shell; it ends with the block.

    Its run directory holds program and mode before. Raises LabError where it does not start.
    """
    with sockets.folder() as control:
        boot = replace(boot, control=control, port=True, paced=True, kept=True)
        process = launch.start(boot)
        with launch.ended(process):
            port = _connected(boot.port_socket, process)
            with contextlib.closing(port):
                yield Shell(boot, process, port, Monitor(process))


def _connected(path: Path, process: launch.Process) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_S
    port = sockets.connected(path, lambda: process.poll() is None, deadline)
    if port is None:
        raise LabError("starting the guest: its port did not appear")
    return port
