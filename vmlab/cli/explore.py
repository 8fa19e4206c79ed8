"""`vmlab explore`: scenarios under many seeds, and the table of outcomes."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common, complete

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from vmlab.explore import Found, Task
    from vmlab.runner import Runner


def explore(
    scenarios: Annotated[
        list[str], typer.Argument(help="Names, globs or files.", autocompletion=complete.scenarios)
    ],
    kernel: Annotated[str | None, typer.Option(help="As for `vmlab run`.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many, for each kernel.")] = 200,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the outcomes to this file.")] = None,
    cluster: common.Cluster = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Guests at once; 0: one a core.")
    ] = 0,
) -> None:
    """Run scenarios under seeds that shift them in time; exit with 1 if one fails."""
    from vmlab import executor, lab
    from vmlab import explore as exploring

    runner, pairs = lab.prepare(
        common.project(),
        common.artifacts(),
        scenarios,
        [],
        kernel,
        lab.Options(perturb=True, cluster=cluster),
    )
    wanted = exploring.tasks(pairs, first, seeds)
    found: list[Found] = []
    try:
        _follow(runner, wanted, lab.at_once(jobs, runner), found)
    except BaseException:
        common.say(f"stopped after {len(found)} of {len(wanted)} runs:")
        raise
    finally:
        files = runner.project.scenario_files()
        outside = {one.scenario.name for one, _ in pairs if one.path not in files}
        _end(found, json, outside)
    sys.exit(executor.exit_status([one.run for one in found]))


def _follow(runner: "Runner", wanted: "Sequence[Task]", jobs: int, found: "list[Found]") -> None:
    """Says each outcome when it is first seen, and all the while where it stands."""
    from vmlab import explore as exploring
    from vmlab.cli.progress import Progress
    from vmlab.history.recorder import kept
    from vmlab.report import outcomes, table

    kinds = set()
    with Progress() as progress, kept(runner, "explore", common.say) as keep:
        console = progress.console
        for one in exploring.explore(runner, wanted, jobs, lambda task: None):
            found.append(one)
            keep.add(one.run)
            if one.kind not in kinds:
                kinds.add(one.kind)
                console.print(f"seed {one.seed}: ", table.line(one.run), sep="", soft_wrap=True)
            progress.update(outcomes.progress(found, len(wanted)))


def _end(found: "Sequence[Found]", json: Path | None, outside: "Container[str]") -> None:
    from vmlab import explore as exploring
    from vmlab.report import outcomes, table

    made = exploring.outcomes(found)
    outcomes.show(made, table.printer(), outside)
    if json:
        records = [outcome.record() for outcome in made]
        common.write(json, jsonlib.dumps({"outcomes": records}, indent=1) + "\n")
