"""pytest runs a project's scenario files as tests, and gives tests in Python a guest.

Guests of later items boot while an earlier one is looked at; pytest itself stays in order. With
pytest-xdist its workers are what runs at once, and each has one guest: its own item's.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmlab.errors import UsageError, VmlabError

if TYPE_CHECKING:
    from vmlab.catalog import Kernel
    from vmlab.history.recorder import Recorder
    from vmlab.interactive import Guest
    from vmlab.runner import Run, Runner
    from vmlab.scenario import Expanded
    from vmlab.snapshots import Snapshots

MARK = "scenario"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vmlab", "kernel test lab")
    group.addoption("--vmlab-kernel", help="kernels, as `vmlab run --kernel` takes them")
    group.addoption("--vmlab-backend", default="qemu", help="qemu or virtme (qemu)")
    group.addoption("--vmlab-accel", default="auto", help="auto, kvm or tcg (auto)")
    group.addoption("--vmlab-cold", action="store_true", help="boot, without snapshots")
    group.addoption("--vmlab-build-sandbox", action="store_true", help="build with bubblewrap (no)")
    group.addoption(
        "--vmlab-jobs", type=int, default=0, help="guests at once (one a core; with xdist, its -n)"
    )
    group.addoption(
        "--vmlab-dump", default="elf,kdump", help="memory images of dead guests, none: no images"
    )
    group.addoption("--vmlab-all", action="store_true", help="also demo, slow and crash scenarios")
    group.addoption(
        "--vmlab-strict-skips", action="store_true", help="a skipped scenario is a failure"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}: a scenario file on a kernel (vmlab)")
    config.addinivalue_line("markers", "guest: boots a guest (vmlab)")
    config.stash[_LAB] = _Lab(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    lab = config.stash.get(_LAB, None)
    if lab is not None:
        lab.close()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix != ".yaml":
        return None
    from vmlab.project import find, root_of

    root = root_of(file_path.parent)
    if root is None:
        return None
    try:
        project = find(root)
    except UsageError as error:
        return _bad_project(root, str(error), parent)
    if file_path.parent != project.root / project.settings.scenarios:
        return None
    return ScenarioFile.from_parent(parent, path=file_path)


def _bad_project(root: Path, message: str, parent: pytest.Collector) -> "BadProject | None":
    """An error in the place of all the scenarios that cannot be told: once, not for each file."""
    told = parent.config.stash[_LAB].bad
    if root in told:
        return None
    told.add(root)
    made: BadProject = BadProject.from_parent(parent, path=root / "vmlab.yaml")
    made.message = message
    return made


class BadProject(pytest.File):
    """A project whose vmlab.yaml cannot be used."""

    message: str

    def collect(self) -> Iterable[pytest.Item]:
        raise self.CollectError(self.message)


class ScenarioFile(pytest.File):
    """One scenario file; its items are its runs, one a kernel."""

    def collect(self) -> Iterable[pytest.Item]:
        from vmlab import project as projects
        from vmlab.executor import wants
        from vmlab.lab import kernel_problem
        from vmlab.scenario import expand, load

        lab = self.config.stash[_LAB]
        try:
            runner = lab.runner(self.path)
            loaded = load(self.path, runner.project.known(kernel_problem(runner.catalog)))
            if not (projects.runs_unnamed(loaded) or self.config.option.vmlab_all or self._named()):
                return
            for kernel in lab.kernels(runner):
                for expanded in expand(loaded):
                    if wants(runner, expanded, kernel):
                        yield ScenarioItem.make(self, runner, expanded, kernel)
        except VmlabError as error:
            raise self.CollectError(str(error)) from error

    def _named(self) -> bool:
        """Whether the command line names this very file, or a run in it."""
        here = self.config.invocation_params.dir
        names = (argument.partition("::")[0] for argument in self.config.args)
        return any((here / name).resolve() == self.path.resolve() for name in names)


class ScenarioFailed(Exception):
    """A run that did not pass."""

    def __init__(self, run: "Run") -> None:
        super().__init__(run.judgement.reason)
        self.run = run


class ScenarioItem(pytest.Item):
    """One scenario on one kernel."""

    runner: "Runner"
    expanded: "Expanded"
    kernel: "Kernel"

    @classmethod
    def make(
        cls, parent: ScenarioFile, runner: "Runner", expanded: "Expanded", kernel: "Kernel"
    ) -> "ScenarioItem":
        item: ScenarioItem = cls.from_parent(parent, name=f"{expanded.name}[{kernel.id}]")
        item.runner, item.expanded, item.kernel = runner, expanded, kernel
        item.add_marker(MARK)
        for tag in expanded.scenario.tags:
            item.keywords[tag] = True
        return item

    def runtest(self) -> None:
        from vmlab.verdict import Verdict

        lab = self.config.stash[_LAB]
        run = lab.result(self)
        lab.keep(self.runner, run)
        verdict = run.judgement.verdict
        self.user_properties += [
            ("kernel", run.kernel), ("verdict", str(verdict)), ("dir", run.dir),
        ]  # fmt: skip
        if verdict is Verdict.SKIPPED and not self.config.option.vmlab_strict_skips:
            pytest.skip(run.judgement.reason)
        if run.held and run.held.state != "expired":  # pytest looks for it after the test, too
            self.add_marker(pytest.mark.xfail(reason=run.held.text, strict=run.held.counts))
        if verdict is not Verdict.PASSED:
            if run.judgement.seen:
                self.add_report_section("call", "seen", run.judgement.seen)
            self.add_report_section("call", "console's end", _console_tail(run))
            raise ScenarioFailed(run)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        if not isinstance(excinfo.value, ScenarioFailed):
            return super().repr_failure(excinfo, style)
        from vmlab.report.table import failure

        return failure(excinfo.value.run).plain.rstrip()

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.name


def _console_tail(run: "Run") -> str:
    from vmlab.seen import tail

    console = Path(run.dir) / "console"
    return tail(console.read_text(errors="replace") if console.exists() else "")


@dataclass
class _Lab:
    """What one pytest run has of the lab: one runner a project, and the runs under way."""

    config: pytest.Config
    runners: "dict[Path, Runner]" = field(default_factory=dict)
    pool: ThreadPoolExecutor | None = None
    runs: "dict[str, Future[Run]]" = field(default_factory=dict)
    bad: set[Path] = field(default_factory=set)  # roots of projects that cannot be read
    recorders: "dict[Path, Recorder]" = field(default_factory=dict)
    stderr: int = field(default_factory=lambda: os.dup(2))  # as it was before tests' is captured

    def say(self, line: str) -> None:
        """What takes minutes is said also while a test runs, in a line of its own."""
        os.write(self.stderr, f"\n{line}\n".encode())

    def runner(self, path: Path) -> "Runner":
        from vmlab import lab
        from vmlab.artifacts import Artifacts
        from vmlab.cache import Cache
        from vmlab.catalog import Catalog
        from vmlab.project import find

        project = find(path.parent)
        if project.root not in self.runners:
            cache = Cache.default()
            option = self.config.option
            self.runners[project.root] = lab.runner(
                project,
                Artifacts(cache, Catalog.open(cache, self.say), option.vmlab_build_sandbox),
                lab.Options(
                    option.vmlab_backend,
                    option.vmlab_accel,
                    not option.vmlab_cold,
                    dump=lab.formats(option.vmlab_dump),
                ),
            )
        return self.runners[project.root]

    def snapshots(self, runner: "Runner") -> "Snapshots | None":
        from vmlab.snapshots import Snapshots

        if self.config.option.vmlab_cold:
            return None
        return Snapshots(runner.artifacts.cache, runner.catalog.say)

    def kernels(self, runner: "Runner") -> "list[Kernel]":
        wish = self.config.option.vmlab_kernel
        return runner.catalog.select(runner.project.settings.kernels if wish is None else wish)

    def result(self, item: ScenarioItem) -> "Run":
        """The item's run; the first one asked for starts those of all items behind it too."""
        if hasattr(self.config, "workerinput"):  # which items are this worker's is not known before
            return item.runner.run(item.expanded, item.kernel)
        if item.nodeid not in self.runs:
            self._start(item)
        from vmlab.executor import LOOK_S

        run = self.runs[item.nodeid]
        while not run.done():  # Ctrl-C may come to another thread
            wait([run], LOOK_S)
        return run.result()

    def _start(self, item: ScenarioItem) -> None:
        jobs = self.config.option.vmlab_jobs or os.cpu_count() or 1
        self.pool = self.pool or ThreadPoolExecutor(jobs, thread_name_prefix="guest")
        items = item.session.items
        for other in items[items.index(item) :]:
            if isinstance(other, ScenarioItem) and other.nodeid not in self.runs:
                self.runs[other.nodeid] = self.pool.submit(
                    other.runner.run, other.expanded, other.kernel
                )

    def keep(self, runner: "Runner", run: "Run") -> None:
        """Keeps a run in the project's history."""
        from vmlab.history.recorder import Recorder

        root = runner.project.root
        if root not in self.recorders:
            self.recorders[root] = Recorder(root, "pytest", self.say)
        self.recorders[root].add(run)

    def close(self) -> None:
        for recorder in self.recorders.values():
            recorder.close()
        for runner in self.runners.values():
            runner.stop()
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
        os.close(self.stderr)


_LAB = pytest.StashKey[_Lab]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "guest" in metafunc.fixturenames:
        lab = metafunc.config.stash[_LAB]
        kernels = lab.kernels(lab.runner(metafunc.definition.path))
        metafunc.parametrize("guest", kernels, ids=[one.id for one in kernels], indirect=True)


@pytest.fixture
def guest(request: pytest.FixtureRequest) -> "Iterator[Guest]":
    """A fresh guest for each kernel, with the project's modules and workloads in it."""
    from vmlab import interactive

    lab = request.config.stash[_LAB]
    runner = lab.runner(request.path)
    with interactive.boot(
        runner.project, runner.artifacts, request.param, snapshots=lab.snapshots(runner)
    ) as booted:
        yield booted
