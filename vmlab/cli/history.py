"""`vmlab history` and `vmlab flaky`: what became of runs, over all that were kept."""

import json as jsonlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmlab.history.entry import Entry

_LOOKED_AT = 10_000  # newest runs of each scenario and kernel, for what is flaky
_SCENARIO = Annotated[str, typer.Argument(help="A name or a glob; all without.")]
_KERNEL = Annotated[str, typer.Option(help="A kernel's id, or a glob.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]


def history(
    scenario: _SCENARIO = "*",
    kernel: _KERNEL = "*",
    json: _JSON = False,
    last: Annotated[
        int, typer.Option(min=1, help="Rates and times are of so many runs of each.")
    ] = 100,
) -> None:
    """Show when scenarios passed last, how often they fail and how long they take."""
    from vmlab.history import summary
    from vmlab.report import past, table

    found = summary.summaries(_entries(scenario, kernel, last), last)
    if json:
        typer.echo(jsonlib.dumps({"history": [one.record() for one in found]}, indent=1))
    else:
        past.history(found, time.time(), table.printer())


def flaky(scenario: _SCENARIO = "*", kernel: _KERNEL = "*", json: _JSON = False) -> None:
    """Show what passed and failed with the same inputs."""
    from vmlab.history import summary
    from vmlab.report import past, table

    entries = _entries(scenario, kernel, _LOOKED_AT)
    found = summary.flaky(entries)
    if json:
        typer.echo(jsonlib.dumps({"flaky": [one.record() for one in found]}, indent=1))
    elif found:
        past.flaky(found, table.printer())
    else:
        runs = f"{len(entries)} run{'s' if len(entries) != 1 else ''}"
        typer.echo(f"nothing is flaky in {runs}: no inputs both passed and failed")


def _entries(scenario: str, kernel: str, each: int) -> "Sequence[Entry]":
    """Raises UsageError where nothing is kept of what was asked for."""
    from vmlab.errors import UsageError
    from vmlab.history.store import Store, place

    path: Path = place(common.project().root)
    if not path.exists():
        raise UsageError(f"nothing is kept yet (in {path}): run scenarios first (`vmlab run`)")
    with Store(path, common.say) as store:
        entries = store.entries(scenario, kernel, each)
    if not entries:
        if scenario == kernel == "*":
            raise UsageError(f"no run is kept in {path}: run scenarios first (`vmlab run`)")
        raise UsageError(
            f"no run of {scenario!r} on {kernel!r} is kept; `vmlab history` shows what is"
        )
    return entries
