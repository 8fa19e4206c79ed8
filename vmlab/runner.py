"""Runs one scenario on one kernel, from artifacts to verdict, in a run directory."""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.build.kbuild import ModuleBuildError
from vmlab.build.musl import CompileError
from vmlab.cache import content_key
from vmlab.catalog import Catalog, Kernel, Unavailable
from vmlab.errors import LabError
from vmlab.guest import modprobe, program, qemu, results
from vmlab.guest.snapshot import BootError
from vmlab.perturb import perturbation
from vmlab.project import Project
from vmlab.scenario import Expanded
from vmlab.snapshots import Snapshots
from vmlab.verdict import Judgement, Verdict, judge


@dataclass(frozen=True)
class Run:
    """One scenario on one kernel, judged."""

    scenario: str
    kernel: str
    arch: str
    backend: str
    judgement: Judgement
    wall_s: float
    guest_s: float
    dir: str

    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        judged = self.judgement
        return {
            "scenario": self.scenario, "kernel": self.kernel, "arch": self.arch,
            "backend": self.backend, "verdict": str(judged.verdict), "reason": judged.reason,
            "wall_s": round(self.wall_s, 3), "guest_s": round(self.guest_s, 6), "dir": self.dir,
            "step": judged.step, "line": judged.line, "label": judged.label,
            "wanted": judged.wanted, "seen": judged.seen,
        }  # fmt: skip


class Backend(Protocol):
    """A way to boot the program. Fills the run directory's console, results and transcript."""

    name: str

    def boot(self, job: "Job", stopped: Callable[[], bool]) -> qemu.Ended: ...

    def forget(self) -> None:
        """Throws away what later guests would begin from."""


@dataclass(frozen=True)
class Job:
    """All that a backend needs for one guest; program and mode are in the run directory."""

    kernel: Kernel
    machine: qemu.Machine
    image: Path
    vmlinuz: Path
    run: qemu.RunDirectory
    timeout_s: float

    @property
    def kind(self) -> tuple[str, qemu.Machine]:
        """What of it decides whether the kernel comes up."""
        return self.kernel.id, replace(self.machine, seed=0, perturbation=None)


class QemuBackend:
    """Direct kernel boot with the tiny image, from a snapshot where there can be one."""

    name = "qemu"

    def __init__(self, snapshots: Snapshots | None) -> None:
        self._snapshots = snapshots

    def boot(self, job: Job, stopped: Callable[[], bool]) -> qemu.Ended:
        boot = qemu.Boot(job.machine, job.vmlinuz, job.image, job.run)
        if self._snapshots is None:
            return qemu.run(boot, job.timeout_s, stopped)
        try:
            return self._begun(boot, self._snapshots, job.timeout_s, stopped)
        except BootError as error:
            job.run.console.write_bytes(error.console)
            return error.ended

    def forget(self) -> None:
        if self._snapshots:
            self._snapshots.forget()

    def _begun(
        self, boot: qemu.Boot, snapshots: Snapshots, timeout_s: float, stopped: Callable[[], bool]
    ) -> qemu.Ended:
        """A guest that is lost may have had a bad snapshot: once more from one made anew."""
        began = replace(boot, memory=snapshots.memory(boot, stopped))
        ended = qemu.run(began, timeout_s, stopped)
        if ended.how == "lost" and began.memory and not stopped():
            snapshots.discard(began.memory, ended.detail)
            boot.run.clear()
            ended = qemu.run(
                replace(boot, memory=snapshots.memory(boot, stopped)), timeout_s, stopped
            )
        return ended


class Runner:
    """Runs scenarios of one project. Safe to use from several threads at once."""

    def __init__(
        self,
        project: Project,
        artifacts: Artifacts,
        backend: Backend,
        accel: Callable[[Arch], str] = lambda arch: "tcg",
        seed: int | None = None,
        perturb: bool = False,
    ) -> None:
        self.project = project
        self.artifacts = artifacts
        self.backend = backend
        self.accel = accel
        self.seed = seed
        self.perturb = perturb  # whether runs are shifted in time, as their seeds say
        self._stop = threading.Event()
        self._no_boots: dict[tuple[str, qemu.Machine], Judgement] = {}
        self.stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

    @property
    def catalog(self) -> Catalog:
        return self.artifacts.catalog

    def stop(self) -> None:
        """Ends the guests that run now."""
        self._stop.set()

    def run(
        self,
        expanded: Expanded,
        kernel: Kernel,
        again: int | None = None,
        seed: int | None = None,
    ) -> Run:
        """Runs and judges; what the lab itself cannot do is a verdict too (broken).

        `again` numbers the runs of one scenario on one kernel, where there are several; `seed` is
        this run's own.
        """
        suffix = "" if again is None else f"-{again}"
        directory = self.project.output / self.stamp / f"{expanded.name}-{kernel.id}{suffix}"
        directory.mkdir(parents=True, exist_ok=True)
        files = qemu.RunDirectory(directory)
        began = time.monotonic()
        judgement, guest_s = self._judged(expanded, kernel, files, seed)
        run = Run(
            expanded.name, kernel.id, kernel.arch.name, self.backend.name, judgement,
            time.monotonic() - began, guest_s, str(directory),
        )  # fmt: skip
        (directory / "verdict.json").write_text(json.dumps(run.record(), indent=1) + "\n")
        return run

    def skip_reason(self, expanded: Expanded, kernel: Kernel) -> str | None:
        """Why a scenario is not for a kernel, None where it is."""
        for skip in expanded.scenario.skip_if:
            if kernel in self.catalog.select(skip.kernel):
                return skip.reason
        return None

    def _judged(
        self, expanded: Expanded, kernel: Kernel, files: qemu.RunDirectory, seed: int | None
    ) -> tuple[Judgement, float]:
        try:
            if reason := self.skip_reason(expanded, kernel):
                return Judgement(Verdict.SKIPPED, reason), 0.0
            kernel = self.catalog.obtain(kernel)
            return self._booted(expanded, kernel, files, seed)
        except Unavailable as error:
            return Judgement(Verdict.SKIPPED, str(error)), 0.0
        except ModuleBuildError as error:
            return Judgement(Verdict.FAILED, "build", seen=str(error)), 0.0
        except CompileError as error:
            return Judgement(Verdict.FAILED, "build", seen=str(error)), 0.0
        except LabError as error:
            return Judgement(Verdict.BROKEN, str(error)), 0.0

    def _booted(
        self, expanded: Expanded, kernel: Kernel, files: qemu.RunDirectory, seed: int | None
    ) -> tuple[Judgement, float]:
        scenario = expanded.scenario
        machine = self.machine(expanded, kernel, seed)
        content = self.program_files(expanded, kernel)
        files.program.write_bytes(program.archive(expanded.program(), content))
        files.mode.write_text(program.mode(scenario.timeout, machine.seed, _option(machine)))
        image, vmlinuz = self.artifacts.image(kernel.arch), self.catalog.image(kernel)
        job = Job(kernel, machine, image, vmlinuz, files, scenario.timeout / 1000)
        if spared := self._no_boots.get(job.kind):
            return spared, 0.0
        ended = self.backend.boot(job, self._stop.is_set)
        found = read_results(files)
        console = files.console.read_bytes() if files.console.exists() else b""
        judged = judge(expanded, kernel.id, found, console, ended)
        if not (ended.restored or files.began() or self._stop.is_set()):
            reason = f"not tried: this kernel did not come up before: {judged.reason}"
            self._no_boots[job.kind] = replace(judged, reason=reason)
        return judged, found.steps[-1].uptime if found.steps else 0.0

    def machine(self, expanded: Expanded, kernel: Kernel, seed: int | None = None) -> qemu.Machine:
        """What a scenario runs on. The seed is the run's own, or the runner's, or derived."""
        scenario = expanded.scenario
        seeds = (seed, self.seed, seed_of(expanded, kernel))
        chosen = next(one for one in seeds if one is not None)
        return qemu.Machine(
            kernel.arch, scenario.memory, scenario.cpus, scenario.clock,
            "kvm" if scenario.clock == "real" and self.accel(kernel.arch) == "kvm" else "tcg",
            chosen, perturbation(chosen) if self.perturb else None,
        )  # fmt: skip

    def program_files(self, expanded: Expanded, kernel: Kernel) -> dict[str, bytes]:
        """The modules and workloads that a scenario's program carries."""
        files: dict[str, bytes] = {}
        wanted = list(expanded.scenario.modules)
        if wanted:
            built = self.artifacts.modules(kernel, self.project.modules, wanted)
            files |= {f"{name}.ko": path.read_bytes() for name, path in built.items()}
        if others := expanded.other_modules:
            other = self.catalog.obtain(self._other(kernel))
            built = self.artifacts.modules(other, self.project.modules, others)
            files |= {f"{name}@other.ko": built[name].read_bytes() for name in others}
        files |= modprobe.files(self._probed(expanded), lambda: self.catalog.modules(kernel), files)
        for name in self.workload_names(expanded):
            source = self.project.workloads()[name]
            files[name] = self.artifacts.program(kernel.arch, source, name).read_bytes()
        return files

    def workload_names(self, expanded: Expanded) -> list[str]:
        """The workloads that the steps' commands begin with or name, and those it lists."""
        known = self.project.workloads()
        words = {word for command in expanded.commands() for word in command.split()}
        return sorted(known.keys() & (words | set(expanded.scenario.workloads)))

    def _probed(self, expanded: Expanded) -> list[str]:
        return [step.argument.split()[0] for step in expanded.steps if step.verb == "modprobe"]

    def _other(self, kernel: Kernel) -> Kernel:
        """Another kernel of the lab of the same architecture, to build a wrong module for."""
        for other in self.catalog.kernels:
            if other.arch == kernel.arch and other.id != kernel.id and other.headers:
                return other
        raise Unavailable(f"{kernel.id} is the only {kernel.arch.name} kernel with headers")


def _option(machine: qemu.Machine) -> str:
    return machine.perturbation.option if machine.perturbation else ""


def seed_of(expanded: Expanded, kernel: Kernel) -> int:
    """The seed of a run that was given none: from the scenario's and the kernel's names."""
    return int(content_key(expanded.name, kernel.id)[:8], 16)


def read_results(files: qemu.RunDirectory) -> results.Results:
    """What came back on the results port; nothing at all is a fault too."""
    port = files.results.read_bytes() if files.results.exists() else b""
    transcript = files.transcript.read_bytes() if files.transcript.exists() else b""
    offsets = results.console_offsets(transcript, port)
    text = port.decode(errors="replace")
    if offsets is None:
        found = results.parse(text)
        fault = "the console holds the results' mark, so its order cannot be told"
        return replace(found, fault=found.fault or fault, placed=False)
    return results.parse(text, offsets)


def as_json(runs: list[Run]) -> str:
    return json.dumps({"runs": [run.record() for run in runs]}, indent=1) + "\n"
