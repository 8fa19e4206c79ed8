"""The command line. What a command needs is imported when it runs, so that help comes at once."""

import os
import sys
from typing import Annotated

import typer

from vmlab.cli import (
    bench,
    bisect,
    build,
    cache,
    ci,
    crash,
    determinism,
    doctor,
    explore,
    history,
    init,
    kernels,
    merge,
    once,
    output,
    replay,
    report,
    run,
    schema,
    shell,
    survey,
    worker,
)
from vmlab.errors import VmlabError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init", short_help="Make a project of a folder of modules.")(init.init)
app.command("run")(run.run)
app.command("replay", short_help="Run a token's run again and compare.")(replay.replay)
app.command("report", short_help="Write what was run as a page, or in other formats.")(
    report.report
)
app.command("diff", short_help="Say what changed between two results.")(report.diff)
app.command("shell", short_help="Open a shell in a guest.")(shell.shell)
app.command("verify-determinism", short_help="Run scenarios many times; no byte may differ.")(
    determinism.verify
)
app.command("explore", short_help="Run scenarios under many seeds, to find races.")(explore.explore)
app.command("worker", short_help="Give this machine's processors to a cluster.")(worker.worker)
app.command("merge", short_help="Make one result of several.")(merge.merge)
app.command("history", short_help="Show when scenarios passed last, and how often they fail.")(
    history.history
)
app.command("flaky", short_help="Show what passed and failed with the same inputs.")(history.flaky)
app.command("bisect", short_help="Find the first bad kernel or commit.")(bisect.bisect)
app.command("build", short_help="Build modules, and show the command that does it.")(build.build)
app.command("survey", short_help="Take folders of modules, or -dkms packages, as they are.")(
    survey.survey
)
app.command("bench", short_help="Measure guests: from a snapshot, cold, by virtme-ng.")(bench.bench)
app.command("crash", short_help="Say what crash is in a kernel's log.")(crash.crash)
app.command("ci", short_help="Write a workflow for GitHub or GitLab.")(ci.ci)
app.command("doctor", short_help="Look at what the lab needs of this machine.")(doctor.doctor)
app.command("schema")(schema.schema)
app.add_typer(kernels.app, name="kernels")
app.add_typer(cache.app, name="cache")
once.each_once(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from vmlab.arch import ARCHES
        from vmlab.guest.emulator import host
        from vmlab.snapshots import qemu_version

        qemu = qemu_version(host(ARCHES["x86_64"]).program)
        found = "no QEMU" if qemu == "none" else qemu
        typer.echo(f"vmlab {version('vmlab')}, Python {sys.version.split()[0]}, {found}")
        raise typer.Exit


@app.callback()
def lab(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Show the versions of vmlab, Python and QEMU.",
        ),
    ] = False,
) -> None:
    """A kernel test lab: builds modules for many kernels, boots each in QEMU, judges what they do.

    In a folder of modules: `vmlab init`, then `vmlab run`. `vmlab doctor` says what is missing.
    """


def main() -> None:
    """Runs a command; the lab's own errors are a message and a status, not a traceback."""
    # Looking for plugins in every installed package takes as long as a guest takes to be restored.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    output.guard()
    try:
        try:
            app(standalone_mode=True)
        finally:
            output.finish()
    except VmlabError as error:
        lines = str(error)
        prefix = "" if _has_places(lines) else "vmlab: "
        print(f"{prefix}{lines}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)


def _has_places(text: str) -> bool:
    """Whether each line begins with FILE:LINE:COL, which editors read."""
    return all(
        len(line.split(":")) > 3 and line.split(":")[1].isdigit() for line in text.split("\n")
    )
