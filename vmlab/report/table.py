"""The table at the end: failures first, each with its step, then the verdicts by kernel."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vmlab.report import frames
from vmlab.runner import Left, Run
from vmlab.verdict import Verdict

STYLES = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.CRASHED: "bold magenta",
    Verdict.TIMEOUT: "bold yellow",
    Verdict.SKIPPED: "dim",
    Verdict.BROKEN: "bold cyan",
}
_FINE = (Verdict.PASSED, Verdict.SKIPPED)


_PIPE_WIDTH = 200  # characters; a pipe has no width, and rich would take 80


def printer() -> Console:
    """A console for the report: as wide as the terminal, wide enough in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def show(runs: Sequence[Run], console: Console) -> None:
    """Prints failures, the table and the sums."""
    for run in runs:
        if run.judgement.verdict not in _FINE and not (run.held and run.held.state == "known"):
            console.print(failure(run), soft_wrap=True)
    console.print(fitting(runs, console))
    for (verdict, reason), count in Counter(
        (run.judgement.verdict, run.judgement.reason) for run in runs if _fine_with_reason(run)
    ).items():
        console.print(f"{verdict} ({count}): {reason}", style="dim", markup=False, soft_wrap=True)
    for run in runs:
        if run.held:
            line = f"{run.scenario} on {run.kernel} {run.held.text}"
            console.print(line, style="yellow", markup=False, soft_wrap=True)
    console.print(sums(runs))


def _fine_with_reason(run: Run) -> bool:
    """Skipped, or passed but for steps that the kernel has nothing for."""
    return run.judgement.verdict in _FINE and bool(run.judgement.reason)


def failure(run: Run) -> Text:
    """All that is known of a run that went wrong."""
    judged = run.judgement
    text = Text()
    text.append(f"{judged.verdict:<8}", STYLES[judged.verdict])
    text.append(f"{run.scenario} on {run.kernel} ({run.arch})\n", "bold")
    if judged.step is not None:
        text.append(f"  step {judged.step}, line {judged.line}: {judged.label}\n")
    _lines(text, "reason", judged.reason)
    if judged.crash:
        _lines(text, "where", "\n".join(frames.guilty(judged.crash)))
        _lines(text, "stack", "\n".join(frames.stack(judged.crash)))
    _lines(text, "wanted", judged.wanted)
    _lines(text, "seen", judged.seen)
    _lines(text, "files", near(run.dir) + ("/b" if run.guest == "b" else ""))
    if run.left:
        _lines(text, "memory", _memory(run.left))
        _lines(text, "look", "\n".join(run.left.commands) or run.left.why_no_commands)
    _lines(text, "again", f"vmlab replay {run.token}" if run.token else "")
    return text


def _memory(left: Left) -> str:
    """The images' names, which are in the run's directory, or why there are none."""
    names = [f"{one.path.name} ({one.size / 1e6:.0f} MB)" for one in left.kept.images]
    why_not = [f"no image: {left.kept.why_not}"] if left.kept.why_not else []
    return ", ".join([*names, *why_not])


def near(path: str) -> str:
    """A path from the current directory, where it is below that."""
    here, there = Path.cwd(), Path(path)
    return str(there.relative_to(here)) if there.is_relative_to(here) else path


def _lines(text: Text, what: str, content: str) -> None:
    if content:
        inner = content.replace("\n", "\n" + " " * 10)
        text.append(f"  {what}:".ljust(10), "dim")
        text.append(f"{inner}\n")


def fitting(runs: Sequence[Run], console: Console) -> Table:
    """The table, with the kernels' names in two lines where they are too wide in one."""
    whole = table(runs)
    wide = console.options.update(width=sys.maxsize)
    wanted = console.measure(whole, options=wide).maximum
    return whole if wanted <= console.width else table(runs, "\n")


def table(runs: Sequence[Run], before_flavour: str = "-") -> Table:
    """Scenarios down, kernels across; what stands in their names before i386's `686` may be set."""
    kernels = list(dict.fromkeys(run.kernel for run in runs))
    found = {(run.scenario, run.kernel): run for run in runs}
    made = Table(box=None, pad_edge=False)
    made.add_column("scenario", no_wrap=True)
    for kernel in kernels:
        name = before_flavour.join(kernel.rsplit("-", 1))
        made.add_column(name, overflow="fold", min_width=len("crashed 12.3s"))
    for scenario in dict.fromkeys(run.scenario for run in runs):
        made.add_row(Text(scenario), *(_cell(found.get((scenario, kernel))) for kernel in kernels))
    return made


def _cell(run: Run | None) -> Text:
    if run is None:
        return Text("")
    verdict = run.judgement.verdict
    took = "" if verdict is Verdict.SKIPPED else f" {run.wall_s:.1f}s"
    return Text(f"{verdict}{took}", STYLES[verdict])


def line(run: Run) -> Text:
    """One finished run in one line."""
    verdict = run.judgement.verdict
    text = Text(f"{verdict:<8}", STYLES[verdict])
    text.append(f"{run.scenario} {run.kernel} {run.wall_s:.1f} s", "default")
    if run.judgement.reason:
        text.append(": " + run.judgement.reason.partition("\n")[0])
    if run.token:
        text.append(f"  {run.token}", "dim")
    return text


def progress(finished: int, total: int, running: Sequence[str]) -> str:
    """Where a command stands, in one line: the name of what is under way longest, and how many
    are beside it."""
    text = f"{finished} of {total} done"
    if running:
        text += f"; under way: {running[0]}"
    if len(running) > 1:
        text += f" and {len(running) - 1} more"
    return text


def sums(runs: Sequence[Run]) -> Text:
    counts = Counter(run.judgement.verdict for run in runs)
    parts = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    return Text(", ".join(parts) or "nothing was run", "bold")
