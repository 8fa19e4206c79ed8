"""A run on QEMU's tape: recorded once, followed again and again.

A guest that follows a tape does what it did, wherever it is stopped and however long.
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.debug.rsp import Stub
from vmlab.errors import LabError
from vmlab.guest import confine, launch, qemu, sockets

_CLOSE_S = 20.0
SLOWER = 20
"""How much longer than a run its following may take: it stops at each line that is printed."""


@dataclass(frozen=True)
class Debugged:
    """A guest that follows a tape, stopped at its beginning."""

    boot: qemu.Boot
    process: launch.Process

    def alive(self) -> bool:
        return self.process.poll() is None

    def stub(self, within_s: float) -> Stub:
        """A connection to its stub, which must have done its work in time (host seconds)."""
        return Stub(self.boot.gdb_socket, self.alive, time.monotonic() + within_s)


def record(boot: qemu.Boot, tape: Path, timeout_s: float) -> launch.Ended:
    """Runs a guest to its end and records it. Raises LabError where the tape is not whole."""
    process = launch.start(replace(boot, tape=tape))
    with launch.ended(process):
        ended = launch.supervise(process, boot.run, timeout_s)
        if process.poll() is None:
            process.terminate()  # QEMU writes the tape's head when it leaves
        try:
            process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired as error:
            raise LabError("recording the run: QEMU did not close its tape") from error
    confine.taken_back(tape)
    if ended.how == "lost":
        raise LabError(f"recording the run: {ended.detail}")
    return ended


@contextlib.contextmanager
def followed(boot: qemu.Boot, tape: Path | None) -> Iterator[Debugged]:
    """A guest that waits at the beginning of a tape, or of no tape; it ends with the block.

    The files of the run are written anew.
    """
    boot.run.clear()
    with sockets.folder() as control:
        waiting = replace(boot, tape=tape, debugged=True, control=control)
        process = launch.start(waiting)
        with launch.ended(process):
            yield Debugged(waiting, process)
