"""Takes out of a build what guests and modules need, into a directory of its own.

What modules are built against is laid out as in a tree that was built in place: the source's
headers and scripts, and what the build made beside them.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmlab.cache import linked
from vmlab.catalog import added, bzimage, intree
from vmlab.errors import LabError
from vmlab.sources.make import Make

_IMAGES = ("arch/x86/boot/bzImage", "arch/i386/boot/bzImage", "arch/x86_64/boot/bzImage")
_FOLDERS = ("include", "scripts", "arch/x86/include", "arch/x86/scripts", "tools/include")
_ARCH_FILES = ("Makefile*", "Kbuild*")
_MADE = ("include", "scripts", "arch/x86/include", "tools/objtool")
_OBJECTS = (".o", ".a", ".cmd", ".d", ".ko", ".orig")
_SINGLE = (".config", "Module.symvers", "vmlinux", "System.map")


@dataclass(frozen=True)
class Parts:
    """A finished build, what the kernel is called, and where it is from."""

    make: Make
    name: str
    source: str


def fill(directory: Path, parts: Parts) -> None:
    """Raises LabError where the build left no image."""
    out = parts.make.out
    image = next((out / name for name in _IMAGES if (out / name).is_file()), None)
    if image is None:
        raise LabError(f"{out}: make ended well and left no bzImage")
    boot, build = directory / "boot", directory / "build"
    boot.mkdir()
    shutil.copy2(image, boot / f"vmlinuz-{parts.name}")
    shutil.copy2(out / ".config", boot / f"config-{parts.name}")
    shutil.copy2(out / "System.map", boot / f"System.map-{parts.name}")
    _overlay(parts.make, build)
    if intree.were_built(out):
        intree.take(out, directory / added.MODULES)
        added.link_modules(directory, parts.name, Path("..", "..", added.MODULES))
    compiler = parts.make.compiler
    words = added.Words(compiler.words, parts.make.cross_compile, compiler.maps)
    added.write_record(
        directory, parts.name, parts.make.arch, bzimage.release(image), parts.source, "build", words
    )


def _overlay(make: Make, build: Path) -> None:
    for name in _of_source(make.tree):
        _linked(make.tree / name, build / name)
    for name in _of_build(make.out):
        _copied(make.out / name, build / name)
    exported = make.out / "vmlinux.symvers"  # where no modules were made
    if not (build / "Module.symvers").exists() and exported.is_file():
        shutil.copy2(exported, build / "Module.symvers")


def _of_source(tree: Path) -> Iterator[Path]:
    for path in tree.glob("Makefile*"):
        yield path.relative_to(tree)
    for name in ("Kbuild", "Kconfig"):
        if (tree / name).is_file():
            yield Path(name)
    for pattern in _ARCH_FILES:
        for path in tree.glob(f"arch/x86/{pattern}"):
            yield path.relative_to(tree)
    yield from _below(tree, _FOLDERS)


def _of_build(out: Path) -> Iterator[Path]:
    for name in _SINGLE:
        if (out / name).is_file():
            yield Path(name)
    for path in _below(out, _MADE):
        if path.parts[0] != "tools" or os.access(out / path, os.X_OK):
            yield path


def _below(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        for where, _, names in os.walk(root / folder):
            inside = Path(where).relative_to(root)
            yield from (inside / name for name in names if not name.endswith(_OBJECTS))


def _linked(source: Path, target: Path) -> None:
    """The lab's own copies of sources never change in place, so that one file serves twice."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
        return
    linked(str(source), str(target))


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
