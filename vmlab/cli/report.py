"""`vmlab report` and `vmlab diff`: what runs showed, and what changed between two results."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common, reports

if TYPE_CHECKING:
    from vmlab.report.told import Report

_RESULT = "A directory below vmlab-out, or a file of `vmlab run --json`."


def report(
    directory: Annotated[
        Path | None, typer.Argument(help="Below vmlab-out; the newest without.")
    ] = None,
    html: reports.Html = None,
    junit: reports.Junit = None,
    ktap: reports.Ktap = None,
    markdown: reports.Markdown = None,
    github: reports.Github = None,
) -> None:
    """Write what was run as a page, or in other formats; `-` is standard output."""
    from vmlab.report import told

    files = reports.Files(html, junit, ktap, markdown)
    files.check()
    place = directory or common.project().output
    found = told.of_directory(place)
    annotated = reports.on_github(github)
    if not files.wanted() and not annotated:
        files = reports.Files(html=_beside(found))
    files.write(reports.with_past(found, common.here().root))
    if annotated:
        reports.annotate(found, common.here().root)
    written = [str(path) for path in files.wanted().values() if path != reports.STDOUT]
    if written:
        runs = told.counted(len(found.runs), "run", "runs")
        common.say(f"{runs}, {found.sums()}: wrote {', '.join(written)}")


def _beside(found: "Report") -> Path:
    """A page's place where none is named: with the runs."""
    first = found.runs[0].place or Path.cwd()
    return (first if len(found.runs) == 1 else first.parent) / "report.html"


def diff(
    before: Annotated[Path, typer.Argument(help=_RESULT)],
    after: Annotated[Path, typer.Argument(help="The same, of a later time.")],
    times: Annotated[
        float, typer.Option(min=1.0, help="Slower is what takes so many times as long.")
    ] = 1.5,
    json: Annotated[Path | None, typer.Option(help="Write the changes to this file.")] = None,
) -> None:
    """Say what changed between two results; exit with 1 if something is newly failing."""
    from vmlab.report import changes, told

    old, new = (
        told.of_directory(path) if path.is_dir() else told.of_json(path) for path in (before, after)
    )
    found = changes.changes(old, new, times)
    typer.echo(changes.text(found))
    if json:
        common.write(json, jsonlib.dumps(changes.record(found), indent=1) + "\n")
    sys.exit(found.exit_status)
