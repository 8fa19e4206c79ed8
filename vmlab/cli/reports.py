"""What `vmlab run` and `vmlab report` write about runs, besides the table."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common
from vmlab.errors import LabError, UsageError

if TYPE_CHECKING:
    from vmlab.executor import Pair
    from vmlab.report.events import Event, Stream
    from vmlab.report.told import Report
    from vmlab.runner import Run

STDOUT = Path("-")

Html = Annotated[Path | None, typer.Option(help="Write one page with all runs to this file.")]
Junit = Annotated[Path | None, typer.Option(help="Write JUnit's XML to this file.")]
Ktap = Annotated[Path | None, typer.Option(help="Write KTAP to this file.")]
Markdown = Annotated[Path | None, typer.Option(help="Write a summary to this file.")]
Jsonl = Annotated[Path | None, typer.Option(help="Write events to this file while runs go on.")]
Github = Annotated[
    bool | None,
    typer.Option("--github/--no-github", help="Annotate for GitHub (where GITHUB_ACTIONS is set)."),
]


@dataclass(frozen=True)
class Files:
    """Where each format goes; `-` is standard output."""

    html: Path | None = None
    junit: Path | None = None
    ktap: Path | None = None
    markdown: Path | None = None

    def wanted(self) -> dict[str, Path]:
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: path for name, path in named.items() if path is not None}

    def check(self) -> None:
        """Raises UsageError for what cannot be written, before anything is done for it."""
        for name, path in self.wanted().items():
            place_for(path, f"--{name}")

    def write(self, report: "Report") -> None:
        from vmlab.report.formats import FORMATS

        for name, path in self.wanted().items():
            text = FORMATS[name](report)
            if path == STDOUT:
                typer.echo(text, nl=False)
            else:
                common.write(path, text)


def with_past(report: "Report", root: Path) -> "Report":
    """With what became of earlier runs of the same; a history that cannot be read is said."""
    from dataclasses import replace

    from vmlab.history.store import Store, place
    from vmlab.report.trend import BARS, trend

    path = place(root)
    if not path.exists():
        return report
    try:
        with Store(path, common.say) as store:
            keys = dict.fromkeys(run.key for run in report.runs)
            trends = {key: trend(store.recent(*key, BARS)) for key in keys}
    except LabError as error:
        common.say(str(error))
        return report
    return replace(report, past={key: one for key, one in trends.items() if one})


def place_for(path: Path, option: str) -> None:
    """Raises UsageError where a file's directory is not there or it is no file."""
    if path == STDOUT:
        return
    if path.is_dir():
        raise UsageError(f"{option} {path}: that is a directory; name a file")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{option} {path}: there is no directory {path.parent}; make it first")


def on_github(wish: bool | None, environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get("GITHUB_ACTIONS") == "true" if wish is None else wish


@contextlib.contextmanager
def muted(github: bool) -> Iterator[None]:
    """Within it GitHub takes no commands from what is printed."""
    if not github:
        yield
        return
    from vmlab.report.github import Muted

    word = Muted()
    typer.echo(word.begin)
    try:
        yield
    finally:
        typer.echo(word.end)


def annotate(report: "Report", root: Path, environment: Mapping[str, str] = os.environ) -> None:
    """GitHub's annotations on standard output, and the summary where it wants that."""
    from vmlab.report import github
    from vmlab.report.markdown import text

    workspace = Path(environment.get("GITHUB_WORKSPACE") or Path.cwd())
    for line in github.annotations(report, root, workspace):
        typer.echo(line)
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(summary, "a", encoding="utf-8") as file:
                file.write(text(report))
        except OSError as error:
            raise LabError(f"writing GitHub's summary to {summary}: {error.strerror}") from error


class Outputs:
    """What `vmlab run` writes: events while runs go on, files and annotations at the end."""

    def __init__(self, files: Files, jsonl: Path | None, github: bool, root: Path) -> None:
        files.check()
        if jsonl:
            place_for(jsonl, "--jsonl")
        self.github = github
        self._files, self._jsonl, self._root = files, jsonl, root
        self._stream: Stream | None = None

    def start(self, pairs: "Sequence[Pair]") -> None:
        from vmlab.report import events

        if self._jsonl:
            self._stream = events.Stream(self._jsonl)
            self._write(events.start([(one.name, kernel.id) for one, kernel in pairs]))

    def begun(self, pair: "Pair") -> None:
        from vmlab.report import events

        self._write(events.run_start(pair[0].name, pair[1].id))

    def done(self, run: "Run") -> None:
        from vmlab.report import events

        if self._stream:
            self._write(*events.of_run(run))

    def end(self, runs: "Sequence[Run]", status: int | None) -> None:
        """`status` is None where the command was stopped."""
        from vmlab.report import events

        if self._stream:
            self._write(events.end(runs, status))
            self._stream.close()
        if not (self._files.wanted() or self.github):
            return
        from vmlab.report.told import of_runs

        report = of_runs(runs)
        self._files.write(with_past(report, self._root))
        if self.github:
            annotate(report, self._root)

    def _write(self, *some: "Event") -> None:
        if self._stream:
            self._stream.write(*some)
