"""The tables of `vmlab history` and `vmlab flaky`."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vmlab.explore import Share
from vmlab.history.summary import Flaky, Place, Summary, Times
from vmlab.report.table import STYLES

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def history(found: Sequence[Summary], now: float, console: Console) -> None:
    """One line for each scenario and kernel."""
    table = _table(
        ("scenario", "kernel", "last"),
        ("last passed", "failed", "rate", "95 % (Wilson)", "median", "quartiles"),
    )
    for one in found:
        passed = "never" if one.last_passed is None else ago(now - one.last_passed)
        table.add_row(
            *_place(one.place), Text(one.last.verdict, STYLES[one.last.verdict]), passed,
            *_share(one.fails), *_times(one.times),
        )  # fmt: skip
    console.print(table)


def flaky(found: Sequence[Flaky], console: Console) -> None:
    """One line for each, then the tokens that show both."""
    table = _table(("scenario", "kernel", "differs by"), ("failed", "rate", "95 % (Wilson)"))
    for one in found:
        by = "seed" if one.by == "seed" else "itself (one seed gave both)"
        table.add_row(*_place(one.place), by, *_share(one.fails))
    console.print(table)
    for one in found:
        scenario, kernel, _ = one.place
        console.print(f"{scenario} on {kernel}", markup=False)
        console.print(f"  passed: vmlab replay {one.passed.token}", markup=False, soft_wrap=True)
        console.print(
            f"  {one.failed.verdict}: vmlab replay {one.failed.token}", markup=False, soft_wrap=True
        )


def ago(seconds: float) -> str:
    """`3 d ago`; a clock that was set back gives `now`."""
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name} ago"
    return "now"


def day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    made = Table(box=None, pad_edge=False)
    for name in left:
        made.add_column(name, no_wrap=True)
    for name in right:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def _place(place: Place) -> tuple[Text, str]:
    scenario, kernel, explored = place
    return Text(f"{scenario} (explored)" if explored else scenario), kernel


def _share(share: Share | None) -> tuple[str, str, str]:
    if share is None:
        return "", "", ""
    return (
        f"{share.count} of {share.of}", f"{share.rate:.1%}",
        f"{share.low:.1%} to {share.high:.1%}",
    )  # fmt: skip


def _times(times: Times | None) -> tuple[str, str]:
    if times is None:
        return "", ""
    return f"{times.median:.2f} s", f"{times.low:.2f} to {times.high:.2f}"
