"""`vmlab crash`: what a kernel's log says of a crash, any log's; or how well that is told."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmlab.errors import UsageError


def crash(
    log: Annotated[str | None, typer.Argument(help="A log: a file, or - for stdin.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    score: Annotated[
        Path | None, typer.Option(help="Measure against a folder of logs with headers.")
    ] = None,
) -> None:
    """Print the first crash report of a kernel's log: kind, title, guilty function, stack."""
    if (log is None) == (score is None):
        raise UsageError("give either a log (a file, or - for stdin) or --score with a folder")
    if score is not None:
        _score(score)
        return
    from vmlab import crash
    from vmlab.report import crashes

    found = crash.find(_read(log or "-"))
    if as_json:
        typer.echo(json.dumps(found.as_dict() if found else None, indent=1))
    else:
        typer.echo(crashes.text(found) if found else "no crash was found")


def _read(log: str) -> str:
    """Raises UsageError where the log cannot be read."""
    try:
        raw = sys.stdin.buffer.read() if log == "-" else Path(log).read_bytes()
    except OSError as error:
        raise UsageError(f"reading {log}: {(error.strerror or str(error)).lower()}") from error
    return raw.decode(errors="replace")


def _score(directory: Path) -> None:
    from vmlab.crash import score

    results = score.measure(directory)
    for miss in score.misses(results):
        typer.echo(miss)
    typer.echo(score.summary(results))
