"""Kernels that users bring: kept apart from the cache, which may be pruned at any time."""

import contextlib
import json
import os
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from vmlab.arch import ARCHES, Arch
from vmlab.cache import Cache, content_key, linked
from vmlab.catalog import intree
from vmlab.catalog.brought import RELEASES, Brought
from vmlab.catalog.records import Added, Kernel, Unavailable
from vmlab.catalog.select import WORDS
from vmlab.errors import LabError, UsageError, reading

ENVIRONMENT = "VMLAB_KERNELS"
_KIND = "kernels"
UNPACKED, COMPILERS = PARTS = ("unpacked", "compilers")
_RECORD = "kernel.json"
MODULES = "modules"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# What a built tree holds that no module needs; kbuild's own programs stand in scripts and tools.
_LEFT_OUT = shutil.ignore_patterns(
    ".git", "Documentation", "*.o", "*.a", "*.ko", "*.cmd", "*.mod", "*.order", "vmlinux?*",
    "bzImage",
)  # fmt: skip
_PROGRAMS = ("scripts", "tools")
_LINKS = shutil.ignore_patterns("build", "source")  # of an installed lib/modules/RELEASE


@dataclass(frozen=True)
class Words:
    """How make is told which compiler to take for a kernel's modules."""

    compiler: str  # CC
    cross_compile: str = ""  # CROSS_COMPILE
    maps: bool = True  # whether the compiler can leave out the directory of a build


class Store:
    """The kernels that one user has added. Reading needs no lock; who changes it is `alone`."""

    def __init__(self, root: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self._cache = Cache(root)
        self._cache.say = say

    @classmethod
    def default(cls, say: Callable[[str], None] = lambda line: None) -> "Store":
        """The directory of VMLAB_KERNELS, else the user's data directory.

        `say` is told where another process is waited for.
        """
        chosen = os.environ.get(ENVIRONMENT)
        root = Path(chosen) if chosen else platformdirs.user_data_path("vmlab")
        return cls(root.resolve(), say)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time changes the store; at the block's end what no kernel uses goes.

        That is what a failed or killed one left, too. Raises LabError where the store cannot be
        written.
        """
        with self._cache.alone(_KIND, "store"):
            self._take_half_made()
            try:
                yield
            finally:
                self._take_unused()
                self._take_half_made()

    def _take_unused(self) -> None:
        with contextlib.suppress(LabError):  # of a record that says not what it uses
            used = {part for one in self.kernels() for part in self._parts_of(one)}
            for part in set(self._parts()) - used:
                self._cache.remove(part.parent.name, part.name)

    def _take_half_made(self) -> None:
        """What is no kernel in the place of one, too."""
        for path in (self._cache.root / _KIND).glob("[!.]*"):
            if not (path / _RECORD).exists():
                self._cache.remove(_KIND, path.name)
        self._cache.sweep()

    def kernels(self) -> tuple[Kernel, ...]:
        """All of them, the oldest release first. Raises LabError for one that cannot be read."""
        paths = sorted((self._cache.root / _KIND).glob(f"[!.]*/{_RECORD}"))
        found = (one for path in paths if (one := _still_there(path.parent)))
        return tuple(sorted(found, key=lambda kernel: (kernel.number, kernel.id)))

    def find(self, name: str) -> Kernel | None:
        return next((one for one in self.kernels() if one.id == name), None)

    def kept(self, brought: Brought, name: str, words: Words) -> Kernel | None:
        """The same kernel, if it is here under this name."""
        found = self._cache.find(_KIND, f"{name}-{_content(brought, words)}")
        return read(found) if found else None

    def keep(
        self,
        brought: Brought,
        name: str,
        words: Words,
        tried: Callable[[Kernel], None] = lambda kernel: None,
    ) -> Kernel:
        """Copies what the lab needs of a kernel, which then takes the place of any of its name.

        It is there once `tried`, which may raise, has seen it. For who is `alone`. Raises
        UsageError for a name that is no good.
        """
        check_name(name)

        def make(path: Path) -> None:
            with reading(brought.folder):
                _fill(path, brought, name, words, self._cache.root)
            tried(read(path))

        kernel = read(self._cache.get(_KIND, f"{name}-{_content(brought, words)}", make))
        for other in self.kernels():
            if other.id == name and other != kernel:
                self._remove(other)
        return kernel

    def remove(self, kernel: Kernel) -> None:
        """Takes a kernel away, with the packages and the compiler that no other one uses.

        Raises LabError where the store cannot be written.
        """
        with self.alone():
            self._remove(kernel)

    def _remove(self, kernel: Kernel) -> None:
        assert kernel.added
        self._cache.remove(_KIND, kernel.added.directory.name)

    def part(self, kind: str, key: str, make: Callable[[Path], None]) -> Path:
        """A directory that kernels are made from: unpacked packages, a compiler's script.

        For who is `alone`.
        """
        return self._cache.get(kind, key, make)

    def _parts(self) -> list[Path]:
        return [path for kind in PARTS for path in (self._cache.root / kind).glob("[!.]*")]

    def _parts_of(self, kernel: Kernel) -> list[Path]:
        assert kernel.added
        modules = [one.resolve() for one in kernel.added.directory.glob("lib/modules/*")]
        words = (kernel.added.tree, *shlex.split(kernel.added.compiler), *modules)
        text = " ".join(str(word) for word in words)
        return [path for path in self._parts() if f"{path}/" in text]


def check_name(name: str) -> None:
    """Raises UsageError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"a kernel's name is letters, digits and . _ + -; {name!r} is none")
    if name in WORDS:
        raise UsageError(f"{name!r} means other kernels in --kernel; give this one another name")


def directory(name: str, added: Added) -> Path:
    """Where a kernel is kept. Raises LabError where it was removed since it was looked up."""
    if not (added.directory / _RECORD).is_file():
        raise LabError(
            f"{name}: it was removed from the kernels while it was in use ({added.directory} is "
            "gone); add it anew, and run again"
        )
    return added.directory


def tree(name: str, added: Added) -> Path:
    """What modules are built against. Raises Unavailable where there is nothing, LabError where it
    is not what was added."""
    directory(name, added)
    if added.tree is None:
        raise Unavailable(
            f"{name}: {added.source} has no build/, so no modules can be built for it"
        )
    if not (added.tree / "Makefile").is_file():
        raise LabError(
            f"{name}: the tree {added.tree} that modules were built against is gone; bring it "
            f"back, or `vmlab kernels remove {name}` and add it anew"
        )
    if added.built and added.built != _built(added.tree):
        raise LabError(
            f"{name}: the tree {added.tree} is not the one that was added: its Module.symvers, "
            f".config or release has changed since; `vmlab kernels remove {name}` and add it anew"
        )
    program = shlex.split(added.compiler)[0] if added.compiler else f"{added.cross_compile}gcc"
    if shutil.which(program) is None:
        raise LabError(
            f"{name}: the compiler {program} that it was added with is gone; install it, or "
            f"`vmlab kernels remove {name}` and add it anew with another --cc"
        )
    return added.tree


def vmlinux(added: Added) -> Path | None:
    """The kernel's ELF file, where it was brought."""
    found = added.tree / "vmlinux" if added.tree else None
    return found if found and found.is_file() else None


def _content(brought: Brought, words: Words) -> str:
    """The hash of all that a run on it can depend on.

    The headers' own text is in it only by what the origin says, which names a source's content.
    """
    paths = [brought.image, brought.config, brought.system_map]
    if brought.tree:
        paths += [brought.tree / "Module.symvers", brought.tree / ".config"]
    parts = [path.read_bytes() if path and path.is_file() else b"" for path in paths]
    if brought.modules:
        parts.append(intree.content(brought.modules).encode())
    return content_key(*parts, words.compiler, words.cross_compile, brought.origin)


def _built(tree: Path) -> str:
    """What tells one build of a tree from another."""
    names = ("Module.symvers", ".config", *RELEASES)
    files = (tree / name for name in names)
    return content_key(*(file.read_bytes() if file.is_file() else b"" for file in files))


def _fill(directory: Path, brought: Brought, name: str, words: Words, store: Path) -> None:
    boot = directory / "boot"
    boot.mkdir()
    shutil.copy2(brought.image, boot / f"vmlinuz-{name}")
    shutil.copy2(brought.config, boot / f"config-{name}")
    if brought.system_map:
        shutil.copy2(brought.system_map, boot / f"System.map-{name}")
    if brought.modules:
        link_modules(directory, name, _modules(directory, brought.modules, store))
    if brought.copied:
        assert brought.tree
        _copy(brought.tree, directory / "build", linked if brought.origin else shutil.copy2)
    where = "build" if brought.copied else str(brought.tree.resolve()) if brought.tree else None
    origin = brought.origin or str(brought.folder.resolve())
    built = _built(brought.tree) if brought.tree and not brought.copied else ""
    write_record(directory, name, brought.arch, brought.release, origin, where, words, built)


def _modules(directory: Path, source: Path, store: Path) -> Path:
    """Unpacked packages are the store's own; what is the user's, or the cache's, may go."""
    if source.is_relative_to(store):
        return source
    if intree.is_tree(source):
        intree.take(source, directory / MODULES)
    else:
        _copy_tree(source, directory / MODULES, _LINKS)
    return Path("..", "..", MODULES)


def link_modules(directory: Path, name: str, target: Path) -> None:
    """Says where a kernel's own modules are, by the place that they have in packages."""
    (directory / "lib/modules").mkdir(parents=True)
    (directory / "lib/modules" / name).symlink_to(target)


def write_record(
    directory: Path, name: str, arch: Arch, release: str, source: str, where: str | None,
    words: Words, built: str = "",
) -> None:  # fmt: skip
    """Makes a directory with boot/ and a tree (`where`) what `read` takes for a kernel.

    `built` tells the build of a tree that is not the lab's own.
    """
    record = {
        "id": name, "arch": arch.name, "release": release, "source": source, "tree": where,
        "compiler": words.compiler, "cross_compile": words.cross_compile, "maps": words.maps,
        "built": built,
    }  # fmt: skip
    (directory / _RECORD).write_text(json.dumps(record, indent=1) + "\n")


def _copy(source: Path, target: Path, one: Callable[[str, str], object]) -> None:
    """Times are kept, so that make does not take for old what was made from what is copied."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(source).parts
        kept = inside and inside[0] in _PROGRAMS
        return {".git"} & set(names) if kept else set(_LEFT_OUT(folder, names))

    _copy_tree(source, target, left_out, one)


def _copy_tree(
    source: Path, target: Path, ignore: Callable[[str, list[str]], Collection[str]],
    one: Callable[[str, str], object] = shutil.copy2,
) -> None:  # fmt: skip
    """Raises UsageError with the first file that cannot be copied.

    Old kbuilds write into the copy, and it is taken away one day, also where the original is
    read-only.
    """

    def told(folder: str, names: list[str]) -> set[str]:
        return set(ignore(folder, names))

    try:
        shutil.copytree(source, target, symlinks=True, ignore=told, copy_function=one)
    except shutil.Error as error:
        *_, why = error.args[0][0]
        raise UsageError(
            f"copying {source}: {len(error.args[0])} of its files cannot be copied, the first for "
            f"{why}; let this user read all of it (`chmod -R u+rX`, or copy it as another)"
        ) from error
    finally:
        _make_writable(target)


def _make_writable(folder: Path) -> None:
    for name, _, files in os.walk(folder):
        os.chmod(name, os.stat(name).st_mode | 0o700)
        for path in (Path(name, file) for file in files):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and not mode & stat.S_IWUSR:
                path.chmod(mode | stat.S_IWUSR)


def _still_there(directory: Path) -> Kernel | None:
    """A kernel, None where another process has just removed it. Raises LabError as `read` does."""
    try:
        return read(directory)
    except LabError:
        if directory.exists():
            raise
        return None


def read(directory: Path) -> Kernel:
    """A kernel from its directory. Raises LabError where that is none."""
    try:
        record = json.loads((directory / _RECORD).read_text())
        where = record["tree"]
        added = Added(
            directory, record["release"], record["source"],
            None if where is None else directory / where,  # an absolute path stays as it is
            where == "build", record["compiler"], record["cross_compile"], record["maps"],
            record.get("built", ""),
        )  # fmt: skip
        return Kernel(record["id"], ARCHES[record["arch"]], False, (), (), added)
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"reading {directory / _RECORD}: {error}; remove {directory}") from error
