"""Starts a guest's process, from a snapshot or cold, waits for its end and says how it ended."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from vmlab import bootable
from vmlab.errors import LabError
from vmlab.guest import begin, confine, devices
from vmlab.guest.images import Keeper, Kept
from vmlab.guest.monitor import Monitor
from vmlab.guest.patience import STARVED, Patience
from vmlab.guest.qemu import Boot, Memory, RunDirectory, argv, pasted

CONSOLE_LIMIT = 16 << 20  # bytes; a guest that prints more is ended
LEFT = 67  # QEMU's exit status when the agent leaves through isa-debug-exit: 0x21 << 1 | 1
RESET = "the guest powered off or reset itself"
"""QEMU's status 0, which is the same for both where it runs with -no-reboot."""
STOPPED = "the lab was stopped"
PANICKED = "the kernel panicked and stopped"
LEAVE_S = 10.0
"""How long QEMU may take to leave once it is told to, host seconds."""
RESTORE_S = 30.0
"""How long QEMU may take to read a snapshot's state, host seconds, with many guests at once."""
_LOOK_S = 0.05
"""How often a guest's time, its console and the wish to stop are looked at, seconds."""
RESTORE_CAPABILITIES = {
    "capabilities": [
        {"capability": "x-ignore-shared", "state": True},
        {"capability": "events", "state": True},
    ]
}
# QEMU's threads share one heap, which grows by large steps: one for each grows page by page, with
# two system calls for each page. (glibc: manual, "Memory Allocation Tunables".)
_MALLOC = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in (("arena_max", 1), ("top_pad", 16 << 20), ("trim_threshold", 1 << 30))
)
COMPLETED = re.compile(rb'"MIGRATION".*"completed"')
"""What QEMU says once a snapshot's state is in."""

_CAPABILITIES = b'{"execute":"qmp_capabilities"}\n'
Process = subprocess.Popen[bytes]
How = Literal["off", "reset", "timeout", "flooded", "lost"]


@dataclass(frozen=True)
class Ended:
    """How a guest's process ended.

    off: the agent left; reset: the guest powered off or reset itself (a panic does); timeout and
    flooded: the lab ended it; lost: QEMU failed.
    """

    how: How
    detail: str = ""
    restored: bool = False  # it began from a snapshot: its kernel has booted once
    kept: Kept | None = None  # what is left of a guest that died in QEMU's hands
    worker: str = ""  # on another machine, the worker's name

    @property
    def starved(self) -> bool:
        """Whether it was lost for want of the host's CPU time."""
        return self.how == "lost" and self.detail.startswith(STARVED)


class StuckError(LabError):
    """QEMU was started from a snapshot and did not come to run."""


def run(
    boot: Boot,
    timeout_s: float,
    stopped: Callable[[], bool] = lambda: False,
    flood: int | None = None,
    keeper: Keeper | None = None,
) -> Ended:
    """Boots the guest and waits for its end; `stopped` is asked now and then.

    The run directory holds program and mode before. A guest that outlives `timeout_s` (host
    seconds) or prints more than `flood` bytes (CONSOLE_LIMIT without) is ended. `keeper`
    writes the memory images of one that died or did not come to its end. Raises LabError without
    QEMU.
    """
    boot = replace(boot, kept=keeper is not None)
    try:
        process = start(boot)
    except (StuckError, begin.GoneError) as error:
        return Ended("lost", str(error))
    with ended(process), _disks_taken_back(boot):
        monitor = Monitor(process) if keeper else None
        last = bootable.last_words(boot.kernel)
        found = supervise(process, boot.run, timeout_s, stopped, flood, monitor, last, boot.paced)
        if keeper and monitor and _to_be_kept(found, monitor):
            return replace(found, kept=keeper.keep(monitor, process.pid, boot))
        return found


@contextlib.contextmanager
def _disks_taken_back(boot: Boot) -> Iterator[None]:
    try:
        yield
    finally:
        for number in devices.disks(boot.machine.devices):
            confine.taken_back(boot.run.disk(number))


def _to_be_kept(found: Ended, monitor: Monitor) -> bool:
    """Whether it died, or hangs; one that has powered off has left nothing to look at."""
    return found.how == "timeout" or monitor.stands in ("reset", "panicked")


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """The process does not outlive the block."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def start(boot: Boot) -> Process:
    """Starts the guest's process and records its command. Raises LabError without QEMU.

    It has a process group of its own: Ctrl-C reaches the lab alone, which then ends it.
    """
    boot.run.argv.write_text(pasted(argv(boot)))
    for needed in ("prlimit", "setpriv", boot.runs_in.program):
        if shutil.which(needed) is None:
            raise LabError(
                f"starting a guest: {needed} was not found; install the packages of "
                "packages.txt (./lab does), or see `vmlab doctor`"
            )
    if boot.memory and boot.memory.state:
        return _restored(boot, boot.memory)
    if wrong := bootable.problem(boot.kernel, boot.initramfs, boot.machine.arch):
        raise LabError(f"starting a guest: {wrong}")
    process = spawn(boot)
    _say(process, _CAPABILITIES)  # before that QEMU tells of no event
    return process


def spawn(boot: Boot, state: int | None = None) -> Process:
    """QEMU, with no more of the host than it needs, and pipes where it is talked to."""
    pipe = subprocess.PIPE if state is not None or boot.kept else subprocess.DEVNULL
    devices.make(boot.machine.devices, boot.run.disk)
    with confine.handed(boot) as given:
        bounds = confine.bounds(boot.machine.memory_mib, confine.TAPE if boot.tape else None)
        words = [*bounds, *argv(given.boot, given.words)]
        wire = (boot.wire.network, boot.wire.port) if boot.wire else ()
        opened = wire if state is None else (*wire, state)
        return subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=subprocess.PIPE,
            pass_fds=(*given.descriptors, *opened),
            process_group=0, env={"GLIBC_TUNABLES": _MALLOC, **confine.environment()},
            cwd=given.folder,
        )  # fmt: skip


def _restored(boot: Boot, memory: Memory) -> Process:
    """Starts from a snapshot, and lets the guest go on once its state is in.

    An interactive or debugged guest is gone on with by whom it waits for. Raises StuckError where
    the state does not come in, GoneError where there is none.
    """
    with begin.state(memory) as file:
        process = spawn(boot, file.fileno())
        for line in restore_commands(file.fileno(), boot.machine.several):
            _say(process, line)
    if not _came_in(process, time.monotonic() + RESTORE_S):
        with ended(process):
            raise StuckError(f"QEMU did not read the snapshot's state in {RESTORE_S:g} s")
    if not (boot.port or boot.debugged):
        _say(process, command("cont"))
    return process


def _readable(descriptor: int, within_s: float) -> bool:
    """Whether there is something to read, or an end, in time. Any number of descriptor."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, within_s) * 1000))


def _came_in(process: Process, deadline: float) -> bool:
    """Whether QEMU said in time that the migration is complete, or ended."""
    said = b""
    assert process.stdout is not None
    while not COMPLETED.search(said):
        if not _readable(process.stdout.fileno(), deadline - time.monotonic()):
            return False
        block = os.read(process.stdout.fileno(), 65536)
        if not block:
            return True  # it is gone already: its status says why
        said += block
    return True


def restore_commands(state: int, several: bool = False) -> list[bytes]:
    """What QEMU is told to begin from a state, given as an open file that it inherited.

    The announcement of a guest that has moved goes by the host's time, to which QEMU cuts the turns
    of `several` processors: there is none. (QEMU: net/announce.c; accel/tcg/tcg-accel-ops-icount.c,
    icount_get_limit.)
    """
    return [
        _CAPABILITIES,
        command("migrate-set-capabilities", RESTORE_CAPABILITIES),
        *([command("migrate-set-parameters", {"announce-rounds": 0})] if several else []),
        command("migrate-incoming", {"uri": f"fd:{state}"}),
    ]


def command(name: str, arguments: "Mapping[str, object] | None" = None) -> bytes:
    """A QMP command's line; short, for QEMU reads it byte by byte."""
    content = {"execute": name, **({"arguments": arguments} if arguments else {})}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _say(process: Process, line: bytes) -> None:
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):  # it is gone already: its status says why
            process.stdin.write(line)
            process.stdin.flush()


def supervise(
    process: "subprocess.Popen[bytes]",
    run: RunDirectory,
    timeout_s: float,
    stopped: Callable[[], bool] = lambda: False,
    flood: int | None = None,
    monitor: Monitor | None = None,
    last: bytes = b"",
    paced: bool = False,
) -> Ended:
    """Waits for the process' end, its time, its flood or a stop, whichever comes first.

    With a monitor, the end of a guest that QEMU holds is an end too. A kernel that has said its
    `last` words only waits, at the host's cost, for the reset that it is told to make. One that is
    `paced` sleeps on the host's clock.
    """
    patience = Patience(process.pid, timeout_s, paced)
    limit = flood or CONSOLE_LIMIT
    waits = False
    while not _ends(process, _LOOK_S, monitor):
        if stopped():
            return Ended("lost", STOPPED)
        if monitor and monitor.stands:
            return stands(process, monitor)
        if waits:  # since the last look: nothing of it is on its way any more
            return _reset(monitor)
        waits = bool(last) and _ends_with(run.console, last)
        if over := patience.over():
            return Ended(*over)
        if too_much := flooded(run, limit):
            return too_much
    status = process.wait()
    too_much = flooded(run, limit) if status == -signal.SIGXFSZ else None
    return too_much or of_status(status, process)


def _reset(monitor: Monitor | None) -> Ended:
    """The end of a guest that would reset itself next."""
    if monitor:
        monitor.command("stop", {}, LEAVE_S)
        monitor.stands = "reset"
    return Ended("reset", RESET)


def _ends_with(path: Path, words: bytes) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(words)))
        return file.read() == words
    return False


def stands(process: Process, monitor: Monitor) -> Ended:
    """What a guest came to that QEMU holds. One that left or powered off is let go at once."""
    if monitor.stands != "off":
        return Ended("reset", PANICKED if monitor.stands == "panicked" else RESET)
    monitor.quit()
    try:
        return of_status(process.wait(LEAVE_S), process)
    except subprocess.TimeoutExpired:
        return Ended("lost", f"QEMU did not leave in {LEAVE_S:g} s")


def _ends(process: Process, within_s: float, monitor: Monitor | None = None) -> bool:
    """Whether the process ends within so many seconds; its end is known at once.

    Returns early, too, when its monitor has said something.
    """
    if process.poll() is not None:
        return True
    end = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        if monitor and monitor.descriptor >= 0:
            poll.register(monitor.descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(within_s * 1000)]
        if end not in ready and monitor and ready:
            monitor.read()
        return end in ready
    finally:
        os.close(end)


def flooded(run: RunDirectory, limit: int = CONSOLE_LIMIT) -> Ended | None:
    """The end of a guest that said more than so many bytes, on either port."""
    size = f"{limit >> 20} MiB" if limit % (1 << 20) == 0 else f"{limit >> 10} KiB"
    for path in (run.console, run.results):
        if path.exists() and path.stat().st_size > limit:
            return Ended("flooded", f"the {path.name} grew past {size}")
    return None


def of_status(status: int, process: "subprocess.Popen[bytes]") -> Ended:
    """What a guest's exit status says of its end."""
    if status == LEFT:
        return Ended("off")
    if status == 0:
        return Ended("reset", RESET)
    if status == -signal.SIGXFSZ:
        return _at_its_limit(process)
    said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return Ended("lost", f"QEMU ended with {ended}: {said[-400:] or 'no message'}")


def _at_its_limit(process: Process) -> Ended:
    """The end of a QEMU whose file grew as long as one may."""
    own = confine.inherited(cast(list[str], process.args))
    if own is None:
        return Ended("flooded", "the guest's ports grew to QEMU's limit")
    return Ended(
        "lost",
        f"a file of QEMU's grew to this user's own limit of {own >> 10} KiB (ulimit -f), which is "
        "less than a guest needs; raise it",
    )
