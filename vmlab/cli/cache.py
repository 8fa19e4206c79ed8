"""`vmlab cache`: what the cache holds, and taking it away."""

import re
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Show and prune the cache.")
_AGE = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command()
def show() -> None:
    """List what is cached, with sizes."""
    from collections import Counter

    from vmlab.cache import Cache

    cache = Cache.default()
    entries = cache.entries()
    sums: Counter[str] = Counter()
    for entry in entries:
        typer.echo(f"{entry.kind:<10} {entry.size / 1e6:8.1f} MB  {entry.key}")
        sums[entry.kind] += entry.size
    typer.echo(f"{cache.root}: {len(entries)} entries, {sum(sums.values()) / 1e6:.1f} MB")
    if unfinished := cache.unfinished():
        size = sum(entry.size for entry in unfinished) / 1e6
        typer.echo(
            f"{len(unfinished)} half-made, {size:.1f} MB: under way, or left by what was killed; "
            "`vmlab cache prune` removes the latter"
        )


@app.command(short_help="Print names for what CI keeps of the cache.")
def key(
    kernel: Annotated[
        str | None, typer.Option(help="As for `vmlab run`; the project's own without.")
    ] = None,
) -> None:
    """Print names for what CI keeps of the cache: they change with what it is made from."""
    from vmlab.cli import common
    from vmlab.cli.ci import keys

    project = common.here()
    wanted = project.settings.kernels if kernel is None else kernel
    for name, value in keys(project, common.catalog(), wanted).items():
        typer.echo(f"{name}={value}")


@app.command(short_help="Remove what is cached, by age or all of it.")
def prune(
    older: Annotated[
        str | None, typer.Option(help="Only what was not used for so long: 30d, 12h.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything; it takes minutes to make again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove cached things, and what killed runs left half-made; what is needed is made again."""
    from vmlab.cache import Cache
    from vmlab.errors import UsageError

    if everything == bool(older):
        raise UsageError("what is to go? write --older 30d, or --all")
    gone = Cache.default().prune(age_s(older) if older else None, dry_run)
    for entry in gone:
        half = "" if entry.whole else " (half-made)"
        typer.echo(f"{entry.kind} {entry.key}{half} {entry.size / 1e6:.1f} MB")
    what = "would be removed" if dry_run else "removed"
    typer.echo(f"{len(gone)} entries, {sum(e.size for e in gone) / 1e6:.1f} MB {what}")


def age_s(text: str) -> float:
    """Seconds of `30d`, `12h`, `5m`, `10s`. Raises UsageError."""
    from vmlab.errors import UsageError

    found = _AGE.fullmatch(text)
    if not found:
        raise UsageError(f"{text!r} is no age; write a number and s, m, h or d, as in 30d")
    return int(found[1]) * _SECONDS[found[2]]
