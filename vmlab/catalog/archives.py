"""Kernels of any apt archive: which there are, and the packages that each is made of."""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import ARCHES
from vmlab.cache import Cache, content_key
from vmlab.catalog.apt import KEYRING, Apt, Mirrors
from vmlab.catalog.packaged import order
from vmlab.catalog.progress import Say
from vmlab.catalog.records import Package
from vmlab.errors import UsageError

SCHEME = "apt:"
# kernel-image and kernel-headers are Debian's of 2005, -unsigned is Ubuntu's.
_IMAGES = ("linux-image-unsigned-", "linux-image-", "kernel-image-")
_HEADERS = ("linux-headers-", "kernel-headers-")
_OTHERS = ("linux-modules-", "linux-binary-", "linux-base-")
_KBUILD = ("linux-kbuild-", "kernel-kbuild-")
_LEFT_OUT = ("-dbg", "-dbgsym", "-extra")
_NAMES = re.compile(
    "(?:" + "|".join((*_IMAGES, *_HEADERS, *_OTHERS, *_KBUILD)) + r")[\d.].*", re.ASCII
)


@dataclass(frozen=True)
class Archive:
    """One apt archive, as a line of sources.list names it."""

    url: str
    suite: str
    component: str
    keyring: Path = KEYRING

    @property
    def name(self) -> str:
        return f"{SCHEME}{self.url} {self.suite} {self.component}"

    def apt(self, cache: Cache, say: Say) -> Apt:
        """apt for it alone. Raises UsageError where the keyring is not there."""
        if not self.keyring.is_file():
            raise UsageError(
                f"{self.name}: the keyring {self.keyring} is not there; name the file of the "
                "archive's public keys with --keyring"
            )
        root = content_key(self.url, self.suite, self.component, str(self.keyring))
        return Apt(cache, Mirrors(self.url, self.url), say, self.keyring, self.component, root)


@dataclass(frozen=True)
class Offered:
    """A kernel of an archive."""

    release: str
    arch: str  # i386 or x86_64
    packages: tuple[Package, ...]  # the image's first

    @property
    def for_modules(self) -> bool:
        return any(one.name.startswith(_HEADERS) for one in self.packages)


def offered(found: Sequence[tuple[Package, str]]) -> list[Offered]:
    """The kernels of an archive's packages, the newest first."""
    index: dict[tuple[str, str], tuple[Package, str]] = {}
    for package, depends in found:
        key = (package.name, package.architecture)
        if key not in index or order(index[key][0].version) < order(package.version):
            index[key] = (package, depends)
    made = {
        (release, arch.name): Offered(
            release, arch.name, tuple(_parts(release, arch.debian, index))
        )
        for arch in ARCHES.values()
        for (name, architecture), _ in index.items()
        if architecture == arch.debian and (release := _release(name))
    }
    return sorted(made.values(), key=lambda one: (order(one.release), one.arch), reverse=True)


def chosen(
    kernels: Sequence[Offered], where: str, release: str | None, arch: str | None
) -> Offered:
    """The newest that is meant, with headers if one has them. Raises UsageError for none."""
    meant = [
        one for one in kernels
        if fnmatch.fnmatch(one.release, release or "*") and arch in (None, one.arch)
    ]  # fmt: skip
    if not meant:
        there = ", ".join(f"{one.release} ({one.arch})" for one in kernels[:8]) or "none"
        raise UsageError(
            f"{where} has no such kernel; there are {there}" + (" ..." if kernels[8:] else "")
        )
    return next((one for one in meant if one.for_modules), meant[0])


def look(archive: Archive, cache: Cache, say: Say) -> list[Offered]:
    """What an archive has now. Raises Gone for a suite that it has not, LabError otherwise."""
    apt = archive.apt(cache, say)
    apt.update([archive.suite])
    return offered(list(apt.packages(archive.suite, _NAMES)))


_Index = dict[tuple[str, str], tuple[Package, str]]


def _release(name: str) -> str:
    prefix = next((one for one in _IMAGES if name.startswith(one)), None)
    if prefix is None or name.endswith(_LEFT_OUT):
        return ""
    release = name.removeprefix(prefix)
    return release if re.match(r"\d+\.\d+.*-", release) else ""


def _parts(release: str, architecture: str, index: _Index) -> Iterator[Package]:
    """The image, what of its release it depends on, and headers with what they depend on."""
    wanted = [f"{prefix}{release}" for prefix in (*_IMAGES, *_OTHERS, *_HEADERS)]
    seen = set()
    for name in wanted:  # it grows meanwhile
        entry = _entry(name, architecture, index)
        if entry is None or name in seen:
            continue
        seen.add(name)
        yield entry[0]
        wanted += [one for one in _names(entry[1]) if one.startswith((*_HEADERS, *_KBUILD))]


def _entry(name: str, architecture: str, index: _Index) -> tuple[Package, str] | None:
    """kbuild's programs are those that run here, where the archive has them."""
    order_ = ("amd64", architecture) if name.startswith(_KBUILD) else (architecture,)
    return next((index[name, one] for one in (*order_, "all") if (name, one) in index), None)


def _names(depends: str) -> list[str]:
    parts = [part.split() for part in re.split(r"[,|]", depends)]
    return [words[0].partition(":")[0] for words in parts if words]
