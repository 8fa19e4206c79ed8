"""`vmlab doctor`: what is here, what is missing, what to do."""

import sys

import typer

from vmlab.cli import common


def doctor() -> None:
    """Look at what the lab needs of this machine, and try it."""
    from vmlab import doctor as checks

    missing = False
    for finding in checks.findings(common.artifacts()):
        missing = missing or finding.state == "missing"
        typer.echo(f"{finding.state:<8} {finding.what}")
        if finding.advice:
            typer.echo(f"{'':<8} -> {finding.advice}")
    sys.exit(3 if missing else 0)
