"""Finds kernels and packages in the archive's indexes, newest first."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from debian.debian_support import Version

from vmlab.arch import ARCHES, Arch
from vmlab.catalog.apt import Apt
from vmlab.catalog.records import Kernel, Package, Source


@dataclass(frozen=True)
class Channel:
    """Where the kernels of one series come from; the first suite that has a whole one counts.

    A series is the beginning of a release, "5.10" or "7".
    """

    series: str
    suites: tuple[str, ...]
    arches: tuple[str, ...]
    default: bool = False

    def holds(self, kernel: Kernel) -> bool:
        """Whether a kernel is of this series, and from one of these suites."""
        return kernel.id.startswith(f"{self.series}.") and kernel.suite in self.suites


CHANNELS = (
    Channel("5.10", ("bullseye", "bullseye-security"), ("i386", "x86_64"), default=True),
    Channel("6.1", ("bookworm", "bookworm-security"), ("i386", "x86_64"), default=True),
    Channel("6.12", ("trixie", "bookworm-backports"), ("x86_64",)),
    Channel("7", ("forky", "sid"), ("x86_64",)),
    Channel("7", ("experimental",), ("x86_64",)),  # the release candidates
)
LIBC_SUITE = "bookworm"  # unstable's musl makes i386 programs that crash at start with gcc 12
EXTRA_PACKAGES = (
    "musl-dev",
    "linux-libc-dev",
    "bash",  # with its libraries: the init of virtme runs in it
    "libc6",
    "libtinfo6",
)
EXTRA_SOURCES = ("busybox", "procps")

_KERNEL_PACKAGES = re.compile(
    r"linux-image-\d.*-(?:686|amd64)|linux-headers-\d.*-(?:686|amd64|common)|linux-kbuild-\d.*"
    r"|linux-(?:binary|modules|base)-\d.*-(?:686|amd64)"
)
HOST_LIBC = "2.36"  # of the oldest Debian that the lab runs on
# What kbuild's programs load, where they need a newer C library than that one. experimental has
# no libraries of its own. Not libssl3: only what signs modules loads it, and nothing here signs.
LIBRARIES = ("libc6", "libelf1t64", "libzstd1", "zlib1g")
LIBRARY_SUITES = ("forky", "sid")
_LIBRARIES = re.compile("|".join(LIBRARIES))
_LINUX_SOURCE = re.compile(r"linux-source-\d+\.\d+")
_IMAGE, _KBUILD = "linux-image-", "linux-kbuild-"
_HEADERS_PARTS = ("linux-headers-", _KBUILD)
_LIBC = re.compile(r"\blibc6 \(>= ([^)]+)\)")
Versioned = TypeVar("Versioned")
_LEFT_OUT = re.compile(r"-(?:rt|cloud|dbg|unsigned)")


@dataclass(frozen=True)
class Index:
    """The kernel packages of one suite."""

    packages: dict[tuple[str, str], Package]  # by name and dpkg's architecture
    depends: dict[tuple[str, str], str]

    @classmethod
    def of(cls, found: Iterable[tuple[Package, str]]) -> "Index":
        """Of a package that is listed twice the newer one counts."""
        packages: dict[tuple[str, str], Package] = {}
        depends: dict[tuple[str, str], str] = {}
        for package, text in found:
            key = (package.name, package.architecture)
            if key not in packages or Version(packages[key].version) < Version(package.version):
                packages[key], depends[key] = package, text
        return cls(packages, depends)

    def get(self, name: str, *architectures: str) -> Package | None:
        found = (self.packages.get((name, architecture)) for architecture in architectures)
        return next((package for package in found if package), None)

    def depends_of(self, package: Package) -> str:
        return self.depends[package.name, package.architecture]


class Finder:
    """What the archive has now. Indexes are fetched once for each set of suites."""

    def __init__(self, apt: Apt) -> None:
        self._apt = apt
        self._updated: set[str] = set()

    def kernels(self, channel: Channel, arch: Arch) -> list[Kernel]:
        """The candidates of a channel for an architecture, best first: with headers, by suite."""
        self._update(channel.suites)
        found = [
            kernel for suite in channel.suites for kernel in self._in_suite(channel, suite, arch)
        ]
        return sorted(found, key=lambda kernel: not kernel.headers)

    def near_kernels(self, kernel: Kernel) -> list[Kernel]:
        """Other kernels of the same channel and architecture, the nearest first.

        The same kernel is one of them where only what modules are built with is another.
        """
        others: list[Kernel] = []
        for channel in CHANNELS:
            if channel.holds(kernel):
                others += self.kernels(channel, kernel.arch)
        others = [other for other in others if _files(other) != _files(kernel)]
        near = nearest_first(kernel.version, others, lambda other: other.version)
        return sorted(near, key=lambda other: bool(kernel.headers) and not other.headers)

    def near_packages(self, package: Package) -> list[Package]:
        """Other versions in the package's suite, the nearest first."""
        self._update([package.suite])
        others = self._named(package.suite, package.name, package.architecture)
        others = [other for other in others if other.sha256 != package.sha256]
        return nearest_first(package.version, others, lambda other: other.version)

    def extras(self) -> tuple[tuple[Package, ...], tuple[Source, ...]]:
        """The packages and sources that user programs are built from."""
        self._apt.update([LIBC_SUITE], sources=True)
        packages = tuple(
            self._named(LIBC_SUITE, name, arch.debian)[0]
            for name in EXTRA_PACKAGES
            for arch in ARCHES.values()
        )
        found = [next(self._apt.sources(LIBC_SUITE, name)) for name in EXTRA_SOURCES]
        return (*packages, *self.linux_sources()), tuple(found)

    def linux_sources(self) -> tuple[Package, ...]:
        """The newest linux-source package of each series, of the first suite that has one."""
        newest: dict[str, Package] = {}
        for channel in CHANNELS:
            self._update(channel.suites)
            for suite in channel.suites:
                found = (one for one, _ in self._apt.packages(suite, _LINUX_SOURCE))
                for package in _newest_first(found):
                    series = package.name.removeprefix("linux-source-")
                    if f"{series}.".startswith(f"{channel.series}."):
                        newest.setdefault(package.name, package)
        return tuple(newest.values())

    def _update(self, suites: Sequence[str]) -> None:
        if not self._updated.issuperset(suites):
            self._apt.update(suites)
            self._updated.update(suites)

    def _named(self, suite: str, name: str, architecture: str) -> list[Package]:
        found = self._apt.packages(suite, re.compile(re.escape(name)))
        return _newest_first(
            package for package, _ in found if package.architecture == architecture
        )

    def _in_suite(self, channel: Channel, suite: str, arch: Arch) -> list[Kernel]:
        index = self._index(suite)
        images = [
            package
            for (name, architecture), package in index.packages.items()
            if name.startswith(f"linux-image-{channel.series}.")
            and architecture == arch.debian
            and name.endswith(f"-{arch.flavour}")
            and not _LEFT_OUT.search(name)
        ]
        made = (self._kernel(image, arch, channel, index) for image in _newest_first(images))
        return [kernel for kernel in made if kernel]

    def _kernel(self, image: Package, arch: Arch, channel: Channel, index: Index) -> Kernel | None:
        files = image_packages(image, index)
        if files is None:
            return None
        headers = header_packages(image.name.removeprefix(_IMAGE), arch, index)
        needed = libc_of(headers, index)
        if needed and Version(needed) > Version(HOST_LIBC):
            libraries = self._libraries(needed)
            headers = (*headers, *libraries) if libraries else ()
        return Kernel(image.name.removeprefix(_IMAGE), arch, channel.default, files, headers)

    def _libraries(self, libc: str) -> tuple[Package, ...]:
        """LIBRARIES of the first suite that has them all, its C library new enough; else none."""
        self._update(LIBRARY_SUITES)
        for suite in LIBRARY_SUITES:
            index = Index.of(self._apt.packages(suite, _LIBRARIES))
            found = [index.get(name, "amd64") for name in LIBRARIES]
            whole = [package for package in found if package]
            if len(whole) == len(LIBRARIES) and Version(whole[0].version) >= Version(libc):
                return tuple(whole)
        return ()

    @functools.cache  # noqa: B019 - the finder lives as long as one command
    def _index(self, suite: str) -> Index:
        return Index.of(self._apt.packages(suite, _KERNEL_PACKAGES))


def image_packages(image: Package, index: Index) -> tuple[Package, ...] | None:
    """linux-image-ID and the packages of that ID that it depends on, which hold its files.

    One package up to 6.12; later it is nearly empty. None where the index lacks one of them.
    """
    identity = image.name.removeprefix(_IMAGE)
    found = [image]
    for package in found:  # it grows meanwhile
        for name in _names(index.depends_of(package)):
            if name.endswith(f"-{identity}"):
                part = index.get(name, image.architecture)
                if part is None:
                    return None
                if part not in found:
                    found.append(part)
    return tuple(found)


def header_packages(identity: str, arch: Arch, index: Index) -> tuple[Package, ...]:
    """linux-headers-ID and what it depends on; kbuild's programs are those of the host."""
    first = index.get(f"linux-headers-{identity}", arch.debian)
    if first is None:
        return ()
    found = [first]
    for name in dict.fromkeys(_names(index.depends_of(first))):
        part = index.get(name, "all", "amd64") if name.startswith(_HEADERS_PARTS) else None
        if part:
            found.append(part)
    return tuple(found) if any(part.name.startswith(_KBUILD) for part in found) else ()


def libc_of(headers: Sequence[Package], index: Index) -> str | None:
    """The version of the C library that kbuild's programs need at least."""
    for package in headers:
        if package.name.startswith(_KBUILD):
            return needed_libc(index.depends_of(package)) or None
    return None


def needed_libc(depends: str) -> str:
    """The version of the C library that a package's Depends asks for, empty where it does not."""
    found = _LIBC.search(depends)
    return found[1] if found else ""


def nearest_first(
    version: str, others: Sequence[Versioned], version_of: Callable[[Versioned], str]
) -> list[Versioned]:
    """By how many of the others lie between each and the version; of two as near the newer."""
    wanted = Version(version)
    order = sorted(others, key=lambda other: Version(version_of(other)))
    older = [other for other in order if Version(version_of(other)) < wanted]
    distance = {id(other): place - len(older) for place, other in enumerate(order)}
    return sorted(order, key=lambda other: _steps(distance[id(other)]))


def _steps(distance: int) -> float:
    """0 is the next newer one, -1 the next older one, which comes after it."""
    return distance if distance >= 0 else -distance - 0.5


def _newest_first(packages: "Iterator[Package] | Sequence[Package]") -> list[Package]:
    return sorted(packages, key=lambda package: Version(package.version), reverse=True)


def series(kernel: Kernel) -> str:
    """The series that the kernel is pinned for; of others its release's first two numbers."""
    return next((one.series for one in CHANNELS if one.holds(kernel)), kernel.series)


def _files(kernel: Kernel) -> tuple[Package, ...]:
    return (*kernel.image, *kernel.headers)


def _names(depends: str) -> list[str]:
    parts = [part.split() for part in re.split(r"[,|]", depends)]
    return [words[0].partition(":")[0] for words in parts if words]
