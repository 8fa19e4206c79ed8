"""From a source to a kernel: configured, built in the cache, taken out by content."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmlab import adding
from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.build import compilers, eras, kbuild, roots
from vmlab.cache import Cache, content_key
from vmlab.catalog import Catalog, Kernel, added
from vmlab.catalog.brought import look
from vmlab.catalog.progress import telling
from vmlab.sources import bases, collect, tools
from vmlab.sources import make as making
from vmlab.sources.configure import Wish, configure
from vmlab.sources.source import Source

KIND = "built-kernels"
_RECIPE = "2"  # of what is made here; another one is another kernel
_EVERY = 60.0  # seconds between two words on a build


@dataclass(frozen=True)
class Options:
    """How a kernel is to be built."""

    arch: Arch
    config: str = "tiny"  # or distro, or a file
    fragments: tuple[str, ...] = ()  # names of those that travel with the lab, or files
    compiler: adding.With = field(default_factory=adding.With)
    lenient: bool = False  # whether it is only said what of them the tree's kconfig dropped


@dataclass(frozen=True)
class Built:
    """A kernel in the cache, in a directory that never changes and that `kernels add` takes."""

    directory: Path
    kernel: Kernel  # what guests and module builds take, as long as the cache is not pruned
    content: str  # of the source


def build(catalog: Catalog, source: Source, options: Options) -> Built:
    """A kernel of a source; at once where it was built before.

    One directory for each tree, architecture and configuration is built in, in turn, so that only
    what differs is compiled. Raises KernelBuildError with the first error, ConfigError for a
    configuration that cannot be had or cannot boot, UsageError for a source that is none,
    LabError where a tool is missing.
    """
    bases.check(options.config, options.fragments)  # before anything is fetched
    with source.held(catalog) as tree:
        number = making.number(tree.path, source.text)
        wish = bases.wish(catalog, options.arch, number, options.config, options.fragments,
                          options.lenient)  # fmt: skip
        command = _command(catalog.cache, options.compiler, number)
        compiler = eras.compiler(command, options.arch, number)
        name = f"{source.label}-{wish.name}-{options.arch.name}"
        inputs = (tree.content, wish.key, compiler.words, kbuild.version_of(compiler.words.split()))
        key = f"{name}-{content_key(_RECIPE, options.arch.name, *inputs)}"
        with suppress(_NotBuilt):
            found = catalog.cache.get(KIND, key, _not_built)
            return Built(found, added.read(found), tree.content)
        tools.check()
        with _place(catalog.cache, source, options, wish) as (place, held):
            make = making.Make(
                tree.path, place / "out", options.arch, compiler, options.compiler.prefix,
                _ccache(catalog.cache, options.compiler), _local(options), (held,),
                _hint(options.compiler, compiler, number),
            )  # fmt: skip
            _make(catalog, make, wish, number, f"{source.text} ({options.arch.name}, {wish.name})")
            parts = collect.Parts(make, name, f"{source.text} ({tree.content})")
            made = catalog.cache.get(KIND, key, lambda directory: collect.fill(directory, parts))
    return Built(made, added.read(made), tree.content)


def add(
    artifacts: Artifacts, store: added.Store, source: Source, options: Options,
    name: str | None = None,
) -> Kernel:  # fmt: skip
    """Builds a kernel and keeps it among those that were added, where no prune reaches it.

    One of the same name that was built from the same source gives way. Raises UsageError for a
    name that is taken otherwise, and what `build` raises.
    """
    if name:
        added.check_name(name)
        _own(artifacts, store, source, name)
    built = build(artifacts.catalog, source, options)
    called = name or built.kernel.id
    was = built.kernel.added
    assert was
    brought = replace(look(built.directory), origin=was.source)
    if same := store.kept(brought, called, added.Words(was.compiler, was.cross_compile)):
        return same
    instead = _own(artifacts, store, source, called) is not None
    with store.alone():
        return adding.keep(artifacts, store, brought, called, options.compiler, instead)


def _command(cache: Cache, named: adding.With, number: eras.Number) -> str:
    """The compiler that is named, else the one here that knows such kernels."""
    if named.root:
        text = roots.script(named.root, named.cross_compile, number, ())
        return str(adding.compiler_in(text, cache.get))
    if named.named:
        return named.command
    host = compilers.numbers(eras.dump_version("gcc"))
    return compilers.pick(host, number, (), list(compilers.here())) or "gcc"


def _hint(named: adding.With, compiler: eras.Compiler, number: eras.Number) -> str:
    """Where no compiler here knows such kernels, the host's is tried all the same."""
    if named.named:
        return ""
    if compilers.fits(compilers.numbers(compiler.version), number):
        return ""
    return (
        f"{compiler.words} ({compiler.version}) is none that knows such kernels: "
        f"{compilers.wanted(number, ())}"
    )


def _own(artifacts: Artifacts, store: added.Store, source: Source, name: str) -> Kernel | None:
    """What is there under the name; of another source it is refused, before minutes of work."""
    old = store.find(name)
    if old and old.added and old.added.source.startswith(f"{source.text} ("):
        return old
    adding.check_free(artifacts, store, name)
    return None


def _make(
    catalog: Catalog, make: making.Make, wish: Wish, number: tuple[int, ...], what: str
) -> None:
    config = configure(make, wish, number, catalog.say)
    tools.check(config)
    catalog.say(f"building {what}")
    with telling(
        lambda: f"building {what}: {_objects(make.out)} objects so far", catalog.say, _EVERY
    ):
        make.run(what, *(("bzImage", "modules_prepare") if wish.name.startswith(bases.DISTRO)
                         else ("bzImage", "modules")))  # fmt: skip


@contextmanager
def _place(
    cache: Cache, source: Source, options: Options, wish: Wish
) -> Iterator[tuple[Path, int]]:
    """The directory that is built in, and a descriptor for make.

    Whoever has that is still at work there, also when the lab was killed; what such a build left
    is not gone on with.
    """
    named = options.compiler
    parts = (source.family, named.cc, named.cross_compile, str(named.root or ""))
    key = f"{wish.name}-{options.arch.name}-{content_key(*parts)}"
    with cache.workspace("kernel-builds", key) as place, (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = place / "busy"
        if busy.exists():
            shutil.rmtree(place / "out", ignore_errors=True)
        busy.touch()
        (place / "out").mkdir(exist_ok=True)
        try:
            yield place, lock.fileno()
        except Exception:  # make has ended by itself
            busy.unlink()
            raise
        busy.unlink()


def _ccache(cache: Cache, named: adding.With) -> Path | None:
    """Of a compiler in a root it would know the script alone, whatever that runs."""
    if named.root or not making.ccache():
        return None
    place = cache.root / "ccache" / "kernels"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _local(options: Options) -> str:
    """What the release ends in, besides what a configuration of the user's own says."""
    return f"-{options.config}" if options.config in (bases.TINY, bases.DISTRO) else ""


def _objects(out: Path) -> int:
    return sum(1 for _ in out.rglob("*.o"))


class _NotBuilt(Exception):
    """The cache has no such kernel, or has it no longer."""


def _not_built(directory: Path) -> None:
    raise _NotBuilt
