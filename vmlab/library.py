"""The lab for programs in Python: what `from vmlab import Lab` gives (docs/library.md)."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, overload

from vmlab import executor, interactive, lab
from vmlab import project as projects
from vmlab.accel import accelerator
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog, Kernel
from vmlab.errors import UsageError
from vmlab.executor import Pair
from vmlab.guest.qemu import Clock, Machine
from vmlab.interactive import Guest
from vmlab.lab import Options
from vmlab.project import Project, Settings
from vmlab.runner import Run, Runner, as_json
from vmlab.scenario.model import MOST_CPUS
from vmlab.scenario.values import memory_mib
from vmlab.snapshots import Snapshots
from vmlab.verdict import Verdict

_FINE = (Verdict.PASSED, Verdict.SKIPPED)
_LOG = logging.getLogger("vmlab")
Place = str | os.PathLike[str]
Kernels = str | Kernel | Sequence[str | Kernel]


@dataclass(frozen=True)
class Results(Sequence[Run]):
    """The runs of one call, in the order of scenarios and kernels."""

    runs: tuple[Run, ...]

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Run]: ...
    def __getitem__(self, at: int | slice) -> Run | Sequence[Run]:
        return self.runs[at]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def passed(self) -> bool:
        """Whether one of them passed, and nothing went wrong (`failures`)."""
        return not self.failures and any(run.verdict is Verdict.PASSED for run in self.runs)

    @property
    def failures(self) -> list[Run]:
        """The runs that neither passed nor were skipped; broken ones are among them.

        What the project knows of (`known_failures:`) is none, until it expires or passes where it
        must not.
        """
        return [run for run in self.runs if _went_wrong(run)]

    @property
    def exit_status(self) -> int:
        """That of `vmlab run`: 0, 1 where something failed, 3 where the lab itself broke."""
        return executor.exit_status(self.runs)

    def table(self) -> str:
        """What `vmlab run` prints at its end."""
        from rich.console import Console

        from vmlab.report import table

        console = Console(highlight=False, width=200, color_system=None)
        with console.capture() as captured:
            table.show(self.runs, console)
        return captured.get()

    def write(
        self,
        *,
        html: Place | None = None,
        junit: Place | None = None,
        ktap: Place | None = None,
        markdown: Place | None = None,
        json: Place | None = None,
    ) -> None:
        """Writes the formats of `vmlab run` to these files (docs/reports.md). Raises OSError."""
        from vmlab.report.formats import FORMATS
        from vmlab.report.told import of_runs

        places = {"html": html, "junit": junit, "ktap": ktap, "markdown": markdown}
        report = of_runs(self.runs)
        for name, place in places.items():
            if place is not None:
                Path(place).write_text(FORMATS[name](report), encoding="utf-8")
        if json is not None:
            Path(json).write_text(as_json(list(self.runs)), encoding="utf-8")


class Lab:
    """A project's scenarios, modules and kernels. Everything that it makes is cached.

    `project` is its directory, or one below it; without it the project of the working directory,
    or none at all, for guests with nothing of yours in them. `cache` is the directory of the cache
    (else that of the command line), `build_sandbox` builds modules and workloads with bubblewrap.
    What takes long is told to the logger `vmlab`. Raises UsageError for what cannot be meant,
    LabError where the lab's surroundings fail.
    """

    def __init__(
        self,
        project: Place | None = None,
        *,
        cache: Place | None = None,
        build_sandbox: bool = False,
    ) -> None:
        self._project = _project(project)
        where = Cache.default() if cache is None else Cache(Path(cache).resolve())
        catalog = Catalog.open(where, _LOG.info)
        self._artifacts = Artifacts(where, catalog, build_sandbox)

    @property
    def root(self) -> Path:
        """The project's directory; run directories are made in its `vmlab-out`."""
        return self._project.root

    def kernels(self, expression: str | None = None) -> list[Kernel]:
        """The kernels that `vmlab run --kernel EXPRESSION` means; the project's own without."""
        wanted = self._project.settings.kernels if expression is None else expression
        return self._artifacts.catalog.select(wanted)

    def scenarios(self) -> list[str]:
        """The names of the project's scenario files."""
        return [path.stem for path in self._project.scenario_files()]

    def build(self, kernel: str | Kernel | None = None) -> dict[str, Path]:
        """All modules of the project, built for one kernel: their files by name.

        Raises ModuleBuildError (a VmlabError) with the compiler's words.
        """
        modules = sorted(self._project.module_names())
        wanted = modules if self._project.settings.build == "apart" else []
        chosen = self._artifacts.catalog.obtain(self._kernel(kernel))
        return self._artifacts.modules(chosen, self._project.folder, wanted) if modules else {}

    def run(
        self,
        scenarios: str | Sequence[str] = (),
        kernels: Kernels | None = None,
        *,
        tags: Sequence[str] = (),
        jobs: int = 0,
        options: Options | None = None,
    ) -> Results:
        """Runs scenarios on kernels, as `vmlab run` does, and returns once all are done.

        `scenarios` are names, globs or files, all without; `kernels` as --kernel takes them, or
        what `Lab.kernels` gave, the project's own without; `jobs` guests at once, one a processor
        for 0. A run that goes wrong is a result, not an exception. Raises UsageError with all that
        cannot be meant, LabError where the lab cannot work.
        """
        options = options or Options()
        _check_jobs(jobs)
        runner, pairs = self._prepared(scenarios, kernels, tags, options)
        order = {(one.name, kernel.id): at for at, (one, kernel) in enumerate(pairs)}
        runs = list(self._each(runner, pairs, jobs))
        runs.sort(key=lambda run: order.get((run.scenario, run.kernel), len(order)))
        return Results(tuple(runs))

    def each(
        self,
        scenarios: str | Sequence[str] = (),
        kernels: Kernels | None = None,
        *,
        tags: Sequence[str] = (),
        jobs: int = 0,
        options: Options | None = None,
    ) -> Iterator[Run]:
        """The same, each run as it is done. Leaving the loop ends what still runs."""
        _check_jobs(jobs)
        runner, pairs = self._prepared(scenarios, kernels, tags, options or Options())
        return self._each(runner, pairs, jobs)

    def guest(
        self,
        kernel: str | Kernel | None = None,
        *,
        memory: str = "192M",
        cpus: int = 1,
        clock: Clock = "virtual",
        seed: int = 1,
        snapshot: bool = True,
    ) -> AbstractContextManager[Guest]:
        """A guest of one kernel, for a `with` block: the newest of the project's without.

        The project's modules and workloads are in it. On the virtual clock its time stands while
        your program does not ask it for anything. It is gone when the block ends. `memory` is as
        in a scenario, 32M to 4G; `cpus` are 1 to 8. Raises UsageError for what cannot be meant; the
        block's begin raises ModuleBuildError, LabError and GuestLost.
        """
        _check_machine(cpus, clock, seed)
        chosen = self._kernel(kernel)
        kvm = clock == "real" and accelerator("auto", self._artifacts)(chosen.arch) == "kvm"
        accel: Literal["kvm", "tcg"] = "kvm" if kvm else "tcg"
        machine = Machine(chosen.arch, _memory(memory), cpus, clock, accel, seed)
        snapshots = Snapshots(self._artifacts.cache, _LOG.info) if snapshot else None
        return interactive.boot(self._project, self._artifacts, chosen, machine, snapshots)

    def _prepared(
        self,
        scenarios: str | Sequence[str],
        kernels: Kernels | None,
        tags: Sequence[str],
        options: Options,
    ) -> tuple[Runner, list[Pair]]:
        names = [scenarios] if isinstance(scenarios, str) else list(scenarios)
        wanted = None if kernels is None else _expression(kernels)
        self._artifacts.try_again()
        return lab.prepare(self._project, self._artifacts, names, tags, wanted, options)

    def _each(self, runner: Runner, pairs: Sequence[Pair], jobs: int) -> Iterator[Run]:
        return executor.execute(runner, pairs, jobs or os.cpu_count() or 1, lambda pair: None)

    def _kernel(self, kernel: str | Kernel | None) -> Kernel:
        if isinstance(kernel, Kernel):
            return kernel
        return lab.one_kernel(self._artifacts.catalog, kernel, self._project.settings.kernels)


def _went_wrong(run: Run) -> bool:
    return run.held.counts if run.held else run.verdict not in _FINE


def _project(place: Place | None) -> Project:
    start = Path.cwd() if place is None else Path(place).absolute()
    if place is None and projects.root_of(start) is None:
        return Project(start, Settings())
    return projects.find(start)


def _expression(kernels: Kernels) -> str:
    """What --kernel would be given. Raises UsageError for none at all."""
    given = [kernels] if isinstance(kernels, str | Kernel) else list(kernels)
    if not given:
        raise UsageError("kernels is empty: name some, or leave it out for the project's own")
    return ",".join(one.id if isinstance(one, Kernel) else one for one in given)


def _check_jobs(jobs: int) -> None:
    if jobs < 0:
        raise UsageError(f"jobs={jobs} is less than none; 0 is one guest a processor")


def _check_machine(cpus: int, clock: str, seed: int) -> None:
    if not 1 <= cpus <= MOST_CPUS:
        raise UsageError(f"cpus={cpus} is not between 1 and {MOST_CPUS}")
    if clock not in get_args(Clock):
        raise UsageError(f"clock={clock!r} is none; there are {', '.join(get_args(Clock))}")
    lab.check_seed(seed)


def _memory(text: str) -> int:
    try:
        return memory_mib(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
