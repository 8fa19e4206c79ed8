"""The catalog: kernels and packages by their pins, fetched and unpacked on demand."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.arch import Arch
from vmlab.cache import Cache, content_key
from vmlab.catalog import added, debug, foreign, headers, unpack
from vmlab.catalog import pins as pinning
from vmlab.catalog.apt import Apt, mirrors
from vmlab.catalog.progress import Say, silent
from vmlab.catalog.records import Gone, Kernel, Package, Source, Tool, Unavailable
from vmlab.catalog.select import select
from vmlab.errors import LabError

if TYPE_CHECKING:
    from vmlab.catalog.find import Finder  # only what is not pinned, or is gone, is looked for


class Catalog:
    """What the lab can boot. Listing needs no network; what is fetched stays in the cache."""

    def __init__(self, cache: Cache, pins: pinning.Pins, say: Say = silent) -> None:
        self.cache = cache
        self.pins = pins
        self.say = say
        self.added: tuple[Kernel, ...] = ()
        self._instead: dict[str, Kernel] = {}
        self._tools: dict[str, Path] = {}
        self._gone: dict[str, str] = {}  # kernels that are not to be had, and why

    @classmethod
    def open(cls, cache: Cache, say: Say = silent) -> "Catalog":
        """The catalog of the lock file that travels with the lab, and what the user has added."""
        made = cls(cache, pinning.read(pinning.committed()), say)
        made.added = added.Store.default().kernels()
        return made

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return (*self.pins.kernels, *self.added)

    def select(self, expression: str | None) -> list[Kernel]:
        """See `select.select`."""
        return select(self.kernels, expression)

    def cached(self, kernel: Kernel) -> bool:
        """Whether nothing of this kernel needs the network."""
        return not self.to_fetch(kernel)

    def to_fetch(self, kernel: Kernel) -> tuple[Package, ...]:
        """The packages of this kernel that are still to be downloaded."""
        if kernel.added:
            return ()
        kind, key = _image_key(kernel)
        image = () if self.cache.find(kind, key) else kernel.image
        built = kernel.headers and self.cache.find("headers", _headers_key(kernel))
        return (*image, *(() if built else kernel.headers))

    def obtain(self, kernel: Kernel) -> Kernel:
        """Fetches a kernel's packages and returns the kernel they make.

        That is the nearest one of the same series where the archive has no longer all that is
        pinned, most often one with another id; `say` is told. Raises Unavailable where it has none.
        """
        if kernel.added:
            return kernel
        if kernel.id in self._gone:
            raise Unavailable(self._gone[kernel.id])
        kernel = self._instead.get(kernel.id, kernel)
        try:
            self._fetch(kernel)
        except Gone as gone:
            near = self._first_near(kernel, gone)
            self.say(f"{kernel.id}: {gone}; using the nearest, {near.id} ({near.version})")
            self._instead[kernel.id] = near
            return near
        return kernel

    def image(self, kernel: Kernel) -> Path:
        """The kernel's bootable file."""
        found = self._tree(kernel) / "boot" / f"vmlinuz-{kernel.id}"
        if not found.exists():
            raise Unavailable(f"{kernel.id}: {_holder(kernel)} boot/vmlinuz-{kernel.id}")
        return found

    def modules(self, kernel: Kernel) -> Path:
        """The directory of the kernel's own modules, lib/modules/ID."""
        for place in ("lib/modules", "usr/lib/modules"):
            found = self._tree(kernel) / place / kernel.id
            if (found / "kernel").is_dir():
                return found
        raise Unavailable(
            f"{kernel.id} was added without its own modules: copy lib/modules/{kernel.release} of "
            "its box into the folder, as modules/, and add it anew"
            if kernel.added
            else f"{kernel.id}: none of its packages holds its modules"
        )

    def config(self, kernel: Kernel) -> frozenset[str] | None:
        """The options that are y or m in a kernel; None where its packages do not tell."""
        path = self.config_file(kernel)
        lines = path.read_text().splitlines() if path else []
        return frozenset(one[:-2] for one in lines if one[-2:] in ("=y", "=m")) if path else None

    def config_file(self, kernel: Kernel) -> Path | None:
        """A kernel's whole configuration; None where its packages hold none."""
        tree = self._tree(kernel)
        places = ("lib/modules", "usr/lib/modules")
        for path in (f"boot/config-{kernel.id}", *(f"{one}/{kernel.id}/config" for one in places)):
            if (tree / path).is_file():
                return tree / path
        return None

    def _tree(self, kernel: Kernel) -> Path:
        """What the kernel's packages hold, in one directory."""
        if kernel.added:
            return added.directory(kernel.id, kernel.added)

        def make(directory: Path) -> None:
            for package in kernel.image:
                self._download(package, directory)
            if len(kernel.image) > 1:
                unpack.settle(directory)

        return self.cache.get(*_image_key(kernel), make)

    def headers(self, kernel: Kernel) -> Path:
        """What `make -C` is given to build modules. Raises Unavailable where there is none."""
        if kernel.added:
            return added.tree(kernel.id, kernel.added)
        if not kernel.headers:
            raise Unavailable(f"{kernel.id}: the archive has no headers for it")

        def make(directory: Path) -> None:
            for package in kernel.headers:
                self._download(package, directory)
            headers.mend(directory)
            foreign.wrap_programs(directory)

        tree = self.cache.get("headers", _headers_key(kernel), make)
        return tree / "usr" / "src" / f"linux-headers-{kernel.id}"

    def cached_headers(self, kernel: Kernel) -> Path | None:
        """The directory that holds the kernel's unpacked headers, if they are here."""
        return self.cache.find("headers", _headers_key(kernel)) if kernel.headers else None

    def vmlinux(self, kernel: Kernel, fetch: bool = False) -> Path | None:
        """The kernel with debug information; None where it is not here and not to be fetched.

        Raises Unavailable where the archive has no debug package of this version.
        """
        if kernel.added:
            return added.vmlinux(kernel.added)
        if not fetch:
            return debug.cached(self.cache, kernel)

        def make(directory: Path) -> None:
            found = debug.find(self._apt(), kernel)
            self._download_to(found, directory, lambda file, to: debug.extract(kernel, file, to))

        return self.cache.get(debug.KIND, debug.key(kernel), make) / "vmlinux"

    def package(self, name: str, arch: Arch) -> Path:
        """Another pinned package, unpacked: what user programs are built with."""
        for package in self.pins.packages:
            if (package.name, package.architecture) == (name, arch.debian):
                return self._nearest_package(package)
        raise LabError(f"the lock file pins no package {name} for {arch.debian}")

    def source(self, name: str) -> Path:
        """A pinned source package's upstream files."""
        for source in self.pins.sources:
            if source.name == name:
                return self._source(source)
        raise LabError(f"the lock file pins no source {name}")

    def linux_source(self, wanted: str) -> tuple[Package, Path]:
        """A kernel's source as Debian has it, patched and unpacked: of a series or a version.

        Another version of the series where the archive has the pinned one no longer; `say` is told.
        Raises Unavailable where it has none.
        """
        from vmlab.catalog import linux_source

        pinned = linux_source.pinned(self.pins.packages, wanted)
        if pinned is None:
            package = linux_source.find(self._apt(), wanted)[0]
            return package, self._linux_source(package)
        try:
            return pinned, self._linux_source(pinned)
        except Gone as gone:
            for near in linux_source.near(self._apt(), pinned):
                with contextlib.suppress(Gone):
                    tree = self._linux_source(near)
                    self.say(f"{pinned.name} {pinned.version}: {gone}; using {near.version}")
                    return near, tree
            raise Unavailable(f"{gone}, and no other version of it is there") from gone

    def _linux_source(self, package: Package) -> Path:
        from vmlab.catalog import linux_source

        return self.cache.get(
            linux_source.KIND, package.key,
            lambda directory: self._download_to(package, directory, linux_source.unpack),
        )  # fmt: skip

    def tool(self, name: str) -> Path:
        """The directory that a pinned tool's packages are unpacked into, as on an installed system.

        It is what the archive has now where that lacks what is pinned; `say` is told. Raises
        Unavailable where it has none.
        """
        pinned = next((tool for tool in self.pins.tools if tool.name == name), None)
        if pinned is None:
            raise LabError(f"the lock file pins no tool {name}; `vmlab kernels lock` pins it")
        if name not in self._tools:
            self._tools[name] = self._obtained(pinned)
        return self._tools[name]

    def unpack_tool(self, tool: Tool) -> Path:
        """A tool's directory. Raises Gone where the archive lacks one of its packages."""

        def make(directory: Path) -> None:
            for package in tool.packages:
                self._download(package, directory)

        parts = [package.sha256 for package in tool.packages]
        return self.cache.get("tools", f"{tool.name}-{content_key(*parts)}", make)

    def _obtained(self, pinned: Tool) -> Path:
        try:
            return self.unpack_tool(pinned)
        except Gone as gone:
            try:
                from vmlab.catalog import tools

                near = tools.find(self._apt(), tools.recipe(pinned.name))
                self.say(f"{pinned.name} {pinned.version}: {gone}; using {near.version}")
                return self.unpack_tool(near)
            except Gone as also:
                raise Unavailable(f"{pinned.name}: {gone}, and {also}") from gone

    def unpacked(self, package: Package) -> Path:
        """The directory that one package is unpacked into."""
        return self.cache.get(
            "packages", package.key, lambda directory: self._download(package, directory)
        )

    def _fetch(self, kernel: Kernel) -> None:
        self._tree(kernel)
        if kernel.headers:
            self.headers(kernel)

    def _first_near(self, kernel: Kernel, gone: Gone) -> Kernel:
        """The nearest kernel that the archive really has; it may list some that are gone too."""
        also: Gone | None = None
        try:
            for near in self._finder().near_kernels(kernel):
                try:
                    self._fetch(near)
                    return near
                except Gone as error:
                    self.say(f"{near.id}: {error}")
        except Gone as error:  # the suite itself
            also = error
        from vmlab.catalog.find import series

        other = also or f"the archive has no other {series(kernel)}"
        self._gone[kernel.id] = f"{kernel.id}: {gone}, and {other}"
        raise Unavailable(self._gone[kernel.id]) from gone

    def _nearest_package(self, package: Package) -> Path:
        try:
            return self.unpacked(package)
        except Gone as gone:
            for near in self._finder().near_packages(package):
                with contextlib.suppress(Gone):
                    found = self.unpacked(near)
                    self.say(f"{package.name} {package.version}: {gone}; using {near.version}")
                    return found
            raise LabError(
                f"{gone}, and {package.suite} has no other version; guests' programs are built "
                "with it: name another mirror in VMLAB_MIRROR"
            ) from gone

    def _source(self, source: Source) -> Path:
        def make(directory: Path) -> None:
            self._download_to(source, directory, unpack.source)

        return self.cache.get("sources", source.key, make)

    def _download(self, package: Package, directory: Path) -> None:
        self._download_to(package, directory, unpack.package)

    def _download_to(
        self, record: Package | Source, directory: Path, extract: Callable[[Path, Path], None]
    ) -> None:
        self.say(f"fetching {Path(record.file).name} ({record.size / 1e6:.1f} MB)")
        with self._apt().fetched(record) as file:
            extract(file, directory)

    def _apt(self) -> Apt:
        return Apt(self.cache, mirrors(), self.say)

    def _finder(self) -> "Finder":
        from vmlab.catalog.find import Finder

        return Finder(self._apt())


def _holder(kernel: Kernel) -> str:
    return f"{kernel.added.source} has not" if kernel.added else "none of its packages holds"


def _image_key(kernel: Kernel) -> tuple[str, str]:
    """Kind and name in the cache; several packages are one directory."""
    if len(kernel.image) == 1:
        return "packages", kernel.image[0].key
    parts = [package.sha256 for package in kernel.image]
    return "kernels", f"{kernel.id}-{content_key(*parts)}"


def _headers_key(kernel: Kernel) -> str:
    parts = [package.sha256 for package in kernel.headers]
    return f"{kernel.id}-{content_key(headers.MENDING, foreign.WRAPPING, *parts)}"
