"""`vmlab verify-determinism`: the same run again and again, to the byte."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from vmlab.determinism import Outcome


def verify(
    scenarios: Annotated[list[str], typer.Argument(help="Names, globs or files.")],
    kernel: Annotated[str | None, typer.Option(help="As for `vmlab run`.")] = None,
    runs: Annotated[int, typer.Option(min=2, help="Runs on each kernel.")] = 100,
) -> None:
    """Run scenarios many times beside a busy core; the runs must not differ in a byte."""
    from vmlab import determinism, lab

    artifacts = common.artifacts()
    options = lab.Options()
    runner, pairs = lab.prepare(common.project(), artifacts, scenarios, [], kernel, options)

    fine = True
    with determinism.busy_core():
        for expanded, one in pairs:
            outcome = determinism.verify(runner, expanded, one, runs, runner.backend.forget)
            fine = fine and outcome.fine
            typer.echo(_line(expanded.name, outcome))
    sys.exit(0 if fine else 1)


def _line(scenario: str, outcome: "Outcome") -> str:
    if outcome.skipped:
        return f"{outcome.kernel}: {scenario}: skipped: {outcome.skipped}"
    text = f"{outcome.kernel}: {scenario}: {outcome.identical} of {outcome.runs} identical"
    if outcome.trouble:
        text += f"; {outcome.trouble}"
    if found := outcome.difference:
        when = "" if found.guest_s is None else f", {found.guest_s:.6f} s of guest time"
        text += (
            f"; first difference in run {found.run}, {found.file} line {found.line}{when}:\n"
            f"  run 1:  {found.first}\n  run {found.run}: {found.other}"
        )
    return text
