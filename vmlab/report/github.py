"""GitHub's workflow commands: an annotation at the YAML step of each run that went wrong.

A runner takes commands from any line of a step's output, what a guest said among it. So while the
report is shown, the runner is told not to, until it reads a word that no guest can know.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

from vmlab.report import clean
from vmlab.report.told import Report, Told, counted
from vmlab.verdict import Verdict

_MOST = 10  # annotations of a kind that a step may have; what is more, GitHub drops
_KINDS = {Verdict.BROKEN: "warning"}  # the lab's own trouble; every other is an error


def annotations(report: Report, root: Path, workspace: Path) -> Iterator[str]:
    """One command for each run that went wrong; files are named from the workspace."""
    wrong = [run for run in report.worst_first() if not run.fine]
    for run in wrong[:_MOST]:
        yield _annotation(run, root, workspace)
    if len(wrong) > _MOST:
        more = counted(len(wrong) - _MOST, "more run", "more runs")
        yield f"::notice::{more} went wrong; the report tells of all"


def _annotation(run: Told, root: Path, workspace: Path) -> str:
    step = f"step {run.step}: {run.label}: " if run.step is not None else ""
    message = clean.short(f"{step}{run.headline}", 1000)
    if run.known:
        message += "\n" + clean.short(run.known.text, 1000)
    if run.wanted:
        message += clean.short(f"\nwanted: {run.wanted}\nseen: {run.seen}", 1000)
    if run.token:
        message += f"\nagain: vmlab replay {run.token}"
    title = f"{run.verdict}: {run.scenario} on {run.kernel}"
    known = {"file": _file(run, root, workspace), "line": str(run.line or ""), "title": title}
    parts = (f"{key}={clean.github_property(value)}" for key, value in known.items() if value)
    kind = "notice" if run.excused else _KINDS.get(run.verdict, "error")
    return f"::{kind} {','.join(parts)}::{clean.github_data(message)}"


def _file(run: Told, root: Path, workspace: Path) -> str:
    if not run.file:
        return ""
    path, top = (root / run.file).resolve(), workspace.resolve()
    return str(path.relative_to(top)) if path.is_relative_to(top) else run.file


class Muted:
    """Between `begin` and `end` a runner takes no commands; each is a line of its own."""

    def __init__(self) -> None:
        self._word = secrets.token_hex(16)

    @property
    def begin(self) -> str:
        return f"::stop-commands::{self._word}"

    @property
    def end(self) -> str:
        return f"::{self._word}::"
