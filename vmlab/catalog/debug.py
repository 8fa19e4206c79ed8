"""A kernel with debug information, from Debian's debug packages; fetched only where asked for."""

import re
from pathlib import Path

from vmlab.cache import Cache
from vmlab.catalog import unpack
from vmlab.catalog.apt import Apt
from vmlab.catalog.records import Kernel, Package, Unavailable
from vmlab.errors import LabError

KIND = "debug"


def key(kernel: Kernel) -> str:
    """Its name in the cache: of the very image that it tells about."""
    return f"{kernel.id}-{kernel.image[0].sha256[:12]}"


def name(kernel: Kernel) -> str:
    """The package's name."""
    return f"linux-image-{kernel.id}-dbg"


def cached(cache: Cache, kernel: Kernel) -> Path | None:
    """The kernel's vmlinux if it was fetched before."""
    found = cache.find(KIND, key(kernel))
    return found / "vmlinux" if found else None


def find(apt: Apt, kernel: Kernel) -> Package:
    """The package of the kernel's very version. Raises Unavailable where the archive has none."""
    wanted = name(kernel)
    apt.update([kernel.suite])
    versions = []
    for package, _ in apt.packages(kernel.suite, re.compile(re.escape(wanted))):
        versions.append(package.version)
        if (package.architecture, package.version) == (kernel.arch.debian, kernel.version):
            return package
    has = f"it has {', '.join(versions)}" if versions else "it has none of that name"
    raise Unavailable(f"{wanted} {kernel.version}: {kernel.suite} lacks it; {has}")


def extract(kernel: Kernel, file: Path, directory: Path) -> None:
    """Takes vmlinux out of the package's file; what it has for modules is several times as large.

    Raises LabError where there is none in it.
    """
    wanted = re.compile(rf"usr/lib/debug/(?:.*/)?vmlinux(?:-{re.escape(kernel.id)})?")
    if not unpack.member(file, wanted, directory / "vmlinux"):
        raise LabError(f"{file.name} holds no vmlinux of {kernel.id}")
