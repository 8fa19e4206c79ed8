"""`vmlab verify-determinism`: the same run again and again, to the byte."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from vmlab.catalog import Kernel
    from vmlab.determinism import Outcome
    from vmlab.runner import Runner
    from vmlab.scenario import Expanded


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
            outcome = _followed(runner, expanded, one, runs)
            fine = fine and outcome.fine
            typer.echo(_line(expanded.name, outcome))
    sys.exit(0 if fine else 1)


def _followed(runner: "Runner", expanded: "Expanded", kernel: "Kernel", runs: int) -> "Outcome":
    """Verifies one scenario on one kernel, and says all the while where it stands."""
    from rich.console import Console
    from rich.text import Text

    from vmlab import determinism

    with Console(stderr=True, highlight=False).status("") as status:

        def begun(number: int) -> None:
            status.update(Text(f"{kernel.id}: {expanded.name}: run {number} of {runs}"))

        forget = runner.backend.forget
        return determinism.verify(runner, expanded, kernel, runs, forget, begun)


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
