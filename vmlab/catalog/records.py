"""What the catalog knows: packages, sources, kernels, each pinned by its checksum."""

from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.errors import LabError


class Gone(LabError):
    """The archive no longer has a pinned file; another version may be there."""


class Unavailable(LabError):
    """A kernel or package that the archive has in no version near the wanted one."""


@dataclass(frozen=True)
class Package:
    """One binary package of one version."""

    name: str
    version: str
    architecture: str  # dpkg's word, "all" included
    suite: str
    file: str  # its path in the archive
    sha256: str
    size: int  # bytes

    @property
    def key(self) -> str:
        """Its name in the cache."""
        return f"{self.name}_{_plain(self.version)}_{self.architecture}-{self.sha256[:12]}"


@dataclass(frozen=True)
class Source:
    """The upstream tar file of one source package."""

    name: str
    version: str
    suite: str
    file: str
    sha256: str
    size: int  # bytes

    @property
    def key(self) -> str:
        return f"{self.name}_{_plain(self.version)}-{self.sha256[:12]}"


@dataclass(frozen=True)
class Tool:
    """Programs that the host has too old or not at all, run from where they are unpacked."""

    name: str
    packages: tuple[Package, ...]  # the first is the one that the others are for

    @property
    def version(self) -> str:
        return self.packages[0].version

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(package.size for package in self.packages)


@dataclass(frozen=True)
class Added:
    """A kernel that a user has brought, as the lab keeps it."""

    directory: Path  # named by the content; holds boot/ and what modules are built against
    release: str  # its `uname -r`
    source: str  # where it was taken from
    tree: Path | None  # what `make -C` is given; None without one
    writable: bool  # whether the tree is the lab's own copy
    compiler: str  # words for a command line, as make's CC
    cross_compile: str  # the prefix of compiler and linker, as make's CROSS_COMPILE
    maps: bool  # whether the compiler can leave out the directory of a build
    built: str = ""  # tells the build of a tree that is not the lab's own copy


@dataclass(frozen=True)
class Kernel:
    """A bootable image and what modules are built against.

    `id` is its `uname -r`, and of one that was added the name that the user gave it.
    """

    id: str
    arch: Arch
    default: bool
    image: tuple[Package, ...]
    headers: tuple[Package, ...]  # empty where modules cannot be built for it here
    added: Added | None = None  # instead of packages

    @property
    def release(self) -> str:
        """What `uname -r` prints on it."""
        return self.added.release if self.added else self.id

    @property
    def for_modules(self) -> bool:
        """Whether modules can be built for it here."""
        return bool(self.added.tree if self.added else self.headers)

    @property
    def package(self) -> str:
        return self.added.source if self.added else self.image[0].name

    @property
    def version(self) -> str:
        """Of the package, or the name of what was added, which is its content's hash."""
        return self.added.directory.name if self.added else self.image[0].version

    @property
    def suite(self) -> str:
        return "added" if self.added else self.image[0].suite

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(package.size for package in (*self.image, *self.headers))

    @property
    def number(self) -> tuple[int, ...]:
        """For comparing releases: the numbers that it starts with."""
        parts: list[int] = []
        for word in self.release.replace("-", ".").replace("+", ".").split("."):
            if not word.isdigit():
                break
            parts.append(int(word))
        return tuple(parts)

    @property
    def series(self) -> str:
        """The stable series, "5.10"."""
        return ".".join(str(part) for part in self.number[:2])


def _plain(version: str) -> str:
    """Without an epoch's colon, which make takes for its own."""
    return version.replace(":", "-")
