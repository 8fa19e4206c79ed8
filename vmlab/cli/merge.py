"""`vmlab merge`: results of several commands, of shards for instance, made into one."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common, reports

if TYPE_CHECKING:
    from vmlab.merge import Merged

_MOST = 10  # of what is missing that are named


def merge(
    directories: Annotated[
        list[Path], typer.Argument(help="Directories that `vmlab run` made below vmlab-out.")
    ],
    to: Annotated[
        Path | None, typer.Option(help="The new directory; below vmlab-out without.")
    ] = None,
    html: reports.Html = None,
    junit: reports.Junit = None,
    ktap: reports.Ktap = None,
    markdown: reports.Markdown = None,
) -> None:
    """Make one result of several; exit as the command that had run them all would."""
    from vmlab import merge as merging
    from vmlab.errors import UsageError
    from vmlab.report import told

    files = reports.Files(html, junit, ktap, markdown)
    files.check()
    found = merging.merged([merging.read(path) for path in directories])
    target = to or common.here().output / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-merged"
    if target.exists():
        raise UsageError(f"--to {target}: that is there already; name a new directory")
    merging.write(found, target)
    whole = told.of_directory(target) if found.runs else told.Report(target.name, [])
    files.write(whole)
    for line in _words(found):
        common.say(line)
    runs = told.counted(len(whole.runs), "run", "runs")
    typer.echo(f"{found.about.project}: {runs}, {whole.sums()}: {target}")
    sys.exit(whole.exit_status or (3 if found.missing else 0))


def _words(found: "Merged") -> list[str]:
    from vmlab.report import told

    lines = []
    if found.twice:
        runs = told.counted(found.twice, "run is", "runs are")
        lines.append(f"{runs} there more than once, the same to the byte: one of each is taken")
    for scenario, kernel in found.differing:
        lines.append(
            f"{scenario} on {kernel}: runs of the same inputs and seed differ; all are kept, see "
            "`vmlab verify-determinism`"
        )
    lines += [f"missing: {one}" for one in found.missing[:_MOST]]
    if (more := len(found.missing) - _MOST) > 0:
        lines.append(f"missing: {more} more")
    return lines
