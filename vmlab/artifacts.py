"""What guests need, each made once from its inputs and kept in the cache."""

import shlex
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab import bootable
from vmlab.arch import Arch
from vmlab.build import busybox, kbuild, musl, process, procps, whole
from vmlab.build.sandbox import HERE, Builder
from vmlab.cache import Cache, content_key
from vmlab.catalog import Catalog, Kernel, apt
from vmlab.catalog.progress import telling
from vmlab.errors import LabError
from vmlab.images import Userland, tiny

if TYPE_CHECKING:
    from vmlab.images.debian import Recipe

_EVERY = 10.0  # seconds between two words on a build that takes long
_AGENT = Path(__file__).parent / "guest" / "agent"


class _Damaged(Exception):
    """A Debian root in the cache is not what it was; the message says how."""


class Artifacts:
    """Images, workloads and modules. Makers raise LabError, CompileError, ModuleBuildError."""

    def __init__(self, cache: Cache, catalog: Catalog, sandboxed: bool = False) -> None:
        self.cache = cache
        cache.say = catalog.say
        self.catalog = catalog
        self.profiled = False  # whether modules are built to count which of their lines run
        self._builder = Builder(sandboxed, (cache.root,))  # of what a project brings
        self._toolchains: dict[str, musl.Toolchain] = {}
        self._compilers: dict[str, str] = {}
        # Whole builds and Debian roots that failed, by their names.
        self._refused: dict[str, Exception] = {}
        self._making: dict[str, threading.Lock] = {}  # of each Debian root

    def try_again(self) -> None:
        """What could not be made is tried anew from now on: a mirror may answer again."""
        self._refused.clear()

    def image(self, arch: Arch) -> Path:
        """The tiny image of an architecture: an initramfs."""
        recipe = tiny.read_recipe(tiny.default_recipe())
        agent = self.agent(arch).read_bytes()
        shell = self.busybox(arch, recipe)
        applets = shell.with_name("applets").read_text().split()
        programs = {path.name: path.read_bytes() for path in (shell, self.ps(arch))}

        def make(directory: Path) -> None:
            image = directory / "initramfs"
            image.write_bytes(tiny.initramfs(recipe, agent, programs, applets))
            bootable.note(image)

        name = content_key(bootable.NOTED, recipe.text, agent, *programs.values())
        return self.cache.get("images", f"tiny-{arch.name}-{name}", make) / "initramfs"

    def debian(self, arch: Arch, wanted: Userland) -> Path:
        """An image of Debian's packages: as the archive had them when its root was made.

        Raises NoPackage where it has none of a name. A root that is damaged is made anew.
        """
        from vmlab.images import debian

        recipe = debian.read_recipe(debian.default_recipe())
        last = debian.end(recipe, self.agent(arch).read_bytes(), wanted.udev)
        for _ in range(2):
            root = self._root(arch, recipe, wanted.packages)
            try:
                return self._image_of(root, arch, last)
            except _Damaged as error:
                self.catalog.say(f"{root} is made anew: {error}")
                self.cache.remove("debian", root.name)
        raise LabError(f"making a Debian image: {root} is damaged as soon as it is made")

    def _image_of(self, root: Path, arch: Arch, last: bytes) -> Path:
        def make(directory: Path) -> None:
            image = directory / "initramfs"
            _copy(root / "body", image)
            if bootable.content(image) != total:
                raise _Damaged("what it holds is not what was put there")
            with image.open("ab") as out:
                out.write(last)
            bootable.note(image)

        try:
            total = (root / "sum").read_text()
            name = content_key(bootable.NOTED, total, last)
            return self.cache.get("images", f"debian-{arch.name}-{name}", make) / "initramfs"
        except FileNotFoundError as error:
            raise _Damaged(f"{error.filename} is gone") from error

    def _root(self, arch: Arch, recipe: "Recipe", packages: Sequence[str]) -> Path:
        """A directory with a root's `body`, its `sum`, and the `packages` that it was made of.

        What could not be made is not tried again.
        """
        from vmlab.build import debootstrap
        from vmlab.images import debian

        more = f" with {', '.join(packages)}" if packages else ""
        what = f"making a Debian root ({recipe.suite}, {arch.debian}){more}"
        began, at = time.monotonic(), ["beginning"]

        def now() -> str:
            return f"a Debian root for {arch.name}, {time.monotonic() - began:.0f} s: {at[-1]}"

        def make(directory: Path) -> None:
            say = self.catalog.say
            say(f"{what} (once; it is kept)")
            archive, body = directory / "root.tar", directory / "body"
            source, options = apt.source_line(recipe.suite), apt.root_options()
            command = debian.command(recipe, arch, packages, source, options)
            with telling(now, say, _EVERY):
                debootstrap.make(command, archive, what, at.append)
                at.append("packing it")
                with body.open("wb") as out:
                    out.writelines(debian.body(recipe, archive))
            (directory / "packages").write_text(debian.installed(archive))
            (directory / "sum").write_text(bootable.content(body))
            archive.unlink()

        key = f"{arch.name}-{content_key(recipe.text, *sorted(packages))}"
        with self._making.setdefault(key, threading.Lock()):
            if key in self._refused:
                raise self._refused[key]
            try:
                return self.cache.get("debian", key, make)
            except process.StoppedError:
                raise
            except (debootstrap.NoPackage, LabError) as error:
                self._refused[key] = error
                raise

    def agent(self, arch: Arch) -> Path:
        """The guest's first process."""
        return self.program(arch, _AGENT, "agent")

    def busybox(self, arch: Arch, recipe: tiny.Recipe) -> Path:
        """busybox with the recipe's options; its applets' names stand beside it."""
        source = self.catalog.source("busybox")
        toolchain = self.toolchain(arch)

        def make(directory: Path) -> None:
            say, what = self.catalog.say, f"building busybox for {arch.name}"
            say(f"{what} (once; it is kept)")
            work = directory / "work"
            work.mkdir()
            with telling(lambda: f"{what}: {busybox.objects(work)} objects so far", say, _EVERY):
                made = busybox.build(source, toolchain, recipe.on, recipe.off, work)
            (directory / "applets").write_text("\n".join(busybox.applets(made)) + "\n")
            made.rename(directory / "busybox")
            shutil.rmtree(work)

        inputs = (source.name, toolchain.specs, self._compiler(arch), *recipe.on, "-")
        name = content_key(*inputs, *recipe.off)
        return self.cache.get("busybox", f"{arch.name}-{name}", make) / "busybox"

    def ps(self, arch: Arch) -> Path:
        """procps's ps, which knows `<defunct>`."""
        source = self.catalog.source("procps")
        toolchain = self.toolchain(arch)

        def make(directory: Path) -> None:
            self.catalog.say(f"building ps for {arch.name}")
            procps.build(source, toolchain, directory)

        facts = [word for pair in procps.FACTS.items() for word in pair]
        flags = (*musl.FLAGS, *procps.FLAGS)
        inputs = (source.name, toolchain.specs, self._compiler(arch), *flags, *facts)
        return self.cache.get("procps", f"{arch.name}-{content_key(*inputs)}", make) / "ps"

    def program(self, arch: Arch, source: Path, name: str) -> Path:
        """A static user program: one C file with the headers beside it, or a directory of them."""
        folder = source if source.is_dir() else source.parent
        sources = sorted(source.glob("*.c")) if source.is_dir() else [source]
        headers = sorted(folder.glob("*.h"))
        toolchain = self.toolchain(arch)
        builder = HERE if source == _AGENT else self._builder

        def make(directory: Path) -> None:
            toolchain.compile(sources, directory / name, [folder], builder=builder)

        content = [part for path in (*sources, *headers) for part in _named(path)]
        key = content_key(toolchain.specs, self._compiler(arch), *musl.FLAGS, *content)
        return self.cache.get("programs", f"{name}-{arch.name}-{key}", make) / name

    def modules(
        self, kernel: Kernel, folder: whole.Folder, wanted: Sequence[str]
    ) -> dict[str, Path]:
        """The wanted modules of a folder, and those they need, built for a kernel.

        Where a folder is built as a whole all that is made is there, and what is not there of the
        wanted ones raises NotForKernel, or ModuleBuildError. Raises LabError where the kernel was
        removed meanwhile, for that is no fault of the modules.
        """
        try:
            return self._modules(self.tree(kernel), folder, wanted)
        except (whole.NotForKernel, kbuild.ModuleBuildError):
            self.tree(kernel)
            raise

    def _modules(
        self, tree: kbuild.Tree, folder: whole.Folder, wanted: Sequence[str]
    ) -> dict[str, Path]:
        source = folder.path
        builder = replace(self._builder, limit_s=folder.limit_s)
        if folder.way != "apart":
            made = self._whole(tree, folder, builder)
            built = kbuild.modules(made)
            for name in wanted:
                if name not in built:
                    raise whole.missing(tree, folder, name, list(built), made / "build.log")
            return built
        files = kbuild.source_files(source)
        key = kbuild.key(tree, files, wanted, self._compiler_of(tree))

        def make(directory: Path) -> None:
            kbuild.build(tree, source, wanted, directory, builder=builder)

        return kbuild.modules(self.cache.get("modules", key, make))

    def _whole(self, tree: kbuild.Tree, folder: whole.Folder, builder: Builder) -> Path:
        """A build's directory. One that failed is not tried again by runs that want the same."""
        files = folder.files()
        key = whole.key(tree, folder, files, self._compiler(tree.arch))
        if key in self._refused:
            raise self._refused[key]
        try:
            return self.cache.get(
                "modules", key, lambda made: whole.build(tree, folder, files, made, builder)
            )
        except (whole.NotForKernel, kbuild.ModuleBuildError) as error:
            self._refused[key] = error
            raise

    def tree(self, kernel: Kernel) -> kbuild.Tree:
        """What modules for this kernel are built against."""
        return replace(self._tree(kernel), profiled=self.profiled)

    def _tree(self, kernel: Kernel) -> kbuild.Tree:
        headers = self.catalog.headers(kernel)
        if added := kernel.added:
            return kbuild.Tree(
                kernel.id, kernel.arch, headers, kernel.version, added.compiler,
                added.cross_compile, added.maps, kernel.number, added.writable,
            )  # fmt: skip
        return kbuild.Tree(kernel.id, kernel.arch, headers, kernel.version)

    def toolchain(self, arch: Arch) -> musl.Toolchain:
        """What user programs of an architecture are built with."""
        if arch.name not in self._toolchains:
            libc = self.catalog.package("musl-dev", arch)
            headers = self.catalog.package("linux-libc-dev", arch)
            self._toolchains[arch.name] = musl.toolchain(arch, libc, headers)
        return self._toolchains[arch.name]

    def _compiler_of(self, tree: kbuild.Tree) -> str:
        words = tree.compiler or (f"{tree.cross_compile}gcc" if tree.cross_compile else "")
        if not words:
            return self._compiler(tree.arch)
        if words not in self._compilers:
            self._compilers[words] = kbuild.version_of(shlex.split(words))
        return self._compilers[words]

    def _compiler(self, arch: Arch) -> str:
        if arch.name not in self._compilers:
            self._compilers[arch.name] = kbuild.compiler_version(arch)
        return self._compilers[arch.name]


def _named(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
