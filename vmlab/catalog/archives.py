"""Kernels of any apt archive: which there are, and the packages that each is made of."""

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import ARCHES
from vmlab.cache import Cache, content_key
from vmlab.catalog.apt import KEYRING, Apt, Mirrors
from vmlab.catalog.find import HOST_LIBC, needed_libc
from vmlab.catalog.packaged import order
from vmlab.catalog.progress import Say
from vmlab.catalog.records import Package
from vmlab.errors import UsageError

SCHEME = "apt:"
# The first that is there counts: -unsigned has the same kernel once more, and is Ubuntu's only one
# of some flavours; kernel-image and kernel-headers are Debian's of 2005.
_IMAGES = ("linux-image-", "linux-image-unsigned-", "kernel-image-")
_HEADERS = ("linux-headers-", "kernel-headers-")
# Ubuntu's modules are two packages, so that half of them need not be installed.
_OTHERS = (
    "linux-modules-", "linux-modules-extra-", "linux-image-extra-", "linux-binary-", "linux-base-",
)  # fmt: skip
_KBUILD = ("linux-kbuild-", "kernel-kbuild-")
_OF_FLAVOUR = re.compile(r"linux-\S+-headers-\d\S*", re.ASCII)  # Ubuntu's, for all of one flavour
_LEFT_OUT = ("-dbg", "-dbgsym", "-extra")
# What kbuild's programs load, where they need a newer C library than this host may have.
_LIBRARIES = (("libc6",), ("libelf1t64", "libelf1"), ("libzstd1",), ("zlib1g",))
_NAMES = re.compile(
    "(?:" + "|".join((*_IMAGES, *_HEADERS, *_OTHERS, *_KBUILD)) + r")[\d.].*|"
    + _OF_FLAVOUR.pattern + "|"
    + "|".join(name for names in _LIBRARIES for name in names), re.ASCII
)  # fmt: skip
_SPECIAL = re.compile(
    r"-(?:rt|cloud|lowlatency|oem|intel|kvm|aws|azure|gcp|gke|ibm|oracle|raspi|nvidia)"
)
"""Flavours for other machines and ends: such a kernel is taken where no other one is meant."""


@dataclass(frozen=True)
class Archive:
    """One apt archive, as a line of sources.list names it."""

    url: str
    suite: str
    component: str  # none for a flat archive, whose suite is a directory: it ends with a slash
    keyring: Path = KEYRING

    @property
    def name(self) -> str:
        return f"{SCHEME}{self.url} {self.suite} {self.component}".rstrip()

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
    """The newest that is meant, with headers if one has them, and of no special flavour.

    Raises UsageError for none.
    """
    meant = [
        one for one in kernels
        if fnmatch.fnmatch(one.release, release or "*") and arch in (None, one.arch)
    ]  # fmt: skip
    meant.sort(key=lambda one: _SPECIAL.search(one.release) is not None)
    if not meant:
        there = ", ".join(f"{one.release} ({one.arch})" for one in kernels[:8]) or "none"
        raise UsageError(
            f"{where} has no such kernel; there are {there}" + (" ..." if kernels[8:] else "")
        )
    return next((one for one in meant if one.for_modules), meant[0])


def look(archive: Archive, cache: Cache, say: Say, arch: str | None = None) -> list[Offered]:
    """What an archive has now, all of it signed; with an architecture, of that one at least.

    Raises Gone for a suite that it has not, LabError otherwise.
    """
    apt = archive.apt(cache, say)
    host = ARCHES["x86_64"].debian  # for kbuild's programs
    wanted = sorted({ARCHES[arch].debian, host}) if arch else []
    apt.update([archive.suite], signed=True, architectures=wanted)
    return offered(list(apt.packages(archive.suite, _NAMES)))


_Index = dict[tuple[str, str], tuple[Package, str]]


def _release(name: str) -> str:
    prefix = max((one for one in _IMAGES if name.startswith(one)), key=len, default="")
    if not prefix or name.endswith(_LEFT_OUT):
        return ""
    release = name.removeprefix(prefix)
    return release if re.match(r"\d+\.\d+.*-", release) else ""


def _parts(release: str, architecture: str, index: _Index) -> Iterator[Package]:
    """The image, what of its release it depends on, and headers with what they depend on."""
    images = [f"{prefix}{release}" for prefix in _IMAGES]
    image = next((name for name in images if _entry(name, architecture, index)), "")
    wanted = [image, *(f"{prefix}{release}" for prefix in (*_OTHERS, *_HEADERS))]
    libc = ""
    seen = set()
    for name in wanted:  # it grows meanwhile
        entry = _entry(name, architecture, index)
        if entry is None or name in seen:
            continue
        seen.add(name)
        yield entry[0]
        wanted += [one for one in _names(entry[1]) if _is_header(one)]
        if _is_header(name):  # Ubuntu's programs are among the headers
            libc = max(libc, needed_libc(entry[1]), key=order)
    if order(libc) > order(HOST_LIBC):
        yield from _libraries(libc, index)


def _is_header(name: str) -> bool:
    """Whether a package is one of those that modules are built with."""
    return name.startswith((*_HEADERS, *_KBUILD)) or bool(_OF_FLAVOUR.fullmatch(name))


def _libraries(libc: str, index: _Index) -> list[Package]:
    """All of them, the C library new enough; else none, and kbuild's programs may not run."""
    found = [
        next((index[name, "amd64"][0] for name in names if (name, "amd64") in index), None)
        for names in _LIBRARIES
    ]
    whole = [one for one in found if one]
    fits = len(whole) == len(_LIBRARIES) and order(whole[0].version) >= order(libc)
    return whole if fits else []


def _entry(name: str, architecture: str, index: _Index) -> tuple[Package, str] | None:
    """kbuild's programs are those that run here, where the archive has them."""
    order_ = ("amd64", architecture) if name.startswith(_KBUILD) else (architecture,)
    return next((index[name, one] for one in (*order_, "all") if (name, one) in index), None)


def _names(depends: str) -> list[str]:
    parts = [part.split() for part in re.split(r"[,|]", depends)]
    return [words[0].partition(":")[0] for words in parts if words]
