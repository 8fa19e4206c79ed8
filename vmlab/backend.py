"""Ways to boot a guest: what is booted is a job, and a backend fills its run directory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from vmlab.catalog import Kernel
from vmlab.guest import begin, handover, launch, qemu
from vmlab.guest.emulator import Emulator, host
from vmlab.guest.images import Keeper
from vmlab.guest.snapshot import BootError
from vmlab.snapshots import Snapshots


class Backend(Protocol):
    """A way to boot the program. Fills the run directory's console, results and transcript."""

    name: str

    def boot(self, job: "Job", stopped: Callable[[], bool]) -> launch.Ended: ...

    def forget(self) -> None:
        """Throws away what later guests would begin from."""


@runtime_checkable
class PairBackend(Backend, Protocol):
    """One that boots two guests on one wire, which job.wire leads to."""

    def ready(self, job: "Job", stopped: Callable[[], bool]) -> launch.Ended | None:
        """Makes what this guest begins from; how that ended where it came to no program."""


@dataclass(frozen=True)
class Job:
    """All that a backend needs for one guest; program and mode are in the run directory."""

    kernel: Kernel
    machine: qemu.Machine
    image: Path
    vmlinuz: Path
    run: qemu.RunDirectory
    timeout_s: float
    emulator: Emulator | None = None  # the host's where none is given
    flood: int | None = None  # bytes of console that end the guest, if not the usual
    kept: bool = True  # whether its memory is of interest, should it die
    wire: qemu.Wire | None = None  # to the other one of two guests

    @property
    def runs_in(self) -> Emulator:
        return self.emulator or host(self.machine.arch)

    @property
    def kind(self) -> tuple[str, qemu.Machine]:
        """What of it decides whether the kernel comes up."""
        perturbed = self.machine.perturbation
        at_boot = perturbed.at_boot if perturbed else None
        return self.kernel.id, replace(self.machine, seed=0, perturbation=at_boot)


def _boot(job: Job) -> qemu.Boot:
    return qemu.Boot(
        job.machine, job.vmlinuz, job.image, job.run, emulator=job.emulator, wire=job.wire,
        paced=job.machine.is_paced,
    )  # fmt: skip


def _paced(boot: qemu.Boot, memory: qemu.Memory | None) -> qemu.Memory | None:
    """A snapshot for a guest whose idle time passes as the host's does: with a state of its own."""
    if not (boot.paced and memory and memory.state):
        return memory
    state = _own_state(boot)
    with begin.state(memory) as file:
        state.write_bytes(file.read())
    handover.pace(state)
    return replace(memory, state=state)


def _own_state(boot: qemu.Boot) -> Path:
    return boot.run.path / "state"


class QemuBackend:
    """Direct kernel boot with the tiny image, from a snapshot where there can be one."""

    name = "qemu"

    def __init__(self, snapshots: Snapshots | None, keeper: Keeper | None = None) -> None:
        self._snapshots = snapshots
        self._keeper = keeper

    def boot(self, job: Job, stopped: Callable[[], bool]) -> launch.Ended:
        boot = _boot(job)
        if self._snapshots is None:
            return launch.run(boot, job.timeout_s, stopped, job.flood, self._keeper_of(job))
        try:
            return self._begun(boot, self._snapshots, job, stopped)
        except BootError as error:
            job.run.told(error.console)
            return error.ended

    def ready(self, job: Job, stopped: Callable[[], bool]) -> launch.Ended | None:
        """Makes what this guest begins from; how that ended where it came to no program."""
        try:
            if self._snapshots:
                self._snapshots.memory(_boot(job), stopped)
        except BootError as error:
            job.run.told(error.console)
            return error.ended
        return None

    def forget(self) -> None:
        if self._snapshots:
            self._snapshots.forget()

    def _keeper_of(self, job: Job) -> Keeper | None:
        """None for a guest whose crash is wanted: it leaves no images."""
        return self._keeper if job.kept else None

    def _begun(
        self, boot: qemu.Boot, snapshots: Snapshots, job: Job, stopped: Callable[[], bool]
    ) -> launch.Ended:
        """A guest that is lost before it began may have had a bad snapshot: once more, from one
        made anew, unless it was only starved."""
        keeper = self._keeper_of(job)

        def begun() -> tuple[qemu.Memory | None, launch.Ended]:
            memory = snapshots.memory(boot, stopped)
            began = replace(boot, memory=_paced(boot, memory))
            return memory, launch.run(began, job.timeout_s, stopped, job.flood, keeper)

        try:
            memory, ended = begun()
            lost = ended.how == "lost" and not (boot.wire or boot.run.began() or stopped())
            if lost and memory:
                if not ended.starved:
                    snapshots.discard(memory, ended.detail)
                boot.run.clear()
                memory, ended = begun()
        finally:
            if boot.paced:
                _own_state(boot).unlink(missing_ok=True)
        return replace(ended, restored=memory is not None)
