"""From what a user brings to a kernel of the catalog: looked at, tried with a compiler, kept."""

import contextlib
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab import bootable
from vmlab.artifacts import Artifacts
from vmlab.build import compilers, eras, kbuild, roots
from vmlab.cache import content_key
from vmlab.catalog import Kernel, added, archives, packaged
from vmlab.catalog.brought import Brought, look
from vmlab.errors import UsageError

PROBE = Path(__file__).parent / "selfcheck" / "kmod"
MODULE = "vmlab_probe"
_SHOWN = 5  # options of those that differ


@dataclass(frozen=True)
class With:
    """The compiler that a user names for a kernel's modules; the lab picks one without."""

    cc: str = ""  # as make's CC
    cross_compile: str = ""  # as make's CROSS_COMPILE
    root: Path | None = None  # the directory that holds it as its packages unpack

    def __post_init__(self) -> None:
        if self.cc and (self.cross_compile or self.root):
            other = "--cross-compile" if self.cross_compile else "--toolchain-root"
            raise UsageError(f"--cc and {other} both name a compiler; give one of them")

    @property
    def named(self) -> bool:
        return bool(self.cc or self.cross_compile or self.root)

    @property
    def command(self) -> str:
        """What is run of a compiler that is named, and not in a root."""
        return self.cc or f"{self.cross_compile}gcc"

    @property
    def prefix(self) -> str:
        """Make's CROSS_COMPILE; a root's own linker is found by its compiler alone."""
        return "" if self.root else self.cross_compile


def add(
    artifacts: Artifacts,
    store: added.Store,
    folder: Path,
    name: str | None = None,
    compiler: With = With(),
    release: str | None = None,
) -> Kernel:
    """Adds a folder's kernel, or that of the packages in it, once a small module was built for it.

    Of several kernels `release` names one, or is a glob that does.
    Raises UsageError with what is wrong with the folder, the compiler or the name.
    """
    if name:
        check_free(artifacts, store, name)  # before anything is unpacked
    if folder.is_dir() and (files := packaged.files(folder)):
        return add_packages(artifacts, store, files, str(folder.resolve()), name, compiler, release)
    brought = look(folder, release)
    with store.alone():
        return keep(artifacts, store, brought, name, compiler)


def add_archive(
    artifacts: Artifacts,
    store: added.Store,
    archive: archives.Archive,
    name: str | None = None,
    compiler: With = With(),
    release: str | None = None,
    arch: str | None = None,
) -> Kernel:
    """Adds the newest kernel of an apt archive that is meant. Raises UsageError, LabError."""
    say = artifacts.catalog.say
    kernels = archives.look(archive, artifacts.cache, say, arch)
    found = archives.chosen(kernels, archive.name, release, arch)
    say(f"{found.release} ({found.arch}), of {len(kernels)} kernels there")
    check_free(artifacts, store, name or found.release)  # before anything is fetched
    apt = archive.apt(artifacts.cache, say)
    with contextlib.ExitStack() as held:
        files = []
        for package in found.packages:
            say(f"fetching {Path(package.file).name} ({package.size / 1e6:.1f} MB)")
            files.append(held.enter_context(apt.fetched(package)))
        return add_packages(artifacts, store, files, archive.name, name, compiler, found.release)


def add_packages(
    artifacts: Artifacts,
    store: added.Store,
    files: Sequence[Path],
    origin: str,
    name: str | None,
    compiler: With,
    release: str | None,
) -> Kernel:
    """Adds the kernel that packages hold; they are kept unpacked beside it."""
    key = content_key(packaged.RECIPE, *(bootable.content(path) for path in files))
    with store.alone():
        root = store.part(added.UNPACKED, key, lambda made: packaged.unpacked(files, made))
        box = packaged.lay_out(root, packaged.chosen(packaged.kernels(root), origin, release))
        return keep(artifacts, store, replace(look(box), origin=origin), name, compiler)


def check_free(artifacts: Artifacts, store: added.Store, name: str) -> None:
    """Raises UsageError for a name that is none, and where a kernel is called so already."""
    added.check_name(name)
    if any(one.id == name for one in (*artifacts.catalog.kernels, *store.kernels())):
        raise UsageError(
            f"there is a kernel {name} already; name this one otherwise with --name, or "
            f"`vmlab kernels remove {name}` where it was added"
        )


def keep(
    artifacts: Artifacts,
    store: added.Store,
    brought: Brought,
    name: str | None,
    compiler: With,
    instead: bool = False,
) -> Kernel:
    """Adds what was looked at, as `add` does; `instead` of one that has its name.

    The caller has the store alone.
    """
    called = name or brought.release
    if not instead:
        check_free(artifacts, store, called)

    def tried(kernel: Kernel) -> None:
        if brought.tree:
            _try(artifacts, kernel, brought, compiler)

    added_now = store.keep(brought, called, _words(store, brought, compiler), tried)
    if differing := brought.differing:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        artifacts.catalog.say(
            f"{brought.config} and {brought.tree}/.config differ in "
            f"{', '.join(differing[:_SHOWN])}{more}: modules are built by the latter, and a kernel "
            "that was built by another may crash on them"
        )
    return added_now


def _words(store: added.Store, brought: Brought, compiler: With) -> added.Words:
    if brought.tree is None and not compiler.named:
        return added.Words("")
    found = eras.compiler(_command(store, brought, compiler), brought.arch, brought.number)
    _check_vermagic(brought, found)
    return added.Words(found.words, compiler.prefix, found.maps)


def _command(store: added.Store, brought: Brought, compiler: With) -> str:
    """The command of the compiler that is named, or of the one here that knows such kernels."""
    exactly = _exactly(brought)
    if compiler.root:
        text = roots.script(compiler.root, compiler.cross_compile, brought.number, exactly)
        return str(compiler_in(text, store.part))
    if compiler.named:
        return compiler.command
    host = compilers.numbers(eras.dump_version("gcc"))
    made_by = compilers.numbers(".".join(eras.version_of(brought.built_with)))
    there = list(compilers.here())
    return compilers.pick(host, brought.number, exactly, there, made_by) or "gcc"


def compiler_in(script: str, get: Callable[[str, str, Callable[[Path], None]], Path]) -> Path:
    """A script of `roots` as a program, kept where `get` keeps directories that are made."""

    def make(directory: Path) -> None:
        (directory / "gcc").write_text(script)
        (directory / "gcc").chmod(0o755)

    return get(added.COMPILERS, content_key(script), make) / "gcc"


def _exactly(brought: Brought) -> eras.Number:
    """The version that the compiler must be of: kernels up to 2.6.11 refuse any other's modules."""
    if brought.number >= eras.NAMES_COMPILER:
        return ()
    return tuple(int(part) for part in eras.version_of(brought.built_with))


def _check_vermagic(brought: Brought, found: eras.Compiler) -> None:
    exactly = _exactly(brought)
    if exactly and compilers.numbers(found.version)[: len(exactly)] != exactly:
        raise UsageError(
            f"{brought.folder}: the kernel {brought.release} was built with {brought.built_with}, "
            f"and its version magic names that: it refuses modules of {found.words} "
            f"({found.version}); {compilers.wanted(brought.number, exactly)}"
        )


def _try(artifacts: Artifacts, kernel: Kernel, brought: Brought, compiler: With) -> None:
    with tempfile.TemporaryDirectory(prefix="vmlab-probe-") as work:
        try:
            kbuild.build(artifacts.tree(kernel), PROBE, [MODULE], Path(work))
        except kbuild.ModuleBuildError as error:
            made = f"; the kernel was built with {brought.built_with}" if brought.built_with else ""
            used = kernel.added.compiler if kernel.added else "gcc"
            next_step = _next_step(brought, compiler, error.said)
            raise UsageError(
                f"{brought.origin or brought.folder}: no module can be built for "
                f"{kernel.release} with {used}{made}. "
                f"{next_step[0].upper()}{next_step[1:]}. What was said by this one, or by the "
                f"tree's kbuild:\n{error.said}"
            ) from error


# What a build says where it is not for the compiler: of the tree, and of its own programs (modpost,
# objtool). And what is done about that.
_OF_THE_TREE = (
    (r"(?:Makefile|scripts/)\S*: No such file|No rule to make target '[^']*(?:Makefile|scripts/)",
     "the tree is not whole: packages of headers need others beside them, Debian's those named "
     "linux-headers-*-common and linux-kbuild-*, Ubuntu's linux-headers-* without the flavour; a "
     "tree of your own needs `make modules_prepare`"),
    (r"version `GLIBC_[\d.]+' not found", "the tree's programs were made for a newer C library "
     "than this host has: put their distribution's packages libc6, libelf1 (or libelf1t64), "
     "libzstd1 and zlib1g for amd64 (of rpms glibc, elfutils-libelf, libzstd, zlib) beside the "
     "kernel's, or add the kernel on a newer host"),
    (r"Exec format error|cannot execute", "the tree's programs were made for another machine: run "
     "`make modules_prepare` in a copy of the tree here, or take the packages for amd64"),
)  # fmt: skip


def _next_step(brought: Brought, compiler: With, said: str) -> str:
    for pattern, step in _OF_THE_TREE:
        if re.search(pattern, said):
            return step
    if compiler.named:
        return "name another with --cc, --cross-compile or --toolchain-root"
    return compilers.wanted(brought.number, _exactly(brought))
