"""`vmlab kernels`: the catalog."""

import json as jsonlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from vmlab.catalog import Catalog, Kernel

app = typer.Typer(no_args_is_help=True, help="List, fetch and pin kernels.")


@app.command("list")
def list_kernels(
    arch: Annotated[str | None, typer.Option(help="i386 or x86_64.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the kernels of the catalog."""
    catalog = common.catalog()
    kernels = catalog.select(f"arch={arch}" if arch else "all")
    if json:
        records = [_record(catalog, kernel) for kernel in kernels]
        typer.echo(jsonlib.dumps({"kernels": records}, indent=1))
        return
    for kernel in kernels:
        size = sum(package.size for package in catalog.to_fetch(kernel))
        marks = ("default " if kernel.default else "") + (
            f"{size / 1e6:.0f} MB to fetch" if size else "cached"
        )
        line = (
            f"{kernel.id:<24} {kernel.arch.name:<7} {kernel.suite:<19} {kernel.version:<22} {marks}"
        )
        typer.echo(line)


@app.command()
def fetch(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Kernels; the default ones without.")
    ] = None,
    fetch_debug: Annotated[
        bool, typer.Option("--fetch-debug", help="Their debug packages too (0.7 to 1.2 GB each).")
    ] = False,
) -> None:
    """Fetch kernels and their headers into the cache."""
    catalog = common.catalog()
    for kernel in catalog.select(",".join(ids) if ids else None):
        got = catalog.obtain(kernel)
        typer.echo(f"{got.id}: {catalog.image(got)}")
        if fetch_debug:
            typer.echo(f"{got.id}: {catalog.vmlinux(got, fetch=True)}")


@app.command()
def show(id: Annotated[str, typer.Argument(help="A kernel.")]) -> None:
    """Show where a kernel comes from."""
    catalog = common.catalog()
    for kernel in catalog.select(id):
        typer.echo(jsonlib.dumps(_record(catalog, kernel), indent=1))


@app.command()
def lock(
    series: Annotated[
        list[str] | None,
        typer.Option(help="Only these series, 6.1 or 7, or the tool qemu; other pins stay."),
    ] = None,
) -> None:
    """Pin the newest kernels that the archive really has; rewrites the lock file."""
    from vmlab.cache import Cache
    from vmlab.catalog import locking, pins

    path, cache = pins.committed(), Cache.default()
    if series:
        made = locking.relocked(pins.read(path), series, cache, common.say)
    else:
        made = locking.locked(cache, common.say)
    path.write_text(pins.text(made))
    typer.echo(f"wrote {path}")


def _record(catalog: "Catalog", kernel: "Kernel") -> dict[str, Any]:
    return {
        "id": kernel.id,
        "arch": kernel.arch.name,
        "release": kernel.id,
        "suite": kernel.suite,
        "package": kernel.package,
        "version": kernel.version,
        "default": kernel.default,
        "cached": catalog.cached(kernel),
        "size": kernel.size,
        "modules": bool(kernel.headers),
        "vmlinux": str(catalog.vmlinux(kernel) or "") or None,
        "packages": [f"{one.name} {one.version}" for one in (*kernel.image, *kernel.headers)],
    }
