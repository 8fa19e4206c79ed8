"""Snapshots: a guest frozen just before it looks for its program, begun from again and again.

The guest asks to be frozen itself, at a fixed instruction (pvpanic with -action panic=pause): a
stop from outside lands on another one each time, and then no two runs are alike. RAM is a file of
its own, which guests map privately; the rest is QEMU's migration state.
"""

import contextlib
import hashlib
import json
import os
import re
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from vmlab import crash
from vmlab.errors import LabError
from vmlab.guest import begin, confine, devices, launch, program, qemu, sockets
from vmlab.guest.patience import Patience

if TYPE_CHECKING:
    from qemu.qmp.legacy import QEMUMonitorProtocol

TRIES = 5
"""How often a guest is booted for one snapshot; one boot in ten or so is not as the others."""
FORMAT = 4
"""Counts the ways in which snapshots were made: one of another way is not begun from."""
WARM_S = 60.0
"""How long a cold boot may take of the host's CPU time, seconds."""
MARGIN_NS = 200_000
"""More than passes in the guest between its last look at the clock and its stop."""
SETTLE_MS = 3000
"""How long a guest waits before it stops itself, guest milliseconds: what the boot left to be done
is done (the TSC's calibration takes a second), and other processors have fallen idle, else they do
more or less until QEMU has stopped them too."""
LONGEST_JUMP_NS = 60_000_000_000

MIGRATE_S = 60.0
"""How long QEMU may take to answer, and to write the state, seconds."""
_POLL_S = 0.02
_EVENT_S = 1.0
_FROZEN = re.compile(r"# frozen tsc=(\d+)")
_ICOUNT = b"timer/icount\0\0\0\1"  # the section's name and version; then bias and count
_APIC = b"\x04apic\0\0\0\0\0\0\0\3"  # the section's name, instance and version
_TIMER_EXPIRY = 173  # bytes from there
_BLOCK = 1 << 16


class SnapshotError(LabError):
    """A snapshot that could not be made, or is not what it was."""


class BootError(SnapshotError):
    """The guest did not come to where it is frozen: it would not come to a program either."""

    def __init__(self, ended: launch.Ended, console: bytes) -> None:
        super().__init__(f"the guest did not come to its program: {ended.detail}")
        self.ended = ended
        self.console = console


@dataclass(frozen=True)
class Snapshot:
    """The files of one snapshot."""

    directory: Path

    @property
    def ram(self) -> Path:
        return self.directory / "ram"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def sums(self) -> Path:
        return self.directory / begin.SUMS

    @property
    def console(self) -> Path:
        """What the kernel printed until it was frozen."""
        return self.directory / "console"

    def memory(self) -> qemu.Memory:
        """What a guest begins from."""
        return qemu.Memory(self.ram, self.state, self.made())

    def made(self) -> int:
        """When it was made, nanoseconds since the epoch; 0 where it is not whole."""
        try:
            return self.sums.stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def stamp(self) -> Path:
        """Which files were found whole, as `_stamp` tells them."""
        return self.directory / "checked"

    def check(self) -> None:
        """Raises SnapshotError where RAM or state are not as they were made.

        They are read through once, and again when one of the files was touched since.
        """
        try:
            wanted = json.loads(self.sums.read_text())
            stamp = self._stamp()
            if self._stamped(stamp):
                return
            found = {path.name: digest(path) for path in (self.ram, self.state)}
        except (OSError, ValueError) as error:
            raise SnapshotError(f"snapshot {self.directory.name}: {error}") from error
        for name, value in found.items():
            if wanted.get(name) != value:
                raise SnapshotError(f"snapshot {self.directory.name}: its {name} has changed")
        with contextlib.suppress(OSError):  # a cache that cannot be written is checked each time
            self.stamp.write_text(stamp)

    def untouched(self) -> bool:
        """Whether nobody wrote into the files, or took them away, since they were found whole."""
        try:
            return self._stamped(self._stamp())
        except OSError:
            return False

    def _stamp(self) -> str:
        """What the file system tells of the files; whoever writes into one changes its ctime."""
        told = []
        for path in (self.ram, self.state, self.sums):
            about = path.stat()
            told.append(f"{path.name} {about.st_ino} {about.st_size} {about.st_ctime_ns}\n")
        return "".join(told)

    def _stamped(self, stamp: str) -> bool:
        return self.stamp.is_file() and self.stamp.read_text() == stamp


def digest(path: Path) -> str:
    """The content's hash and size. Holes are not read, and zeros are as good as holes."""
    made = hashlib.blake2b(digest_size=16)
    size = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while (at := _next_data(file, at)) < size:
            at -= at % _BLOCK
            file.seek(at)
            block = file.read(_BLOCK)
            if block.count(0) != len(block):
                made.update(b"%d:" % at)
                made.update(block)
            at += len(block)
    return f"{made.hexdigest()}-{size}"


def _next_data(file: BinaryIO, at: int) -> int:
    """The next place that is no hole; the file's end where there is none."""
    try:
        return os.lseek(file.fileno(), at, os.SEEK_DATA)
    except OSError:
        return os.fstat(file.fileno()).st_size


def warm(boot: qemu.Boot, directory: Path, stopped: Callable[[], bool] = lambda: False) -> None:
    """Boots and leaves a snapshot in the directory; `stopped` is asked now and then.

    Boots again where a timer struck between the guest's stop and QEMU's knowing of it. Raises
    BootError where the guest does not come to its stop, SnapshotError for everything else.
    """
    snapshot = Snapshot(directory)
    run = qemu.RunDirectory(directory)
    run.program.write_bytes(program.archive([], {}))
    run.mode.write_text(program.freeze(SETTLE_MS))
    for _ in range(TRIES):
        _boot(boot, snapshot, run, stopped)
        if not struck(snapshot.state.read_bytes()):
            break
    if not run.console.stat().st_size:
        raise SnapshotError("the kernel printed nothing on ttyS0 while it booted")
    found = crash.find(run.console.read_text(errors="replace"))
    if found:
        raise SnapshotError(f"the kernel is sick before any step: {found.named}")
    set_clock(snapshot, run, boot.machine.shift)
    confine.taken_back(snapshot.ram)
    spare_zeros(snapshot.ram)
    for number in devices.disks(boot.machine.devices):  # each guest's is made anew
        run.disk(number).unlink()
    sums = {path.name: digest(path) for path in (snapshot.ram, snapshot.state)}
    snapshot.sums.write_text(json.dumps(sums) + "\n")


def spare_zeros(path: Path) -> None:
    """Makes holes where a file has pages of zeros: each process that uses it would copy them.

    A file system that has no holes keeps them.
    """
    subprocess.run(["fallocate", "--dig-holes", path], capture_output=True, check=False)


def _boot(
    boot: qemu.Boot, snapshot: Snapshot, run: qemu.RunDirectory, stopped: Callable[[], bool]
) -> None:
    run.clear()
    snapshot.ram.unlink(missing_ok=True)
    with sockets.folder() as control:
        frozen = replace(  # nobody waits for it: its idle time passes at once
            boot, run=run, control=control, memory=qemu.Memory(snapshot.ram), paced=False
        )
        with snapshot.state.open("wb") as state:
            process = launch.start(frozen)
            with launch.ended(process):
                _freeze(frozen, process, state.fileno(), stopped)


def struck(state: bytes) -> bool:
    """Whether the first processor's timer is not armed: it struck after the guest had stopped.

    When the clock jumps to that timer (see set_clock) it may still strike, and its interrupt is in
    the state; a guest from there takes it at once, and not when it is due. A kernel that arms no
    such timer never has one. (QEMU: hw/intc/apic_common.c, timer_expiry of its vmstate.)
    """
    at = state.find(_APIC) + len(_APIC) + _TIMER_EXPIRY
    if at < len(_APIC) + _TIMER_EXPIRY or at + 8 > len(state):
        return False
    return bool(struct.unpack_from(">q", state, at)[0] == -1)


def set_clock(snapshot: Snapshot, run: qemu.RunDirectory, shift: int) -> None:
    """Sets the virtual clock in the state to just after the time that the guest read last.

    Between the guest's stop and QEMU's knowing of it, QEMU may take the guest for idle and let the
    clock jump to the next timer, or not: two snapshots would run differently. The clock is the
    count of instructions, in nanoseconds, and a bias for idle time; the bias is what is set. (QEMU
    7.2: softmmu/icount.c, icount_start_warp_timer; the guest's TSC is that clock.)
    """
    said = _FROZEN.search(run.results.read_text(errors="replace"))
    state = bytearray(snapshot.state.read_bytes())
    at = state.find(_ICOUNT) + len(_ICOUNT)
    if said is None or at < len(_ICOUNT):
        raise SnapshotError("the snapshot does not tell its clock")
    bias, count = struct.unpack_from(">qq", state, at)
    wanted = int(said[1]) + MARGIN_NS - (count << shift)
    if not -MARGIN_NS <= bias - wanted <= LONGEST_JUMP_NS:
        raise SnapshotError(f"the snapshot's clock is {bias - wanted} ns off the guest's")
    struct.pack_into(">q", state, at, wanted)
    snapshot.state.write_bytes(state)


def counted_from_zero(state: bytes, shift: int) -> bytes:
    """The same state and time, with no instructions counted yet.

    QEMU's tape begins at none, and takes a first step of more than 2^31 instructions for one back
    (QEMU 7.2: replay/replay-internal.c, replay_advance_current_icount).
    """
    made = bytearray(state)
    at = made.find(_ICOUNT) + len(_ICOUNT)
    if at < len(_ICOUNT):
        raise SnapshotError("the snapshot does not tell its clock")
    bias, count = struct.unpack_from(">qq", made, at)
    struct.pack_into(">qq", made, at, bias + (count << shift), 0)
    return bytes(made)


def _freeze(
    boot: qemu.Boot, process: launch.Process, state: int, stopped: Callable[[], bool]
) -> None:
    """Waits until the guest has stopped itself, and writes its state.

    The guest waits for the first command, and QEMU is not spoken to while it boots: what the host
    does then would be seen in the snapshot.
    """
    from qemu.qmp import QMPError  # asyncio comes with it, and most runs warm nothing

    from vmlab.guest import qmp

    patience = Patience(process.pid, WARM_S)
    deadline = time.monotonic() + MIGRATE_S
    opened = sockets.connected(boot.qmp_socket, lambda: process.poll() is None, deadline)
    if opened is None:
        raise _silent(process)
    try:
        monitor = qmp.greeted(opened)
    except (QMPError, OSError, EOFError, TimeoutError) as error:
        raise _silent(process) from error
    try:
        monitor.cmd("cont")
        _until_stopped(monitor, boot.run, lambda: _check(boot.run, process, patience, stopped))
        monitor.cmd("migrate-set-capabilities", **qemu.IGNORE_SHARED)
        monitor.send_fd_scm(state)  # the sandbox refuses exec:, so QEMU is given the open file
        monitor.cmd("getfd", fdname="state")
        monitor.cmd("migrate", uri="fd:state")
        _until(lambda: _migrated(monitor), process, time.monotonic() + MIGRATE_S)
    except (QMPError, OSError, EOFError, TimeoutError) as error:
        raise SnapshotError(f"freezing the guest: QEMU said: {error or 'nothing'}") from error
    finally:
        with contextlib.suppress(QMPError, OSError, EOFError):
            monitor.close()


def _until_stopped(
    monitor: "QEMUMonitorProtocol", run: qemu.RunDirectory, check: Callable[[], None]
) -> None:
    """Waits for the guest's stop; `check` raises where that does not come.

    Its event may not come on a busy host, though the guest stands: QEMU is asked once the guest
    has said its last word and a look has passed since, so that nothing of it is in the snapshot.
    """
    said = False
    while _event(monitor) != "STOP":
        if said and not cast(dict[str, Any], monitor.cmd("query-status"))["running"]:
            return
        check()
        said = _FROZEN.search(run.results.read_text(errors="replace")) is not None


def _event(monitor: "QEMUMonitorProtocol") -> str | None:
    try:
        event = monitor.pull_event(wait=_EVENT_S)
    except TimeoutError:
        return None
    return str(event["event"]) if event else None


def _check(
    run: qemu.RunDirectory, process: launch.Process, patience: Patience, stopped: Callable[[], bool]
) -> None:
    """Raises BootError where the guest will not come to be frozen."""
    if stopped():
        raise SnapshotError("the lab was stopped")
    ended = None
    if process.poll() is not None:
        ended = launch.of_status(process.returncode, process)
    elif flood := launch.flooded(run):
        ended = flood
    elif over := patience.over():
        ended = launch.Ended(*over)
    if ended and ended.how == "lost":
        raise SnapshotError(ended.detail)
    if ended:
        raise BootError(ended, run.console.read_bytes())


def _migrated(monitor: "QEMUMonitorProtocol") -> bool:
    about = cast(dict[str, Any], monitor.cmd("query-migrate"))
    if about.get("status") == "failed":
        raise SnapshotError(f"writing the snapshot's state: {about}")
    return bool(about.get("status") == "completed")


def _until(true: Callable[[], bool], process: launch.Process, deadline: float) -> None:
    while not true():
        if process.poll() is not None or time.monotonic() > deadline:
            raise _silent(process)
        time.sleep(_POLL_S)


def _silent(process: launch.Process) -> SnapshotError:
    """Of a QEMU that has ended, or did not answer in time."""
    if process.poll() is None:
        return SnapshotError("freezing the guest: QEMU did not answer in time")
    ended = launch.of_status(process.returncode, process)
    return SnapshotError(f"freezing the guest: {ended.detail or 'it ended before'}")
