"""`vmlab run`: scenarios on kernels, and the table of verdicts."""

import contextlib
import functools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common, complete, reports, selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.status import Status

    from vmlab.executor import Pair
    from vmlab.project import Project
    from vmlab.runner import Run, Runner
    from vmlab.shard import Shard

_KERNEL = "ids, globs, arch=i386, newest, oldest, default, all; with commas between"


def run(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, globs or files; all without any.", autocompletion=complete.scenarios
        ),
    ] = None,
    kernel: Annotated[
        str | None, typer.Option(help=f"Kernels: {_KERNEL}.", autocompletion=complete.kernels)
    ] = None,
    kernels: Annotated[str | None, typer.Option(hidden=True)] = None,
    backend: Annotated[str, typer.Option(help="qemu, or virtme: through virtme-ng.")] = "qemu",
    accel: Annotated[str, typer.Option(help="What runs `clock: real`: auto, kvm or tcg.")] = "auto",
    snapshot: Annotated[
        bool, typer.Option(help="Begin guests from snapshots, or boot each.")
    ] = True,
    seed: Annotated[
        int | None,
        typer.Option(help="What chance there is in a run; derived from the names without."),
    ] = None,
    perturb: Annotated[
        bool,
        typer.Option(
            "--perturb", help="Shift runs in time, as `vmlab explore` does for this seed."
        ),
    ] = False,
    tag: Annotated[list[str] | None, typer.Option(help="Only scenarios with this tag.")] = None,
    cluster: common.Cluster = None,
    last_failed: selection.LastFailed = False,
    failed_first: selection.FailedFirst = False,
    shard: selection.ShardOption = None,
    shard_times: selection.ShardTimes = None,
    fetch_debug: Annotated[bool, typer.Option("--fetch-debug", help=common.FETCH_DEBUG)] = False,
    json: Annotated[Path | None, typer.Option(help="Write all runs as JSON to this file.")] = None,
    html: reports.Html = None,
    junit: reports.Junit = None,
    ktap: reports.Ktap = None,
    markdown: reports.Markdown = None,
    jsonl: reports.Jsonl = None,
    github: reports.Github = None,
    dump: Annotated[
        str | None,
        typer.Option(
            help="Memory images of guests that died: elf (gdb), kdump (crash, drgn).",
            show_default="elf,kdump",
        ),
    ] = None,
    no_dump: Annotated[bool, typer.Option("--no-dump", help="No memory images.")] = False,
    shell_on_fail: Annotated[
        bool,
        typer.Option(
            "--shell-on-fail",
            help="Open a shell in a guest that stands where the first failure was.",
        ),
    ] = False,
    coverage: Annotated[
        Path | None,
        typer.Option(help="Count which lines of the modules run; HTML in this directory."),
    ] = None,
    compare_arch: Annotated[
        bool, typer.Option("--compare-arch", help="Say where i386 and x86_64 differ.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Guests at once; 0: one a core.")
    ] = 0,
    build_sandbox: common.BuildSandbox = False,
) -> None:
    """Run scenarios on kernels and print the verdicts."""
    from vmlab import executor, lab
    from vmlab.errors import UsageError
    from vmlab.runner import as_json

    formats = lab.dumped(dump, no_dump)
    wanted = selection.Selection(last_failed, failed_first, shard, shard_times)
    project = common.project()
    outputs = reports.Outputs(
        reports.Files(html, junit, ktap, markdown), jsonl, reports.on_github(github), project.root
    )
    if coverage is not None and cluster is not None:
        raise UsageError("--coverage and --cluster do not go together: counts stay on the workers")
    artifacts = common.artifacts(build_sandbox)
    artifacts.profiled = coverage is not None
    runner, pairs = lab.prepare(
        project, artifacts,
        scenarios or [], tag or [], kernels if kernel is None else kernel,
        lab.Options(
            backend, accel, snapshot, seed, perturb, fetch_debug, formats, cluster
        ),
    )  # fmt: skip
    pairs = wanted.of(pairs, project)
    if coverage is not None:
        pairs = _counted(pairs)
    finished: list[Run] = []
    status: int | None = None
    try:
        _about(project, runner, wanted.part, pairs)
        outputs.start(pairs)
        _follow(runner, pairs, lab.at_once(jobs, runner), finished, outputs)
        status = executor.exit_status(finished)
    except BaseException:
        common.say("stopped; what was finished:")
        raise
    finally:
        try:
            with reports.muted(outputs.github):
                _end(finished, pairs)
                if compare_arch:
                    _compare(finished)
        finally:  # files are written where the table cannot be, too
            if json:
                common.write(json, as_json(finished))
            outputs.end(finished, status)
    if coverage is not None:
        _cover(coverage, runner, [(run, _of(run, pairs)) for run in finished])
    if status and shell_on_fail:
        from vmlab.cli.shell import after_failure

        run = next(run for run in finished if executor.exit_status([run]))
        after_failure(run, _of(run, pairs), runner)
    sys.exit(status)


def _about(
    project: "Project", runner: "Runner", part: "Shard | None", pairs: "Sequence[Pair]"
) -> None:
    """Says of which project the runs are, and which there were to be, for `vmlab merge`."""
    from vmlab.about import About

    shard = (part.number, part.of) if part else None
    names = [(expanded.name, kernel.id) for expanded, kernel in pairs]
    about = About(project=project.name, identity=project.identity, shard=shard, wanted=names)
    try:
        about.write(project.output / runner.stamp)
    except OSError as error:
        common.say(f"writing about.json in {error.filename}: {error.strerror}")


def _counted(pairs: "Sequence[Pair]") -> "list[Pair]":
    """The runs with a last step that prints the counts."""
    from vmlab.coverage import with_step

    return [(with_step(expanded), kernel) for expanded, kernel in pairs]


def _cover(target: Path, runner: "Runner", done: "Sequence[tuple[Run, Pair]]") -> None:
    """Prints how many lines of each source ran, and writes the pages."""
    from vmlab.coverage import collect
    from vmlab.report.table import near

    counts = collect.counts(runner.project, runner.artifacts, done)
    if not counts:
        common.say(collect.uncounted([run for run, _ in done], str(target)))
        return
    for name, one in counts.items():
        typer.echo(f"{near(name)}: {one}")
    typer.echo(f"wrote {near(str(collect.pages(counts, target.resolve())))}")


def _follow(
    runner: "Runner",
    pairs: "Sequence[Pair]",
    jobs: int,
    finished: "list[Run]",
    outputs: reports.Outputs,
) -> None:
    from vmlab import executor
    from vmlab.history.recorder import Recorder

    runner.meanwhile = _import_report
    progress = _Progress(finished, len(pairs))

    def begun(pair: "Pair") -> None:
        outputs.begun(pair)
        progress.begun(pair)

    keep = Recorder(runner.project.root, "run", common.say)
    with contextlib.closing(progress), contextlib.closing(keep):
        for run in executor.execute(runner, pairs, jobs, begun):
            finished.append(run)
            keep.add(run)
            outputs.done(run)
            progress.done(run)


def _import_report() -> None:
    """What prints the table takes as long to import as a guest takes to begin."""
    from vmlab.history import store  # noqa: F401
    from vmlab.report import table  # noqa: F401


@dataclass
class _Progress:
    """Each run in a line of its own, and on a terminal one below them of what is under way."""

    finished: "list[Run]"
    total: int
    running: "list[Pair]" = field(default_factory=list)

    @functools.cached_property
    def _console(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    @functools.cached_property
    def _status(self) -> "Status":
        made = self._console.status("")
        made.start()
        return made

    def begun(self, pair: "Pair") -> None:
        self.running.append(pair)
        self._update()

    def done(self, run: "Run") -> None:
        from vmlab.report import table

        if self.running:
            self.running.remove(_of(run, self.running))
        self._console.print(table.line(run), soft_wrap=True)
        self._update()

    def close(self) -> None:
        if sys.stderr.isatty():
            self._status.stop()

    def _update(self) -> None:
        if not sys.stderr.isatty():
            return
        from rich.text import Text

        from vmlab.report import table

        names = [f"{expanded.name} {one.id}" for expanded, one in self.running]
        self._status.update(Text(table.progress(len(self.finished), self.total, names)))


def _of(run: "Run", pairs: "Sequence[Pair]") -> "Pair":
    """The pair that a run was of; its kernel may be another, the nearest to one that is gone."""
    return min(
        pairs,
        key=lambda pair: (
            pair[0].name != run.scenario, pair[1].id != run.kernel, pair[1].arch.name != run.arch,
        ),
    )  # fmt: skip


def _compare(finished: "list[Run]") -> None:
    from vmlab.report import arches, told

    typer.echo(arches.text(told.of_runs(finished).runs))


def _end(finished: "list[Run]", pairs: "Sequence[Pair]") -> None:
    from vmlab.report import table

    order = {(pair[0].name, pair[1].id): number for number, pair in enumerate(pairs)}
    finished.sort(key=lambda run: order.get((run.scenario, run.kernel), 0))
    table.show(finished, table.printer())
