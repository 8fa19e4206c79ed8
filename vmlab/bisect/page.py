"""A bisection as the page shows it: the answer, its picture, and the runs that are kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.bisect import picture, tell
from vmlab.bisect.drive import Result
from vmlab.bisect.show import HEADS
from vmlab.report import told
from vmlab.report.bisection import Bisection

if TYPE_CHECKING:
    from vmlab.bisect.plan import Plan


def report(done: "Sequence[tuple[Plan, Result]]") -> told.Report:
    """Of each range the first run of each kind of each revision is kept, as long as nobody removes
    its directory."""
    folders = {
        Path(one.dir): one.revision
        for _, result in done
        for one in sorted(result.seen, key=lambda one: result.space.names.index(one.revision))
        if one.dir
    }
    runs = [
        _named(run, tell.short(revision))
        for folder, revision in folders.items()
        if (folder / told.VERDICT).is_file()
        for run in told.of_directory(folder).runs
    ]
    name = "; ".join(plan.title for plan, _ in done)
    return told.Report(name, runs, bisections=[_bisection(*one) for one in done])


def _named(run: told.Told, revision: str) -> told.Told:
    """With its revision, where that is more than its kernel: a commit of a module."""
    if revision in run.kernel:
        return run
    return run.model_copy(update={"kernel": f"{run.kernel} at {revision}"})


def _bisection(plan: "Plan", result: Result) -> Bisection:
    answer, *lines = plan.closing(result)
    return Bisection(
        answer, picture.drawing(plan.title, result), HEADS, tell.rows(result, plan.words), lines
    )
