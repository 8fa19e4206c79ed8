"""A guest's state at the place where its agent stops it, for another QEMU to go on from.

What a snapshot is for a fresh guest, this is for one in which steps have run: its memory is in the
state, for nobody else begins from it.
"""

import contextlib
import mmap
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vmlab.errors import LabError
from vmlab.guest import launch, qemu, sockets
from vmlab.guest.monitor import Monitor

if TYPE_CHECKING:
    from qemu.qmp.legacy import QEMUMonitorProtocol

WRITE_S = 60.0
"""How long QEMU may take to write the state, host seconds."""
_TIMER = b"\x05timer\0\0\0\0\0\0\0\2"  # the section's name, instance and version
_CLOCK_AT = 16  # bytes from there
_WARP = b"\x17timer/icount/warp_timer\0\0\0\1"  # its subsection: since when, and until when
_NEVER = b"\xff" * 16
_POLL_S = 0.01
_BANDWIDTH = 1 << 40  # bytes a second: as fast as it can


def mode(text: str, steps: int) -> str:
    """A run's mode (`program.mode`) with a stop after so many steps, or the first that fails."""
    return f"{text} after {steps}"


def run(boot: qemu.Boot, state: Path, timeout_s: float) -> launch.Ended | None:
    """Runs a guest from a snapshot to its stop and writes its state, None where that is done.

    Else how it ended before. Raises LabError where the state cannot be written.
    """
    with sockets.folder() as control:
        boot = replace(boot, control=control, kept=True)
        process = launch.start(boot)
        with launch.ended(process):
            monitor = Monitor(process)
            ended = launch.supervise(process, boot.run, timeout_s, monitor=monitor)
            if monitor.stands != "panicked":
                return ended
            _write(boot.qmp_socket, state)
            return None


def pace(state: Path) -> None:
    """Lets a guest whose idle time passes as the host's does go on where its clock stands.

    The state holds how long QEMU ran until then; the next one takes that for idle time that the
    guest has missed. Where that QEMU took the guest for idle as it stopped, the state also holds
    when it was to be woken, on that old clock: the next one would let it sleep until then. (QEMU
    7.2: softmmu/icount.c, icount_warp_rt; cpu_clock_offset and icount_vmstate_warp_timer in
    softmmu/cpu-timers.c.) Raises LabError where the state does not tell it.
    """
    with state.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        at = content.rfind(_TIMER)  # behind the guest's memory
        if at < 0:
            raise LabError("the guest's state does not tell its clock")
        at += len(_TIMER) + _CLOCK_AT
        content[at : at + 8] = bytes(8)
        warp = content.find(_WARP, at)
        if warp >= 0:
            warp += len(_WARP)
            content[warp : warp + len(_NEVER)] = _NEVER


def _write(socket: Path, state: Path) -> None:
    from qemu.qmp import QMPError

    from vmlab.guest import qmp

    try:
        monitor = qmp.greeted(str(socket))
    except (QMPError, OSError, EOFError, TimeoutError) as error:
        raise LabError(f"writing the guest's state: QEMU did not greet: {error}") from error
    try:
        with state.open("wb") as file:
            monitor.cmd("migrate-set-parameters", **{"max-bandwidth": _BANDWIDTH})
            monitor.send_fd_scm(file.fileno())
            monitor.cmd("getfd", fdname="state")
            monitor.cmd("migrate", uri="fd:state")
            _wait(monitor, time.monotonic() + WRITE_S)
    except (QMPError, OSError, EOFError) as error:
        raise LabError(f"writing the guest's state: QEMU said: {error or 'nothing'}") from error
    finally:
        with contextlib.suppress(QMPError, OSError, EOFError):
            monitor.close()


def _wait(monitor: "QEMUMonitorProtocol", deadline: float) -> None:
    while time.monotonic() < deadline:
        about = cast(dict[str, Any], monitor.cmd("query-migrate"))
        if about.get("status") == "completed":
            return
        if about.get("status") == "failed":
            raise LabError(f"writing the guest's state: {about.get('error-desc', about)}")
        time.sleep(_POLL_S)
    raise LabError("writing the guest's state: QEMU did not end in time")
