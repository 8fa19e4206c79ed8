"""`vmlab kernels`: the catalog."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmlab.catalog import Catalog, Kernel
    from vmlab.catalog.archives import Archive

app = typer.Typer(no_args_is_help=True, help="List, fetch, add and check kernels.")


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
    width = max((len(kernel.id) for kernel in kernels), default=0)
    for kernel in kernels:
        size = sum(package.size for package in catalog.to_fetch(kernel))
        marks = ("default " if kernel.default else "") + (
            f"{size / 1e6:.0f} MB to fetch" if size else "cached"
        )
        named = f"{kernel.id:<{width}} {kernel.arch.name:<7}"
        line = f"{named} {kernel.suite:<19} {kernel.version:<22} {marks}"
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
def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, a built tree, one of .deb or .rpm files, apt:URL, "
            "git:REPOSITORY@REVISION, debian-source:6.1."
        ),
    ],
    archive: Annotated[
        list[str] | None,
        typer.Argument(help="SUITE COMPONENT of an apt:URL, or DIRECTORY/ of a flat one."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What it is called here; its release without.")
    ] = None,
    cc: Annotated[str, typer.Option(help="The compiler for its modules, as make's CC.")] = "",
    cross_compile: Annotated[
        str, typer.Option(help="The prefix of compiler and linker, as make's CROSS_COMPILE.")
    ] = "",
    toolchain_root: Annotated[
        Path | None, typer.Option(help="A directory that holds the compiler as packages unpack.")
    ] = None,
    keyring: Annotated[
        Path | None, typer.Option(help="The public keys of an apt:URL; Debian's without.")
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Which kernel of several, by release; a glob.")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(help="i386 or x86_64, of an archive or a source.")
    ] = None,
) -> None:
    """Add a kernel of your own, once a module could be built for it."""
    from vmlab import adding
    from vmlab.catalog import archives
    from vmlab.catalog.added import Store
    from vmlab.sources import is_source

    of_archive = {"SUITE COMPONENT": archive, "--keyring": keyring}
    if is_source(source):
        _only(source, "is built from its source", {**of_archive, "--release": release})
        build(
            source, arch or "x86_64", name=name, cc=cc, cross_compile=cross_compile,
            toolchain_root=toolchain_root,
        )  # fmt: skip
        return
    store, compiler = Store.default(common.say), adding.With(cc, cross_compile, toolchain_root)
    if source.startswith(archives.SCHEME):
        _check_arch(arch)
        found = _archive(source, archive or [], keyring)
        kernel = adding.add_archive(common.artifacts(), store, found, name, compiler, release, arch)
    else:
        _only(
            source, "is a folder, which says itself what it holds", {**of_archive, "--arch": arch}
        )
        kernel = adding.add(common.artifacts(), store, Path(source), name, compiler, release)
    _tell(kernel)


@app.command(short_help="Build a kernel from its source and add it.")
def build(
    source: Annotated[
        str,
        typer.Argument(
            help="git:REPOSITORY@REVISION, debian-source:6.1, or a kernel's source directory."
        ),
    ],
    arch: Annotated[str, typer.Option(help="i386 or x86_64.")] = "x86_64",
    config: Annotated[
        str, typer.Option(help="tiny, distro (Debian's, no modules), or a file.")
    ] = "tiny",
    fragment: Annotated[
        list[str] | None,
        typer.Option(
            help="kasan, lockdep, kmemleak, kcsan, ubsan, debug-info, gcov, kunit, or a file."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What it is called here.")] = None,
    cc: Annotated[str, typer.Option(help="The compiler, as make's CC.")] = "",
    cross_compile: Annotated[
        str, typer.Option(help="The prefix of compiler and linker, as make's CROSS_COMPILE.")
    ] = "",
    toolchain_root: Annotated[
        Path | None, typer.Option(help="A directory that holds the compiler as packages unpack.")
    ] = None,
    allow_dropped: Annotated[
        bool, typer.Option("--allow-dropped", help="Go on without options that kconfig drops.")
    ] = False,
) -> None:
    """Build a kernel from its source and add it (docs/kernels-from-source.md)."""
    from vmlab import sources
    from vmlab.adding import With
    from vmlab.arch import ARCHES
    from vmlab.catalog.added import Store
    from vmlab.sources.build import Options, add

    _check_arch(arch)
    compiler = With(cc, cross_compile, toolchain_root)
    options = Options(ARCHES[arch], config, tuple(fragment or ()), compiler, allow_dropped)
    _tell(add(common.artifacts(), Store.default(common.say), sources.parse(source), options, name))


def _tell(kernel: "Kernel") -> None:
    """What was added, and what is next."""
    assert kernel.added
    how = f"modules by {kernel.added.compiler}" if kernel.for_modules else "no modules: no build/"
    typer.echo(f"{kernel.id}: {kernel.release} for {kernel.arch.name}, {how}")
    typer.echo(f"`vmlab kernels check {kernel.id}` boots it and says what works there")


def _only(source: str, what: str, given: "Mapping[str, object]") -> None:
    """Raises UsageError for what was given with it, and has no meaning there."""
    from vmlab.errors import UsageError

    if needless := [name for name, value in given.items() if value]:
        raise UsageError(f"{source} {what}; leave out {', '.join(needless)}")


def _check_arch(name: str | None) -> None:
    """Raises UsageError for an architecture that the lab has not."""
    from vmlab.arch import ARCHES
    from vmlab.errors import UsageError

    if name is not None and name not in ARCHES:
        raise UsageError(f"there is no architecture {name!r}; there are {', '.join(ARCHES)}")


def _archive(source: str, words: list[str], keyring: Path | None) -> "Archive":
    """What apt:URL SUITE COMPONENT names, or apt:URL DIRECTORY/. Raises UsageError."""
    from vmlab.catalog import apt, archives
    from vmlab.errors import UsageError

    flat = [word.endswith("/") for word in words] == [True]
    if not flat and len(words) != 2:
        raise UsageError(
            "an archive is apt:URL SUITE COMPONENT, as in apt:URL bookworm main; a flat one, "
            "without dists/, is apt:URL DIRECTORY/, as in apt:URL ./"
        )
    url = source.removeprefix(archives.SCHEME).rstrip("/")
    key = keyring.resolve() if keyring else apt.KEYRING
    return archives.Archive(url, words[0], "" if flat else words[1], key)


@app.command(short_help="Remove kernels that were added.")
def remove(ids: Annotated[list[str], typer.Argument(help="Kernels that were added.")]) -> None:
    """Remove kernels that were added; the folders that they came from stay."""
    from vmlab.catalog.added import Store
    from vmlab.errors import UsageError

    store = Store.default(common.say)
    found = {id: store.find(id) for id in ids}
    if unknown := [id for id, kernel in found.items() if kernel is None]:
        names = ", ".join(one.id for one in store.kernels()) or "none"
        raise UsageError(f"no kernel {unknown[0]!r} was added; those that were: {names}")
    for id, kernel in found.items():
        if kernel:
            store.remove(kernel)
            typer.echo(f"removed {id}")


@app.command()
def check(
    ids: Annotated[list[str], typer.Argument(help="Kernels, as for `vmlab run --kernel`.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Boot kernels, and say what works on each. Exit status 1 where the agent did not come up."""
    from vmlab import selfcheck

    artifacts = common.artifacts()
    found = [
        selfcheck.check(artifacts, kernel, common.here().root)
        for kernel in artifacts.catalog.select(",".join(ids))
    ]
    if json:
        records = [one.record() for one in found]
        typer.echo(jsonlib.dumps({"kernels": records}, indent=1))
    else:
        typer.echo(selfcheck.table(found))
    sys.exit(0 if all(one.works("agent") for one in found) else 1)


@app.command(short_help="Pin the newest kernels that the archive has.")
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
        "release": kernel.release,
        "suite": kernel.suite,
        "package": kernel.package,
        "version": kernel.version,
        "default": kernel.default,
        "cached": catalog.cached(kernel),
        "size": kernel.size,
        "modules": kernel.for_modules,
        "vmlinux": str(catalog.vmlinux(kernel) or "") or None,
        "packages": [f"{one.name} {one.version}" for one in (*kernel.image, *kernel.headers)],
    }
