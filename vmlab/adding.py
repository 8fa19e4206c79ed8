"""From a user's folder to a kernel of the catalog: looked at, tried with a compiler, kept."""

import tempfile
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.build import eras, kbuild
from vmlab.catalog import Kernel, added
from vmlab.catalog.brought import Brought, look
from vmlab.errors import UsageError

PROBE = Path(__file__).parent / "selfcheck" / "kmod"
MODULE = "vmlab_probe"


def add(
    artifacts: Artifacts,
    store: added.Store,
    folder: Path,
    name: str | None = None,
    cc: str = "",
    cross_compile: str = "",
) -> Kernel:
    """Adds a folder's kernel, once a small module was built for it.

    Raises UsageError with what is wrong with the folder, the compiler or the name.
    """
    if cc and cross_compile:
        raise UsageError("--cc and --cross-compile both name a compiler; give one of them")
    brought = look(folder)
    called = name or brought.release
    if any(one.id == called for one in artifacts.catalog.kernels):
        raise UsageError(
            f"there is a kernel {called} already; name this one otherwise with --name, or "
            f"`vmlab kernels remove {called}` where it was added"
        )
    words = _words(brought, cc, cross_compile)
    kernel = store.keep(brought, called, words)
    if brought.tree:
        try:
            _try(artifacts, kernel, brought)
        except BaseException:
            store.remove(kernel)
            raise
    return kernel


def _words(brought: Brought, cc: str, cross_compile: str) -> added.Words:
    if brought.tree is None and not (cc or cross_compile):
        return added.Words("")
    found = eras.compiler(cc or f"{cross_compile}gcc", brought.arch, brought.number)
    _check_vermagic(brought, found)
    return added.Words(found.words, cross_compile, found.maps)


def _check_vermagic(brought: Brought, found: eras.Compiler) -> None:
    """Kernels up to 2.6.11 refuse what another compiler made."""
    wanted = eras.version_of(brought.built_with)
    if brought.number >= eras.NAMES_COMPILER or not wanted:
        return
    if wanted != eras.version_of(found.version):
        raise UsageError(
            f"{brought.folder}: the kernel {brought.release} was built with {brought.built_with}, "
            f"and its version magic names that: it refuses modules of {found.words} "
            f"({found.version}); name a gcc {'.'.join(wanted)} with --cc or --cross-compile"
        )


def _try(artifacts: Artifacts, kernel: Kernel, brought: Brought) -> None:
    with tempfile.TemporaryDirectory(prefix="vmlab-probe-") as work:
        try:
            kbuild.build(artifacts.tree(kernel), PROBE, [MODULE], Path(work))
        except kbuild.ModuleBuildError as error:
            made = f"; the kernel was built with {brought.built_with}" if brought.built_with else ""
            used = kernel.added.compiler if kernel.added else "gcc"
            raise UsageError(
                f"{brought.folder}: no module can be built for {kernel.release} with {used}{made}. "
                "Name that compiler with --cc or --cross-compile. What was said by this one, or by "
                f"the tree's kbuild:\n{error.said}"
            ) from error
