"""A token's run under gdb: the part of `vmlab replay` that stops it."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from vmlab.debug.stop import Recorded, Stopped
    from vmlab.runner import Prepared, Runner
    from vmlab.tokens import Token


def debug(
    token: "Token", runner: "Runner", prepared: "Prepared", at: str | None, commands: Sequence[str]
) -> int:
    """Stops the run, and starts gdb (on a terminal, or with commands) or says how to."""
    from vmlab.debug import gdb, stop

    if commands:
        gdb.need()
    run = stop.record(prepared.job, runner.artifacts)
    typer.echo(f"{prepared.expanded.name} on {token.kernel}: {_compared(token, run)}")
    folder = runner.project.modules
    with stop.stopped(run, at, folder if folder.is_dir() else None) as stopped:
        words = gdb.command(stopped.script, commands)
        _tell(stopped, words)
        if commands or (sys.stdin.isatty() and shutil.which(gdb.GDB)):
            status = gdb.run(words)
        else:
            status = _wait(stopped)
        if _left(stopped):
            typer.echo(f"the guest ran to its end: {_compared(token, run)}")
    return status


def _compared(token: "Token", run: "Recorded") -> str:
    from vmlab.inputs import output_key
    from vmlab.replay import why_inexact

    if token.gave(output_key(run.boot.run)):
        return "console and results are the same to the byte"
    why = "" if token.how.restored else ": the token's guest booted, and this one did not"
    if not token.how.exact:
        why = f": {why_inexact(token, run.boot.machine, 'qemu')}"
    return f"console and results are not the same{why}"


def _tell(stopped: "Stopped", words: Sequence[str]) -> None:
    typer.echo(f"the guest stands {stopped.where}")
    for name in stopped.missing:
        typer.echo(f"module {name} has no symbols: this run does not load it")
    typer.echo(shlex.join(words))


def _wait(stopped: "Stopped") -> int:
    """Until the guest has ended, or Ctrl-C."""
    common.say("paste that into another terminal; Ctrl-C ends the guest")
    try:
        stopped.guest.process.wait()
    except KeyboardInterrupt:
        common.say("ended")
    return 0


def _left(stopped: "Stopped") -> bool:
    """Whether the guest has left by itself."""
    from vmlab.guest import launch

    return stopped.guest.process.poll() == launch.LEFT
