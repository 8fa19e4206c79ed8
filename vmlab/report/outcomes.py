"""The table of an exploration: which outcomes came, how often, and from which seed on."""

from collections.abc import Container, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vmlab import explore
from vmlab.explore import Found, Outcome
from vmlab.report.table import STYLES, near, sums


def show(outcomes: Sequence[Outcome], console: Console, outside: Container[str] = ()) -> None:
    """Prints the table, then how to see the first of each kind again.

    `outside` are scenarios that are not in the project's directory of them.
    """
    console.print(table(outcomes))
    for outcome in outcomes:
        if outcome.share:
            for line in seen_again(outcome, outside):
                console.print(line, soft_wrap=True, markup=False)


def seen_again(outcome: Outcome, outside: Container[str] = ()) -> list[str]:
    """Where an outcome came first, and the commands that show it again."""
    run, judged = outcome.first.run, outcome.first.run.judgement
    head = f"{judged.verdict}: {run.scenario} on {run.kernel} first with seed {outcome.first.seed}"
    if judged.step is not None:
        head += f", in step {judged.step}, line {judged.line}: {judged.label}"
    # A narrow terminal has no room for it in the table.
    why = [f"  reason: {judged.reason.splitlines()[0]}"] if judged.reason else []
    replay = [f"  again: vmlab replay {run.token}"] if run.token else []
    return [
        head,
        *why,
        *replay,
        f"  again: {explore.again(outcome, outside)}",
        f"  files: {near(run.dir)}",
    ]


def table(outcomes: Sequence[Outcome]) -> Table:
    """One line for each outcome of each scenario and kernel."""
    made = Table(box=None, pad_edge=False)
    for name in ("scenario", "kernel", "verdict"):
        made.add_column(name, no_wrap=True)
    made.add_column("reason", overflow="fold")
    for name in ("runs", "rate", "95 % (Wilson)", "first seed"):
        made.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        run, judged = outcome.first.run, outcome.first.run.judgement
        made.add_row(
            Text(run.scenario), run.kernel, Text(judged.verdict, STYLES[judged.verdict]),
            Text(reason(outcome)), str(outcome.count), *_shares(outcome), str(outcome.first.seed),
        )  # fmt: skip
    return made


def reason(outcome: Outcome) -> str:
    """The reason's first line, with the number of its step."""
    judged = outcome.first.run.judgement
    first = judged.reason.partition("\n")[0]
    return f"step {judged.step}: {first}" if judged.step is not None else first


def _shares(outcome: Outcome) -> tuple[str, str]:
    share = outcome.share
    if share is None:
        return "", ""
    return f"{share.rate:.1%}", f"{share.low:.1%} to {share.high:.1%}"


def progress(found: Sequence[Found], total: int) -> str:
    """Where an exploration stands, in one line."""
    return f"{len(found)} of {total}: {sums([one.run for one in found])}"
