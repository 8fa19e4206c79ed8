"""Guests that somebody sits at: a fresh one, or one in which a scenario has run up to a step.

The guest of a shell begins from a snapshot, so that it is there at once, but its clock goes as the
host's does while it idles: on the virtual clock, where such time leaps, days would pass between two
keys. A scenario before it runs as it always does, on its own clock; where the shell begins, the
guest's state is handed over to another QEMU.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.build.kbuild import ModuleBuildError
from vmlab.build.musl import CompileError
from vmlab.catalog import Kernel
from vmlab.errors import LabError, UsageError
from vmlab.guest import begin, devices, handover, program, qemu
from vmlab.guest import shell as guest_shell
from vmlab.project import Project
from vmlab.qemus import chosen
from vmlab.runner import Prepared, Run, Runner
from vmlab.scenario import Expanded
from vmlab.snapshots import Snapshots
from vmlab.verdict import Verdict

STATE = "state"
"""The file, in a shell's run directory, that its guest begins from; it is not kept."""
_TOO_LATE = (Verdict.CRASHED, Verdict.TIMEOUT, Verdict.BROKEN)
"""Verdicts after which there may be no guest left to sit at: the shell comes before that step."""


@dataclass(frozen=True)
class Seat:
    """A guest to sit at: how it is begun, what it was made for, and what is in it."""

    boot: qemu.Boot
    job: Job
    about: str
    modules: tuple[str, ...]
    programs: tuple[str, ...]


def fresh(project: Project, artifacts: Artifacts, kernel: Kernel, directory: Path) -> Seat:
    """A guest with all modules and workloads of the project. Raises LabError."""
    kernel = artifacts.catalog.obtain(kernel)
    machine = qemu.Machine(kernel.arch)
    modules, programs = _everything(project, artifacts, kernel)
    directory.mkdir(parents=True, exist_ok=True)
    run = qemu.RunDirectory(directory)
    run.program.write_bytes(program.archive([], modules | programs))
    run.mode.write_text(program.mode(0, machine.seed, guest_shell.MODE))
    image, vmlinuz = artifacts.image(kernel.arch), artifacts.catalog.image(kernel)
    job = Job(kernel, machine, image, vmlinuz, run, 0.0, chosen(machine, artifacts.catalog))
    about = f"{kernel.id}, a fresh guest"
    boot = _begun(job, artifacts)
    assert boot.memory
    state = directory / STATE
    with begin.state(boot.memory) as file:
        state.write_bytes(file.read())
    return _seat(boot, job, state, about, tuple(modules), tuple(programs))


def _seat(
    boot: qemu.Boot,
    job: Job,
    state: Path,
    about: str,
    modules: tuple[str, ...],
    programs: tuple[str, ...],
) -> Seat:
    """A guest that begins from a state of its own, in that file's directory."""
    assert boot.memory is not None
    handover.pace(state)
    run = qemu.RunDirectory(state.parent)
    begun = replace(boot, run=run, memory=replace(boot.memory, state=state))
    return Seat(begun, job, about, modules, programs)


def _everything(
    project: Project, artifacts: Artifacts, kernel: Kernel
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Modules and workloads by file name; what does not build is said, and left out."""
    modules: dict[str, bytes] = {}
    programs: dict[str, bytes] = {}
    say = artifacts.catalog.say
    for name in sorted(project.module_names()):
        try:
            built = artifacts.modules(kernel, project.folder, [name])
            modules |= {f"{one}.ko": path.read_bytes() for one, path in built.items()}
        except (ModuleBuildError, LabError) as error:
            say(f"module {name} is left out: {str(error).partition(chr(10))[0]}")
    for name, source in project.workloads().items():
        try:
            programs[name] = artifacts.program(kernel.arch, source, name).read_bytes()
        except CompileError as error:
            say(f"workload {name} is left out: {str(error).partition(chr(10))[0]}")
    return modules, programs


def _begun(job: Job, artifacts: Artifacts) -> qemu.Boot:
    """Raises LabError where there is no snapshot to begin from."""
    cold = qemu.Boot(job.machine, job.vmlinuz, job.image, job.run, emulator=job.emulator)
    memory = Snapshots(artifacts.cache, artifacts.catalog.say).memory(cold)
    if memory is None:
        raise UsageError("a shell's guest begins from a snapshot, and there is none for this one")
    return replace(cold, memory=memory)


def stop_after(run: Run, wanted: int | None, total: int) -> tuple[int, str]:
    """After how many steps the shell comes, and why there.

    `wanted` is the step that was asked for, None for the last or the one that fails.
    """
    judged, last = run.judgement, total if wanted is None else wanted
    number = judged.step
    if judged.verdict is Verdict.PASSED or number is None or number > last:
        return last, f"after step {last}" if last < total else "after its last step"
    if judged.verdict in _TOO_LATE:
        return number - 1, f"before step {number}: {judged.verdict} ({judged.reason})"
    return number, f"after step {number}: {judged.verdict} ({judged.reason})"


def after(
    runner: Runner,
    expanded: Expanded,
    kernel: Kernel,
    wanted: int | None,
    tell: Callable[[Run], None],
) -> Seat:
    """The guest in which a scenario has run up to a step, or up to its failure.

    The run is judged first, and `tell` hears of it: a console step fails only by the host's
    judgement. Then it is run again up to that step. Raises UsageError for a step that is none.
    """
    total = len(expanded.steps)
    if wanted is not None and not 1 <= wanted <= total:
        raise UsageError(f"{expanded.name} has steps 1 to {total}; there is no step {wanted}")
    prepared = runner.prepare(expanded, kernel, runner.directory(expanded, kernel))
    if prepared.job.machine.clock != "virtual":
        raise UsageError(f"{expanded.name} runs on the real clock: a shell cannot come after it")
    _check(prepared)
    run = runner.execute(prepared)
    tell(run)
    return seat_after(runner, prepared, run, wanted)


def seat_after(runner: Runner, prepared: Prepared, run: Run, wanted: int | None = None) -> Seat:
    """See `after`; for a run that is judged already."""
    _check(prepared)
    job, expanded = prepared.job, prepared.expanded
    count, where = stop_after(run, wanted, len(expanded.steps))
    boot = _begun(job, runner.artifacts)
    again = _directory(job, "again", handover.mode(job.run.mode.read_text(), count))
    seat = _directory(job, "shell", job.run.mode.read_text())
    state = seat.path / STATE
    ended = handover.run(replace(boot, run=again), state, job.timeout_s)
    if ended is not None:
        raise LabError(
            f"{expanded.name} on {job.kernel.id}, {where}: the guest ended before the shell: "
            f"{ended.detail or ended.how}; its files are in {again.path}"
        )
    about = f"{expanded.name} on {job.kernel.id}, {where}"
    names = program.names(job.run.program.read_bytes())
    modules = tuple(name for name in names if name.endswith(".ko"))
    programs = tuple(name for name in names if name not in (*modules, program.STEPS))
    return _seat(boot, job, state, about, modules, programs)


def _check(prepared: Prepared) -> None:
    """Raises UsageError for a guest that cannot be handed over alone, or without its disks."""
    name, stored = prepared.expanded.name, devices.disks(prepared.job.machine.devices)
    if prepared.peer:
        raise UsageError(f"{name} is of two guests: a shell cannot come after it")
    if stored:
        disks = ", ".join(prepared.job.machine.devices[number] for number in stored)
        raise UsageError(f"{name} has {disks}, which a shell's guest cannot take over")


def _directory(job: Job, name: str, mode: str) -> qemu.RunDirectory:
    """A run directory within a run's, for a guest with the same program."""
    made = qemu.RunDirectory(job.run.path / name)
    made.path.mkdir(exist_ok=True)
    made.clear()
    made.program.write_bytes(job.run.program.read_bytes())
    made.mode.write_text(mode)
    return made
