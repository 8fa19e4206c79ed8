"""`vmlab verify-determinism`: the same runs again and again, to the byte."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmlab.determinism import Outcome
    from vmlab.executor import Pair
    from vmlab.runner import Runner


def verify(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="Names, globs or files; all without any.")
    ] = None,
    kernel: Annotated[str | None, typer.Option(help="As for `vmlab run`.")] = None,
    runs: Annotated[int, typer.Option(min=2, help="Runs of each scenario on each kernel.")] = 100,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Guests at once; 0: one a core.")
    ] = 0,
) -> None:
    """Run scenarios many times beside a busy core; the runs must not differ in a byte."""
    from vmlab import determinism, lab

    runner, pairs = lab.prepare(
        common.project(), common.artifacts(), scenarios or [], [], kernel, lab.Options()
    )
    outcomes = []
    try:
        with determinism.busy_core():
            for outcome in _followed(runner, pairs, runs, jobs or os.cpu_count() or 1):
                outcomes.append(outcome)
                typer.echo(line(outcome))
    finally:  # also after Ctrl-C
        if outcomes:
            typer.echo(total(outcomes))
    sys.exit(0 if all(outcome.fine for outcome in outcomes) else 1)


def _followed(
    runner: "Runner", pairs: "Sequence[Pair]", runs: int, jobs: int
) -> "Iterator[Outcome]":
    """Verifies all, and says all the while where it stands."""
    from vmlab import determinism
    from vmlab.cli.progress import Progress

    every, count = len(pairs) * runs, 0
    with Progress() as progress:

        def begun(pair: "Pair", number: int) -> None:
            nonlocal count
            count += 1
            where = f"{pair[1].id}: {pair[0].name}: run {number} of {runs}"
            progress.update(f"{where} ({count} of {every})")

        def odd(pair: "Pair", number: int) -> None:
            where = f"{pair[1].id}: {pair[0].name}"
            progress.console.print(f"{where}: run {number} is not as the others", markup=False)

        remake = runner.backend.forget
        yield from determinism.verify(runner, pairs, runs, jobs, remake, begun, odd)


def line(outcome: "Outcome") -> str:
    """What came of one scenario on one kernel."""
    where = f"{outcome.kernel}: {outcome.scenario}"
    if outcome.skipped:
        return f"{where}: skipped: {outcome.skipped}"
    text = f"{where}: {outcome.identical} of {outcome.runs} identical"
    if outcome.trouble:
        text += f"; {outcome.trouble}"
    if found := outcome.difference:
        when = "" if found.guest_s is None else f", {found.guest_s:.6f} s of guest time"
        text += (
            f"; first difference in run {found.run}, {found.file} line {found.line}{when}:\n"
            f"  run {found.against}:  {found.first}\n  run {found.run}: {found.other}"
        )
    if outcome.difference and outcome.why_inexact:
        text += f"\n  no run of it is promised to repeat: {outcome.why_inexact}"
    return text


def total(outcomes: "Sequence[Outcome]") -> str:
    """All of them in a line."""
    compared = [one for one in outcomes if not one.skipped]
    bad = [f"{one.scenario} on {one.kernel}" for one in compared if not one.fine]
    identical, runs = sum(one.identical for one in compared), sum(one.runs for one in compared)
    text = f"{identical} of {runs} identical, {len(compared)} scenarios on kernels"
    if skipped := len(outcomes) - len(compared):
        text += f" ({skipped} more skipped)"
    return text + (f"; not so: {', '.join(bad)}" if bad else "")
