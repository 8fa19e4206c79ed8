"""Finds kernels and packages in the archive's indexes, newest first."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from debian.debian_support import Version

from vmlab.arch import ARCHES, Arch
from vmlab.catalog.apt import Apt
from vmlab.catalog.records import Kernel, Package, Source


@dataclass(frozen=True)
class Channel:
    """Where the kernels of one series come from; the first suite that has a whole one counts."""

    series: str
    suites: tuple[str, ...]
    arches: tuple[str, ...]
    default: bool = False

    def holds(self, release: str) -> bool:
        """Whether a release is of this series."""
        return release.startswith(f"{self.series}.")


CHANNELS = (
    Channel("5.10", ("bullseye", "bullseye-security"), ("i386", "x86_64"), default=True),
    Channel("6.1", ("bookworm", "bookworm-security"), ("i386", "x86_64"), default=True),
    Channel("6.12", ("trixie", "bookworm-backports"), ("x86_64",)),
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
_HEADERS_PARTS = ("linux-headers-", "linux-kbuild-")
Versioned = TypeVar("Versioned")
_LEFT_OUT = re.compile(r"-(?:rt|cloud|dbg|unsigned)")


class Finder:
    """What the archive has now. Indexes are fetched once for each set of suites."""

    def __init__(self, apt: Apt) -> None:
        self._apt = apt
        self._updated: set[str] = set()

    def kernels(self) -> Iterator[list[Kernel]]:
        """For each channel and architecture the candidates, best first."""
        for channel in CHANNELS:
            self._update(channel.suites)
            for name in channel.arches:
                yield [
                    kernel
                    for suite in channel.suites
                    for kernel in self._in_suite(channel, suite, ARCHES[name])
                ]

    def near_kernels(self, kernel: Kernel) -> list[Kernel]:
        """Other kernels of the same series and architecture, the nearest first."""
        others: list[Kernel] = []
        for channel in CHANNELS:
            if channel.holds(kernel.id):
                self._update(channel.suites)
                for suite in channel.suites:
                    others += self._in_suite(channel, suite, kernel.arch)
        others = [other for other in others if other.image != kernel.image]
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
        return packages, tuple(found)

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
        found = [
            (package, depends)
            for package, depends in self._packages_of(suite)
            if package.architecture in (arch.debian, "all", "amd64")
        ]
        index = {(package.name, package.architecture): package for package, _ in found}
        depends = {(package.name, package.architecture): text for package, text in found}
        prefix = f"linux-image-{channel.series}."
        images = [
            package
            for (name, architecture), package in index.items()
            if name.startswith(prefix)
            and architecture == arch.debian
            and name.endswith(f"-{arch.flavour}")
            and not _LEFT_OUT.search(name)
        ]
        return [_kernel(image, arch, channel, index, depends) for image in _newest_first(images)]

    @functools.cache  # noqa: B019 - the finder lives as long as one command
    def _packages_of(self, suite: str) -> list[tuple[Package, str]]:
        return list(self._apt.packages(suite, _KERNEL_PACKAGES))


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


def _kernel(
    image: Package,
    arch: Arch,
    channel: Channel,
    index: dict[tuple[str, str], Package],
    depends: dict[tuple[str, str], str],
) -> Kernel:
    identity = image.name.removeprefix("linux-image-")
    files = [image]
    for name in _names(depends[image.name, image.architecture]):
        if name.endswith(f"-{identity}") and (name, arch.debian) in index:
            files.append(index[name, arch.debian])
    headers = _headers(identity, arch, index, depends)
    return Kernel(identity, arch, channel.default, tuple(files), headers)


def _headers(
    identity: str,
    arch: Arch,
    index: dict[tuple[str, str], Package],
    depends: dict[tuple[str, str], str],
) -> tuple[Package, ...]:
    """linux-headers-ID and what it depends on; kbuild's programs are those of the host."""
    first = index.get((f"linux-headers-{identity}", arch.debian))
    if first is None:
        return ()
    found = [first]
    for name in dict.fromkeys(_names(depends[first.name, first.architecture])):
        for architecture in ("all", "amd64"):
            if (name, architecture) in index and name.startswith(_HEADERS_PARTS):
                found.append(index[name, architecture])
    has_kbuild = any(package.name.startswith("linux-kbuild-") for package in found)
    return tuple(found) if has_kbuild else ()


def _names(depends: str) -> list[str]:
    parts = [part.split() for part in re.split(r"[,|]", depends)]
    return [words[0].partition(":")[0] for words in parts if words]
