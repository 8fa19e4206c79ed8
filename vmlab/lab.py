"""From a project and what was asked for to the runs to do; nothing is built before all is valid."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmlab import project as projects
from vmlab.accel import accelerator
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.backend import Backend, QemuBackend
from vmlab.catalog import Catalog, Kernel
from vmlab.errors import UsageError
from vmlab.executor import Pair, matrix
from vmlab.frames import Frames
from vmlab.guest.images import FORMATS, Keeper
from vmlab.known_failures import unmeant
from vmlab.project import FILE, Project
from vmlab.runner import Runner
from vmlab.scenario import Expanded
from vmlab.scenario.check import unknown
from vmlab.snapshots import Snapshots
from vmlab.virtme import VirtmeBackend

BACKENDS: dict[str, Callable[[Artifacts, Snapshots | None, Keeper | None], Backend]] = {
    "qemu": lambda artifacts, snapshots, keeper: QemuBackend(snapshots, keeper),
    "virtme": lambda artifacts, snapshots, keeper: VirtmeBackend(artifacts),
}
ACCELS = ("auto", "kvm", "tcg")


@dataclass(frozen=True)
class Options:
    """How guests are run."""

    backend: str = "qemu"
    accel: str = "auto"
    snapshot: bool = True
    seed: int | None = None  # None: derived from scenario and kernel
    perturb: bool = False  # whether the seed shifts runs in time too
    fetch_debug: bool = False  # whether a crashed kernel's debug package may be fetched
    dump: tuple[str, ...] = ()  # the formats of the memory images that dead guests leave
    cluster: str | None = None  # the address of a scheduler, whose workers run the guests


def prepare(
    project: Project,
    artifacts: Artifacts,
    names: Sequence[str],
    tags: Sequence[str],
    kernels: str | None,
    options: Options,
) -> tuple[Runner, list[Pair]]:
    """The runner and what it is to run. Raises UsageError with everything that is wrong."""
    catalog = artifacts.catalog
    chosen = catalog.select(project.settings.kernels if kernels is None else kernels)
    _check_known(project)
    made = runner(project, artifacts, options)
    scenarios = load(project, catalog, names, tags)
    pairs = matrix(made, scenarios, chosen)
    if not pairs:
        raise UsageError("nothing is left to run: no chosen scenario is for a chosen kernel")
    return made, pairs


def runner(
    project: Project, artifacts: Artifacts, options: Options, shared: Backend | None = None
) -> Runner:
    """What runs this project's scenarios. Raises UsageError for unknown options.

    `shared` is another runner's backend of the same options: its snapshots, or its cluster.
    """
    if options.seed is not None:
        check_seed(options.seed)
    backend, accel = shared or _backend(options, artifacts), _accel(options, artifacts)
    frames = Frames(project, artifacts, options.fetch_debug)
    return Runner(project, artifacts, backend, accel, options.seed, options.perturb, frames)


def check_seed(seed: int) -> None:
    """Raises UsageError for a number that is no seed."""
    if not 0 <= seed < 1 << 32:
        raise UsageError(f"seed {seed} is out of range; it is 0 to {(1 << 32) - 1}")


def _check_known(project: Project) -> None:
    """Raises UsageError for failures that are known of scenarios that are not there."""
    known = project.settings.known_failures
    names = [path.stem for path in project.scenario_files()] if known else []
    if gone := unmeant(known, names):
        lines = (
            f"  entry {number + 1}: {unknown('scenario', name, names)}" for number, name in gone
        )
        raise UsageError(f"{project.root / FILE}: known_failures:\n" + "\n".join(lines))


def load(
    project: Project, catalog: Catalog, names: Sequence[str], tags: Sequence[str]
) -> list[Expanded]:
    """The scenarios by name, or by tag, or those that run unnamed."""
    known = project.known(kernel_problem(catalog))
    loaded = projects.load_all(projects.chosen(project, names), known)
    if tags:
        loaded = [one for one in loaded if set(tags) & set(one.scenario.tags)]
    elif not names:
        loaded = [one for one in loaded if projects.runs_unnamed(one)]
    if not loaded:
        raise UsageError(
            f"no scenario in {project.root / project.settings.scenarios}"
            + (f" has the tag {', '.join(tags)}" if tags else "; write one, see docs/scenarios.md")
        )
    return projects.expanded(loaded)


def one_kernel(catalog: Catalog, expression: str | None, usual: str) -> Kernel:
    """The one kernel that is meant; without an expression the newest usual one, of x86_64 if any.

    Raises UsageError where an expression means several.
    """
    if expression is None:
        known = catalog.select(usual)
        return max(known, key=lambda kernel: (kernel.arch is ARCHES["x86_64"], kernel.number))
    chosen = catalog.select(expression)
    if len(chosen) != 1:
        names = ", ".join(kernel.id for kernel in chosen)
        raise UsageError(f"one kernel is wanted, and {expression!r} means {names}: name one")
    return chosen[0]


def kernel_problem(catalog: Catalog) -> Callable[[str], str | None]:
    """Says what is wrong with a kernel selection, None where nothing is."""

    def problem(expression: str) -> str | None:
        try:
            catalog.select(expression)
        except UsageError as error:
            return str(error)
        return None

    return problem


def _backend(options: Options, artifacts: Artifacts) -> Backend:
    if options.backend not in BACKENDS:
        raise UsageError(f"unknown backend {options.backend!r}; there are {', '.join(BACKENDS)}")
    if options.cluster is not None and not options.cluster.strip():
        raise UsageError("--cluster is empty: name its scheduler, as in tcp://10.0.0.1:8786")
    if options.cluster:
        return _cluster(options, artifacts)
    wanted = options.snapshot
    snapshots = Snapshots(artifacts.cache, artifacts.catalog.say) if wanted else None
    return BACKENDS[options.backend](artifacts, snapshots, _keeper(options.dump))


def _cluster(options: Options, artifacts: Artifacts) -> Backend:
    """Workers begin from snapshots of their own, and keep no memory images."""
    from vmlab.cluster import backend, crew

    if options.backend != "qemu":
        raise UsageError(f"--cluster is for the backend qemu, not {options.backend}")
    if options.accel == "kvm":
        raise UsageError("--cluster is for tcg: whether a worker's kvm works is not known")
    connected = crew.connect(options.cluster or "", artifacts.catalog.say)
    return backend.ClusterBackend(connected, options.snapshot)


def at_once(wish: int, made: Runner) -> int:
    """How many guests run at a time: as was wished, as a cluster has room for, or one a core."""
    return wish or getattr(made.backend, "at_once", 0) or os.cpu_count() or 1


def formats(words: str) -> tuple[str, ...]:
    """What --dump takes: formats with commas between, or `none`."""
    return tuple(word for word in words.split(",") if word and word != "none")


def dumped(words: str | None, no_dump: bool) -> tuple[str, ...]:
    """What --dump and --no-dump come to. Raises UsageError where they contradict each other."""
    wanted = formats(words or "")
    if no_dump and wanted:
        raise UsageError(f"--dump {words} and --no-dump contradict each other; give one of them")
    if no_dump:
        return ()
    return tuple(FORMATS) if words is None else wanted


def _keeper(formats: Sequence[str]) -> Keeper | None:
    if unknown := set(formats) - FORMATS.keys():
        raise UsageError(f"unknown image format {min(unknown)!r}; there are {', '.join(FORMATS)}")
    return Keeper(formats) if formats else None


def _accel(options: Options, artifacts: Artifacts) -> "Callable[..., str]":
    if options.accel not in ACCELS:
        raise UsageError(f"unknown accelerator {options.accel!r}; there are {', '.join(ACCELS)}")
    if options.cluster:
        return lambda arch: "tcg"
    return accelerator(options.accel, artifacts)
