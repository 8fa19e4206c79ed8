"""`vmlab shell`: a shell in a guest, fresh or after a scenario's step."""

import contextlib
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common, complete
from vmlab.errors import LabError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vmlab.executor import Pair
    from vmlab.guest.launch import Ended
    from vmlab.guest.shell import Shell
    from vmlab.project import Project
    from vmlab.runner import Run, Runner
    from vmlab.shell import Seat

DUMP = ("elf", "kdump")


def shell(
    kernel: Annotated[
        str | None,
        typer.Argument(
            help="One kernel; the project's newest without.", autocompletion=complete.kernels
        ),
    ] = None,
    wanted: Annotated[str | None, typer.Option("--kernel", help="The same.")] = None,
    after: Annotated[
        str | None,
        typer.Option(metavar="SCENARIO[:STEP]", help="Run this before, up to the step or failure."),
    ] = None,
    gdb: Annotated[bool, typer.Option("--gdb", help="Say how gdb comes to the guest.")] = False,
    console: Annotated[
        bool, typer.Option("--console", help="Show the kernel's messages as they come.")
    ] = False,
) -> None:
    """Open a shell in a guest; exit, Ctrl-D or enter ~ . ends it."""
    from vmlab import lab
    from vmlab import shell as shells
    from vmlab.report import table

    artifacts, project = common.artifacts(), common.project() if after else common.here()
    if kernel and wanted:
        raise UsageError(f"{kernel!r} and --kernel {wanted!r} are two kernels: name one")
    chosen = lab.one_kernel(artifacts.catalog, kernel or wanted, project.settings.kernels)
    runner = lab.runner(project, artifacts, lab.Options(dump=DUMP))
    if after is None:
        directory = project.output / runner.stamp / f"shell-{chosen.id}"
        seat = shells.fresh(project, artifacts, chosen, directory)
    else:
        name, step = split(after)
        (expanded, *more) = lab.load(project, artifacts.catalog, [name], [])
        if more:
            raise UsageError(f"{name!r} means {len(more) + 1} runs; a shell is after one")
        seat = shells.after(
            runner, expanded, chosen, step,
            lambda run: table.printer().print(table.line(run), soft_wrap=True),
        )  # fmt: skip
    sys.exit(sit(seat, runner, gdb, console))


def split(after: str) -> tuple[str, int | None]:
    """A scenario's name, and a step's number where one is named."""
    name, colon, step = after.rpartition(":")
    return (name, int(step)) if colon and step.isdecimal() else (after, None)


def after_failure(run: "Run", pair: "Pair", runner: "Runner") -> int:
    """The shell of `vmlab run --shell-on-fail`."""
    from pathlib import Path

    from vmlab import shell as shells

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        common.say("no terminal: no shell for what failed")
        return 1
    if run.token is None:
        common.say(f"no shell: no guest ran for {run.scenario} on {run.kernel}")
        return 1
    prepared = runner.prepare(*pair, Path(run.dir), run.token.seed)
    return sit(shells.seat_after(runner, prepared, run), runner, False, False)


def sit(seat: "Seat", runner: "Runner", gdb: bool, console: bool) -> int:
    """Lends the terminal to the guest until it ends; returns the exit status."""
    from dataclasses import replace

    from vmlab import terminal
    from vmlab.guest import shell as guests
    from vmlab.guest.images import Keeper

    lent = terminal.Lent()
    follower = terminal.Follower(seat.boot.run.console, console)
    boot = replace(seat.boot, debugged=gdb)
    with _state_of(seat), guests.opened(boot) as guest:
        _greet(seat)
        if gdb:
            _tell_gdb(seat, guest, runner)
        with lent.raw():
            rows, columns = lent.size()
            guest.begin(_environment(seat), rows, columns)
            relay = terminal.Relay(
                lent, guest.port, guest.over, follower, guests.typed, guests.size
            )
            relay.run()
        ended = guest.ended(Keeper(DUMP)) if guest.over() else None
    return _end(seat, ended, runner)


@contextlib.contextmanager
def _state_of(seat: "Seat") -> "Iterator[None]":
    """The state that a guest begins from holds all of its memory: it does not stay."""
    from vmlab.shell import STATE

    try:
        yield
    finally:
        (seat.boot.run.path / STATE).unlink(missing_ok=True)


def _environment(seat: "Seat") -> dict[str, str]:
    import os

    prompt = f"{seat.job.kernel.id}:$PWD# "  # which each shell puts in, dash too
    return {"TERM": os.environ.get("TERM", "dumb")[:64], "PS1": prompt}


def _greet(seat: "Seat") -> None:
    from vmlab.report import table
    from vmlab.terminal import HELP

    common.say(seat.about)
    for what, names in (("modules", seat.modules), ("programs", seat.programs)):
        if names:
            common.say(f"{what} in /program: {' '.join(names)}")
    common.say(f"the kernel's messages: {table.near(str(seat.boot.run.console))}")
    common.say(f"exit or Ctrl-D ends it; on a terminal, {HELP}")


def _sources(project: "Project") -> "Path | None":
    return project.modules.absolute() if project.modules.is_dir() else None


def _tell_gdb(seat: "Seat", guest: "Shell", runner: "Runner") -> None:
    from vmlab.debug import gdb, image

    script = image.attach_script(
        guest.boot,
        guest.monitor,
        guest.process.pid,
        seat.job,
        runner.artifacts,
        _sources(runner.project),
    )
    common.say("gdb, in another terminal; the guest stands while gdb holds it:")
    common.say("  " + shlex.join(gdb.command(script, [])))


def _end(seat: "Seat", ended: "Ended | None", runner: "Runner") -> int:
    """Says how it ended; a kernel that died is a failure."""
    from vmlab import crash

    if ended is None or ended.how == "off":
        common.say("the guest has ended")
        return 0
    if ended.how == "lost":
        raise LabError(ended.detail)
    console = seat.boot.run.console
    text = console.read_text(errors="replace") if console.exists() else ""
    found = crash.find(text)
    common.say(f"the guest died: {found.named if found else ended.detail}")
    if ended.kept:
        left = runner.left(seat.job, ended.kept)
        for line in (*(str(one.path) for one in left.kept.images), *left.commands):
            common.say(f"  {line}")
        if reason := left.kept.why_not or left.why_no_commands:
            common.say(f"  {reason}")
    return 1
