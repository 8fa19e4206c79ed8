"""`vmlab bench`: how fast guests are, beside a cold boot and virtme-ng, in one run."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmlab.measure import Guests

_PROFILE_RUNS = 15
_PROGRAMS: dict[str, list[str]] = {
    "no step": [],
    "one command": ["true"],
    "the same twice": ["true", "true"],
}  # fmt: skip


def bench(
    kernel: Annotated[str | None, typer.Option(help="As for `vmlab run`.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw them into this file.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Measures of each kind.")] = 5,
    runs: Annotated[int, typer.Option(min=2, help="Runs in a row for the growth.")] = 64,
    profile: Annotated[bool, typer.Option(help="Only show where a short run's time goes.")] = False,
) -> None:
    """Measure guests side by side: from a snapshot, booted cold, booted by virtme-ng."""
    from vmlab import bench as policy
    from vmlab import measure
    from vmlab.report import bench as report

    artifacts = common.artifacts()
    guests = measure.Guests(artifacts)
    kernels = [guests.ready(one) for one in artifacts.catalog.select(kernel)]
    if profile:
        _profile(guests, kernels)
        return
    counts = range(1, (os.cpu_count() or 1) + 1)
    found = policy.measure(guests, kernels, rounds, counts, common.say)
    common.say(f"{runs} runs in a row")
    growth = guests.growth(kernels[0], runs)
    text = policy.as_json(found, growth, measure.host(), rounds)
    typer.echo(report.text(text))
    if json:
        common.write(json, text)
    if svg:
        from vmlab.report import chart

        common.write(svg, chart.of_json(text))


def _profile(guests: "Guests", kernels: "Sequence[str]") -> None:
    from vmlab import measure
    from vmlab.report import bench as report

    python = [measure.python_s() for _ in range(_PROFILE_RUNS)]
    for kernel in kernels:
        seen = [guests.timeline(kernel).at for _ in range(_PROFILE_RUNS)]
        typer.echo(report.profile(kernel, measure.PHASES, seen))
        for label, commands in _PROGRAMS.items():
            typer.echo(f"  {guests.blocks(kernel, commands):>6} blocks translated, {label}")
    typer.echo(report.profile("the lab's own side", list(python[0]), python))
