"""`vmlab replay`: a token's run again, here or elsewhere."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common
from vmlab.cli.debug import debug
from vmlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmlab.archive import Imported
    from vmlab.replay import Replayed
    from vmlab.runner import Prepared, Runner
    from vmlab.tokens import Token


def replay(
    what: Annotated[str, typer.Argument(help="A token, or an archive that --export wrote.")],
    export: Annotated[
        Path | None, typer.Option(help="Write all inputs into this file, for another machine.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="The token's scenario file, if it is not the project's.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also where inputs have another content.")
    ] = False,
    gdb: Annotated[
        bool, typer.Option("--gdb", help="Stop the guest at its program's start, for gdb.")
    ] = False,
    at: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="For gdb: before the line that matches.")
    ] = None,
    gdb_command: Annotated[
        list[str] | None,
        typer.Option(help="Let gdb do this and leave; may be given several times."),
    ] = None,
) -> None:
    """Run a token's run again and compare: the same bytes, or what is not as it was."""
    from vmlab import archive
    from vmlab import replay as replaying
    from vmlab.snapshots import qemu_version

    token, runner, prepared, imported = _prepared(what, scenario)
    version = qemu_version(prepared.job.runs_in.program)
    then = f", and it was {imported.meta.qemu}" if imported else ""
    try:
        replaying.check(token, prepared.inputs, f"here it is {version}{then}")
    except replaying.InputsDiffer as error:
        if not anyway:
            raise
        common.say(str(error).rpartition("\n")[0])
    if gdb or at or gdb_command:
        if export:
            raise UsageError("--export is of a run that is not stopped: give it without --gdb")
        sys.exit(debug(token, runner, prepared, at, gdb_command or []))
    if export:
        archive.check(prepared, export)  # before anything is run
    done = replaying.again(token, runner, prepared)
    _tell(done)
    if not done.same:
        earlier = (directory for directory, _ in replaying.kept(token, runner.project))
        _tell_difference(done, [imported.directory] if imported else earlier)
    if export:
        archive.export(prepared, done.run, version, export)
        typer.echo(f"wrote {export} ({export.stat().st_size / 1e6:.1f} MB): {done.run.token}")
    sys.exit(done.exit_status)


def _prepared(
    what: str, scenario: Path | None
) -> "tuple[Token, Runner, Prepared, Imported | None]":
    """With what an archive holds, if it is one."""
    from vmlab import archive
    from vmlab import replay as replaying
    from vmlab.tokens import read

    if not Path(what).is_file():
        _check_name(what)
        token = read(what)
        runner, prepared = replaying.prepare(token, common.project(), common.artifacts(), scenario)
        return token, runner, prepared, None
    if scenario:
        raise UsageError(f"--scenario is for a token: {what} is an archive, which holds its own")
    artifacts = common.artifacts()
    imported = archive.opened(Path(what), artifacts.cache)
    runner = replaying.runner_of(imported.token, common.here(), artifacts)
    name = f"{imported.token.scenario}-{imported.token.kernel}"
    prepared = imported.prepare(runner.project.output / runner.stamp / name, artifacts.catalog)
    return imported.token, runner, prepared, imported


def _check_name(what: str) -> None:
    """Raises UsageError for what looks like a file's name, and is none."""
    if Path(what).is_dir():
        raise UsageError(f"{what} is a directory; the token of a run stands in its verdict.json")
    if ":" not in what:
        raise UsageError(
            f"{what!r} is no token, and there is no such file; a token begins with vm1: and stands "
            "below each run that failed and in verdict.json; an archive is what `vmlab replay "
            "TOKEN --export FILE` wrote"
        )


def _tell(done: "Replayed") -> None:
    from vmlab.report import table
    from vmlab.verdict import Verdict

    printer = table.printer()
    if done.run.judgement.verdict is not Verdict.PASSED:
        printer.print(table.failure(done.run), soft_wrap=True)
    run, token = done.run, done.token
    typer.echo(f"{run.scenario} on {run.kernel}, seed {token.seed}: {run.judgement.verdict}")
    found = "the same to the byte" if done.same else "not the same"
    typer.echo(f"console and results: {found}" + (f": {done.why_not}" if done.why_not else ""))
    if not done.same or run.judgement.verdict is not token.verdict:
        typer.echo(f"the verdict was {token.verdict}, and is {run.judgement.verdict}")


def _tell_difference(done: "Replayed", earlier: "Iterable[Path]") -> None:
    """Where the bytes part, if the earlier ones are still to be had; else what to do next."""
    from vmlab.replay import first_difference

    if found := first_difference(done, earlier):
        when = "" if found.guest_s is None else f", {found.guest_s:.6f} s of guest time"
        typer.echo(f"first difference: {found.file} line {found.line}{when}:")
        typer.echo(f"  then: {found.first}\n  now:  {found.other}")
    if not (done.why_not or set(done.differing) - {"sources"}):
        name = done.token.scenario
        typer.echo(
            "no input is another one: see whether it repeats here, with "
            f"`vmlab verify-determinism {name} --kernel {done.token.kernel}`"
        )
