"""`vmlab crash`: what a kernel's log says of a crash, any log's; or how well that is told."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common
from vmlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmlab.crash import Crash


def crash(
    log: Annotated[str | None, typer.Argument(help="A log: a file, or - for stdin.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    module: Annotated[
        list[Path] | None, typer.Option(help="A .ko with debug information, for source lines.")
    ] = None,
    vmlinux: Annotated[Path | None, typer.Option(help="The kernel with debug information.")] = None,
    fetch_debug: Annotated[bool, typer.Option("--fetch-debug", help=common.FETCH_DEBUG)] = False,
    running: Annotated[
        bool, typer.Option("--running", help="The machine ran as the log began: a boot is a crash.")
    ] = False,
    score: Annotated[
        Path | None, typer.Option(help="Measure against a folder of logs with headers.")
    ] = None,
) -> None:
    """Print the first crash report of a kernel's log: kind, title, guilty function, stack."""
    if (log is None) == (score is None):
        raise UsageError("give either a log (a file, or - for stdin) or --score with a folder")
    if score is not None:
        _score(score)
        return
    from vmlab import crash
    from vmlab.report import crashes

    text = _read(log or "-")
    found = crash.find(text, running)
    if found:
        found = _with_lines(found, text, module or [], vmlinux, fetch_debug)
    if as_json:
        typer.echo(json.dumps(found.as_dict() if found else None, indent=1))
    else:
        typer.echo(crashes.text(found) if found else "no crash was found")


def _with_lines(
    crash: "Crash", log: str, modules: "Sequence[Path]", vmlinux: Path | None, fetch: bool
) -> "Crash":
    """With source lines, from the files given and the debug package of the log's own kernel."""
    from vmlab import frames

    catalog = common.catalog()
    kernel = None if vmlinux else frames.kernel_of(log, catalog)
    if kernel:
        vmlinux = catalog.vmlinux(kernel, fetch)
    elif fetch and not vmlinux:
        raise UsageError("--fetch-debug: the log is of none of the kernels of `vmlab kernels list`")
    return frames.of_files(crash, modules, vmlinux, common.here(), common.say)


def _read(log: str) -> str:
    """Raises UsageError where the log cannot be read."""
    try:
        raw = sys.stdin.buffer.read() if log == "-" else Path(log).read_bytes()
    except OSError as error:
        raise UsageError(f"reading {log}: {(error.strerror or str(error)).lower()}") from error
    return raw.decode(errors="replace")


def _score(directory: Path) -> None:
    from vmlab.crash import score

    results = score.measure(directory)
    for miss in score.misses(results):
        typer.echo(miss)
    typer.echo(score.summary(results))
