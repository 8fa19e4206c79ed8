"""From a run to a guest that stands where it is to be looked at, with all that gdb needs."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.debug import gdb, kernels, tape, trace
from vmlab.debug.kernels import KernelSymbols
from vmlab.debug.modules import ModuleFile
from vmlab.debug.rsp import Stub
from vmlab.errors import LabError, UsageError
from vmlab.guest import begin, devices, qemu
from vmlab.guest.snapshot import counted_from_zero
from vmlab.payload import modules_of
from vmlab.plain import plain
from vmlab.seen import nearest
from vmlab.snapshots import Snapshots


@dataclass(frozen=True)
class Stopped:
    """A guest that stands still, and how gdb comes to it."""

    guest: tape.Debugged
    where: str
    script: Path
    loads: tuple[trace.Load, ...]
    missing: tuple[str, ...]  # modules of the program that the run does not load


@dataclass(frozen=True)
class Recorded:
    """A run on tape, and what is known of it."""

    boot: qemu.Boot
    tape: Path
    kernel: KernelSymbols
    console: bytes
    timeout_s: float
    modules: tuple[ModuleFile, ...] = field(default=())

    @property
    def patience_s(self) -> float:
        """How long following it may take, host seconds."""
        return self.timeout_s * tape.SLOWER


def record(job: Job, artifacts: Artifacts) -> Recorded:
    """Runs a job on tape. Raises UsageError where it cannot be, LabError where that fails."""
    boot = begun(job, Snapshots(artifacts.cache, artifacts.catalog.say))
    file = job.run.path.absolute() / "tape"
    kernel = kernels.symbols_of(boot, artifacts)
    kernel.check()
    tape.record(boot, file, job.timeout_s)
    console = job.run.console.read_bytes()
    modules = tuple(unpacked(job.run))
    return Recorded(boot, file, kernel, console, job.timeout_s, modules)


def begun(job: Job, snapshots: Snapshots) -> qemu.Boot:
    """The job's guest, from a snapshot. Raises UsageError where there is no tape of such a one."""
    cold = qemu.Boot(job.machine, job.vmlinuz, job.image, job.run, emulator=job.emulator)
    found = _never_on_tape(job.machine)
    memory = None if found else snapshots.memory(cold)
    if memory is None:
        raise UsageError(
            f"this run has {found or 'no snapshot, as was said'}, and a run is stopped for gdb "
            "only on the virtual clock, with one guest, one processor, no disk and no usb-serial, "
            "from a snapshot; `vmlab replay` without --gdb and --at runs it"
        )
    state = job.run.path.absolute() / "state"
    with begin.state(memory) as file:
        state.write_bytes(counted_from_zero(file.read(), job.machine.shift))
    return replace(cold, memory=replace(memory, state=state))


def _never_on_tape(machine: qemu.Machine) -> str:
    """What a machine has that QEMU's tape cannot have, empty where there is nothing."""
    disks = {machine.devices[number] for number in devices.disks(machine.devices)}
    bad = [name for name in machine.devices if name in disks or not devices.frozen([name])]
    has = {
        "two guests": bool(machine.role),
        f"{machine.cpus} processors": machine.cpus > 1,
        "the real clock": machine.clock != "virtual",
        ", ".join(bad): bool(bad),
    }
    return " and ".join(name for name, true in has.items() if true)


def unpacked(run: qemu.RunDirectory) -> Iterator[ModuleFile]:
    """The modules of a run's program, each in a file of its own in the run directory."""
    for path in modules_of(run.program, run.path.absolute() / "modules").values():
        yield ModuleFile(path)


@contextlib.contextmanager
def stopped(run: Recorded, pattern: str | None, sources: Path | None) -> Iterator[Stopped]:
    """The guest at its program's start or before the line with the pattern, to the block's end.

    Raises UsageError for a pattern that is none, or that no line has.
    """
    registers = trace.REGISTERS[run.boot.machine.arch.name]
    found = place(run.console, pattern) if pattern else None
    with tape.followed(run.boot, run.tape) as guest, guest.stub(run.patience_s) as stub:
        addresses, console = run.kernel.addresses, run.boot.run.console
        byte = found[0] if found else None
        seen = trace.follow(stub, registers, addresses, run.modules, console, byte)
    stop = 0 if byte is None else _last_print(run, seen.before, byte)
    with tape.followed(run.boot, run.tape) as guest:
        with guest.stub(run.patience_s) as stub:
            _go_to(stub, stop)
        loads = tuple(seen.known(stop))
        script = run.boot.run.path.absolute() / "gdb"
        script.write_text(gdb.script(run.kernel.file, loads, guest.boot.gdb_socket, sources))
        where = _where(stop, found[1] if found else "")
        names = {load.module.name for load in loads}
        missing = tuple(one.name for one in run.modules if one.name not in names)
        yield Stopped(guest, plain(where), script, loads, missing)


def _last_print(run: Recorded, before: Sequence[int], byte: int) -> int:
    """The place of the call that prints a byte of the console, 0 where none is before it.

    It is looked for behind the last of the places `before` which the byte was not out, and farther
    and farther back: a call may begin long before.
    """
    back = 1
    while True:
        start = before[max(0, len(before) - back)]
        with tape.followed(run.boot, run.tape) as guest, guest.stub(run.patience_s) as stub:
            _go_to(stub, start)
            address = run.kernel.addresses[trace.PRINTS]
            found = trace.last_call(stub, address, run.boot.run.console, byte)
        if found is not None or start == 0:
            return found or 0
        back *= 2


def _go_to(stub: Stub, place: int) -> None:
    if not trace.go_to(stub, place):
        raise LabError("the guest ended before it came to where it was to stop")


def place(console: bytes, pattern: str) -> tuple[int, str]:
    """Where a line with the pattern begins, and the line. Raises UsageError where none has it."""
    try:
        found = trace.line_like(pattern, console)
    except re.error as error:
        raise UsageError(f"--at {pattern!r} is no regular expression: {error}") from error
    if found is None:
        lines = [(line, 0) for line in console.decode(errors="replace").splitlines()]
        raise UsageError(
            f"no line of this run's console matches {pattern!r}; the nearest is: "
            f"{nearest(pattern, lines) or 'none'}"
        )
    return found


def _where(place: int, line: str) -> str:
    if not line:
        return "at its program's start"
    if not place:
        return f"at its program's start, before which nothing stops; the line is: {line}"
    return f"in {trace.PRINTS}, {place} instructions after its start, before the line: {line}"
