"""Runs one scenario on one kernel, from artifacts to verdict, in a run directory."""

import itertools
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmlab import crash, machines, pair, story
from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.backend import Backend, Job
from vmlab.build import process
from vmlab.build.debootstrap import NoPackage
from vmlab.build.kbuild import ModuleBuildError
from vmlab.build.musl import CompileError
from vmlab.cache import content_key
from vmlab.catalog import Catalog, Kernel, Unavailable
from vmlab.errors import LabError
from vmlab.frames import Frames
from vmlab.guest import launch, program, qemu
from vmlab.guest.images import Kept
from vmlab.guest.lost import lost_bytes
from vmlab.guest.results import Results
from vmlab.guest.results import read as read_results
from vmlab.inputs import inputs, output_key
from vmlab.known_failures import Held, held
from vmlab.payload import Payload
from vmlab.project import Project
from vmlab.qemus import chosen
from vmlab.scenario import Expanded
from vmlab.tokens import How, Token, token
from vmlab.verdict import Judgement, Verdict, judge

_UNSAFE = re.compile(r"[^A-Za-z0-9_()=,.+@ -]")
_LONGEST_NAME = 120
_NUMBERS = itertools.count(1)  # of this process's runners, whose run directories are their own


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
    token: Token | None = None  # none where no guest ran
    inputs: Mapping[str, str] = field(default_factory=dict)
    file: str = ""  # the scenario's, from the project's root where it is below that
    steps: Sequence[Mapping[str, object]] = ()
    environment: Mapping[str, object] = field(default_factory=dict)
    left: "Left | None" = None  # none where the guest came to its end
    held: Held | None = None  # what it is taken for, where the project knows of its failure
    guest: qemu.Role = ""  # of two, whose console the judgement is about

    @property
    def verdict(self) -> Verdict:
        return self.judgement.verdict

    @property
    def reason(self) -> str:
        """Why it did not pass, or was skipped; empty where it passed."""
        return self.judgement.reason

    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        judged = self.judgement
        return {
            "version": story.VERSION,
            "scenario": self.scenario, "kernel": self.kernel, "arch": self.arch,
            "backend": self.backend, "verdict": str(judged.verdict), "reason": judged.reason,
            "wall_s": round(self.wall_s, 3), "guest_s": round(self.guest_s, 6), "dir": self.dir,
            "step": judged.step, "line": judged.line, "label": judged.label,
            "wanted": judged.wanted, "seen": judged.seen,
            "crash": judged.crash.as_dict() if judged.crash else None,
            "token": str(self.token) if self.token else None,
            "seed": self.token.seed if self.token else None,
            "inputs": dict(self.inputs), "file": self.file,
            "environment": dict(self.environment), "steps": [dict(step) for step in self.steps],
            **(self.left.record() if self.left else {}),
            **({"known": self.held.record()} if self.held else {}),
            **({"guest": self.guest} if self.guest else {}),
        }  # fmt: skip


@dataclass(frozen=True)
class Left:
    """What a guest that died leaves to look at, and the commands that do it."""

    kept: Kept
    commands: Sequence[str] = ()
    why_no_commands: str = ""

    def record(self) -> dict[str, object]:
        """As it stands in JSON: sizes in bytes on the disk."""
        return {
            "images": [
                {"format": one.format, "file": str(one.path), "bytes": one.size}
                for one in self.kept.images
            ],
            "look": list(self.commands),
            "no_image": self.kept.why_not or None,
            "no_command": self.why_no_commands or None,
        }


@dataclass(frozen=True)
class Prepared:
    """A run with all that it needs in its place: a boot and a judgement away from its verdict."""

    job: Job
    expanded: Expanded
    inputs: Mapping[str, str]
    peer: Job | None = None  # the second guest, where there are two


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
        frames: Frames | None = None,
    ) -> None:
        self.project = project
        self.artifacts = artifacts
        self.backend = backend
        self.accel = accel
        self.seed = seed
        self.frames = frames or Frames(project, artifacts)
        self.perturb = perturb  # whether runs are shifted in time, as their seeds say
        self.meanwhile: Callable[[], object] = lambda: None
        """Done once, while the first guest runs: to import what only its end needs."""
        self._idle = True
        self.stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{next(_NUMBERS)}"
        self._payload = Payload(project, artifacts)
        self._stop = threading.Event()
        self._no_boots: dict[tuple[str, qemu.Machine], Judgement] = {}
        self._starved: set[tuple[str, qemu.Machine]] = set()

    @property
    def catalog(self) -> Catalog:
        return self.artifacts.catalog

    def stop(self) -> None:
        """Ends the guests, the builds and the waits for other processes that there are now."""
        self._stop.set()
        process.end()
        self.artifacts.cache.end_waits()

    def try_again(self, kernel: Kernel) -> None:
        """A kernel that did not come up is booted again."""
        for kind in [kind for kind in list(self._no_boots) if kind[0] == kernel.id]:
            self._no_boots.pop(kind, None)

    def _stopped(self) -> bool:
        """Asked now and then while a guest runs."""
        if self._idle:
            self._idle = False
            crash.ready()
            self.meanwhile()
        return self._stop.is_set()

    def run(
        self, expanded: Expanded, kernel: Kernel, again: int | None = None, seed: int | None = None
    ) -> Run:
        """Runs and judges; what the lab itself cannot do is a verdict too (broken).

        `again` numbers the runs of one scenario on one kernel, where there are several; `seed` is
        this run's own.
        """
        began = time.monotonic()
        directory = self.directory(expanded, kernel, again)
        try:
            if reason := self._skip_reason(expanded, kernel):
                judgement = Judgement(Verdict.SKIPPED, reason)
            else:
                return self.execute(self.prepare(expanded, kernel, directory, seed), began)
        except Unavailable as error:
            judgement = Judgement(Verdict.SKIPPED, str(error))
        except (ModuleBuildError, CompileError) as error:
            judgement = Judgement(Verdict.FAILED, "build", seen=str(error))
        except NoPackage as error:
            judgement = Judgement(Verdict.FAILED, str(error))
        except LabError as error:
            judgement = Judgement(Verdict.BROKEN, str(error))
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            reason = f"working in {directory}: {said} ({error.filename or 'no file named'})"
            judgement = Judgement(Verdict.BROKEN, reason)
        return self._told(
            Run(
                expanded.name, kernel.id, kernel.arch.name, self.backend.name, judgement,
                time.monotonic() - began, 0.0, str(directory), file=self._file(expanded),
            )
        )  # fmt: skip

    def directory(self, expanded: Expanded, kernel: Kernel, again: int | None = None) -> Path:
        """Where a run leaves its files."""
        suffix = "" if again is None else f"-{again}"
        name = f"{file_name(expanded.name)}-{kernel.id}{suffix}"
        return self.project.output / self.stamp / name

    def prepare(
        self, expanded: Expanded, kernel: Kernel, directory: Path, seed: int | None = None
    ) -> Prepared:
        """Builds and gathers a run's inputs. Raises what building and fetching raise."""
        kernel = self.catalog.obtain(kernel)
        directory.mkdir(parents=True, exist_ok=True)
        files = qemu.RunDirectory(directory)
        image = machines.image(self.artifacts, expanded.scenario, kernel.arch)
        machine = self.machine(expanded, kernel, seed, image)
        timeout = expanded.scenario.timeout
        content = self._payload.files(expanded, kernel)
        steps = expanded.on(kernel.release)
        first = steps.of_guest("a") if expanded.paired else steps
        files.program.write_bytes(program.archive(first.program(), content))
        files.mode.write_text(program.mode(timeout, machine.seed, machines.option(machine)))
        vmlinuz = self.catalog.image(kernel)
        emulator = chosen(machine, self.catalog)
        flood = expanded.scenario.flood
        wanted = any(step.verb == "expect_crash" for step in expanded.steps)
        job = Job(
            kernel, machine, image, vmlinuz, files, timeout / 1000, emulator, flood, not wanted
        )  # fmt: skip
        sources = self._payload.sources(expanded)
        second = pair.peer(job, expanded, content) if expanded.paired else None
        found = inputs(job, expanded, sources, self.backend.name)
        return Prepared(job, expanded, found, second)

    def execute(self, prepared: Prepared, began: float | None = None) -> Run:
        """Boots and judges what is prepared; its wall time counts from `began`, else from now."""
        began = time.monotonic() if began is None else began
        job, expanded = prepared.job, prepared.expanded.on(prepared.job.kernel.release)
        told = self._judged(job, expanded, prepared.peer)
        ended, judgement, found = told.ended, told.judgement, told.found
        restored = bool(ended and ended.restored)
        its = prepared.peer if prepared.peer and told.role == pair.PEER else job
        guest_s = found.steps[-1].uptime if found.steps else 0.0
        made = _token(prepared, self.backend.name, ended, judgement.verdict) if ended else None
        return self._told(
            Run(
                expanded.name, job.kernel.id, job.kernel.arch.name, self.backend.name, judgement,
                time.monotonic() - began, guest_s, str(job.run.path), made, prepared.inputs,
                self._file(expanded), told.steps,
                story.environment(job.machine, job.runs_in.program, restored, self.backend.name)
                | story.elsewhere(self.project.settings.modules, job.kernel)
                | ({"worker": ended.worker} if ended and ended.worker else {}),
                self.left(its, ended.kept) if ended and ended.kept else None, guest=told.role,
            )
        )  # fmt: skip

    def left(self, job: Job, kept: Kept) -> Left:
        """How to look at a dead guest's memory."""
        from vmlab.debug import image  # its reader of ELF files takes long to import

        folder = self.project.modules
        try:
            sources = folder.absolute() if folder.is_dir() else None
            return Left(kept, image.commands(kept, job, self.artifacts, sources))
        except (LabError, OSError) as error:
            return Left(kept, (), f"making gdb's script: {error}")

    def machine(
        self, expanded: Expanded, kernel: Kernel, seed: int | None = None, image: Path | None = None
    ) -> qemu.Machine:
        """What a scenario runs on. The seed is the run's own, or the runner's, or derived."""
        seeds = (seed, self.seed, machines.seed_of(expanded, kernel))
        number = next(one for one in seeds if one is not None)
        real = expanded.scenario.clock == "real"
        kvm = real and self.accel(kernel.arch) == "kvm"
        return machines.machine(expanded, kernel.arch, image, kvm, number, self.perturb)

    def _skip_reason(self, expanded: Expanded, kernel: Kernel) -> str | None:
        for skip in expanded.scenario.skip_if:
            if kernel in self.catalog.select(skip.kernel):
                return skip.reason
        beyond = machines.beyond(self.backend, expanded.scenario)
        if reason := beyond or machines.too_old(kernel, expanded.scenario):
            return reason
        if options := machines.options(expanded.scenario):
            obtained = self.catalog.obtain(kernel)
            return machines.lacks(obtained, self.catalog.config(obtained), options)
        return None

    def _file(self, expanded: Expanded) -> str:
        path, root = expanded.path.resolve(), self.project.root.resolve()
        return str(path.relative_to(root) if path.is_relative_to(root) else path)

    def _judged(self, job: Job, expanded: Expanded, peer: Job | None) -> pair.Told:
        """How the guest ended, the verdict, and what came back."""
        if spared := self._no_boots.get(job.kind):
            return pair.told(expanded, None, spared, Results(None, (), 0, None), b"")
        if peer:
            return pair.both(self.backend, expanded, [job, peer], self._stopped, self._one)
        return self._one(expanded, job, self.backend.boot(job, self._stopped))

    def _one(self, expanded: Expanded, job: Job, ended: launch.Ended) -> pair.Told:
        """Of one guest that has ended."""
        found = read_results(job.run)
        console = _console(job.run)
        judged = judge(expanded, job.kernel.release, found, console, ended)
        if lost := lost_bytes(job.run, ended):
            judged = Judgement(Verdict.BROKEN, lost)
        if judged.crash:
            judged = replace(judged, crash=self.frames.resolved(judged.crash, job))
        if not (ended.restored or job.run.began() or self._stop.is_set()):
            self._remember(job, ended, judged)
        return pair.told(expanded, ended, judged, found, console)

    def _remember(self, job: Job, ended: launch.Ended, judged: Judgement) -> None:
        """Spares others like it a boot that came to no program.

        One that the lab is to blame for says nothing of the kernel; for want of CPU time a second
        one is waited for, and no third.
        """
        again = ended.starved and job.kind in self._starved
        if ended.starved:
            self._starved.add(job.kind)
        if judged.verdict is Verdict.BROKEN and not again:
            return
        reason = f"not tried: this kernel did not come up before: {judged.reason}"
        self._no_boots[job.kind] = replace(judged, reason=reason)

    def _told(self, run: Run) -> Run:
        """Leaves the verdict in the run's directory, where there is one."""
        known = self.project.settings.known_failures
        run = replace(run, held=held(known, run.scenario, run.kernel, run.judgement))
        directory = Path(run.dir)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            text = json.dumps(run.record(), indent=1) + "\n"
            (directory / "verdict.json").write_text(text)
        except OSError as error:
            if run.judgement.verdict is Verdict.PASSED:
                reason = f"its verdict could not be written: {error}"
                return replace(run, judgement=Judgement(Verdict.BROKEN, reason), held=None)
        return run


def _console(files: qemu.RunDirectory) -> bytes:
    return files.console.read_bytes() if files.console.exists() else b""


def file_name(name: str) -> str:
    """A run's name as a file's: the values of parameters are anybody's, and lead nowhere."""
    safe = _UNSAFE.sub("_", name)[:_LONGEST_NAME]
    return safe if safe == name else f"{safe}-{content_key(name)[:8]}"


def _token(prepared: Prepared, backend: str, ended: launch.Ended, verdict: Verdict) -> Token:
    machine, expanded = prepared.job.machine, prepared.expanded
    # Where the lab ends a guest is another place each time.
    repeats = ended.how in ("off", "reset") and machines.exact(machine, backend, ended.restored)
    how = How(repeats, ended.restored, machine.perturbation is not None, backend == "virtme")
    return token(
        expanded.scenario.name, expanded.number, prepared.job.kernel.id, machine.seed,
        machine.shift, how, prepared.inputs, output_key(prepared.job.run), verdict,
    )  # fmt: skip


def as_json(runs: list[Run]) -> str:
    return json.dumps({"runs": [run.record() for run in runs]}, indent=1) + "\n"
