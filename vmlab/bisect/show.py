"""The table of a bisection, for a terminal."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from vmlab.bisect import tell
from vmlab.bisect.drive import Result
from vmlab.report.table import printer

if TYPE_CHECKING:
    from vmlab.bisect.plan import Plan

HEADS = ("revision", "about", "failed", "runs", "first bad", "seen")
_LONGEST = 40


def show(plan: "Plan", result: Result) -> None:
    """Everything that was tried, then the answer."""
    console = printer()
    console.print(Text(plan.title, "bold"))
    table = Table(box=None, pad_edge=False)
    for name in HEADS:
        table.add_column(name, overflow="fold")
    for row in tell.rows(result, plan.words):
        name = row[0][:12] if plan.subjects else row[0]
        table.add_row(*(Text(one) for one in (name, row[1][:_LONGEST], *row[2:])))
    console.print(table)
    for text in plan.closing(result):
        console.print(text, soft_wrap=True, markup=False)
