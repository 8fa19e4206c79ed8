"""Debian's kernel sources: packages linux-source-VERSION, each a tar file with patches in."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from debian.debian_support import Version

from vmlab.catalog.apt import Apt
from vmlab.catalog.find import CHANNELS, nearest_first
from vmlab.catalog.records import Package, Unavailable
from vmlab.errors import LabError

KIND = "linux-sources"
_NAME = "linux-source-"


def pinned(packages: Sequence[Package], wanted: str) -> Package | None:
    """The pinned one of a series, "6.1", or of a version, "6.1.176-1"."""
    ours = [one for one in packages if one.name.startswith(_NAME)]
    return next((one for one in ours if wanted in (series(one), one.version)), None)


def series(package: Package) -> str:
    return package.name.removeprefix(_NAME)


def find(apt: Apt, wanted: str) -> list[Package]:
    """What the archive has of a series or version, best first: by suite, then the newest.

    Raises Unavailable, with what there is, where it has none.
    """
    suites = _suites(wanted)
    apt.update(suites)
    found = [one for suite in suites for one in _in_suite(apt, suite)]
    fitting = [one for one in found if wanted in (series(one), one.version)]
    if not fitting:
        there = ", ".join(dict.fromkeys(f"{series(one)} ({one.version})" for one in found))
        raise Unavailable(f"Debian has no kernel source {wanted!r}; there are {there or 'none'}")
    return fitting


def near(apt: Apt, package: Package) -> list[Package]:
    """Other versions of the same series, the nearest first."""
    found = [one for one in find(apt, series(package)) if one.sha256 != package.sha256]
    return nearest_first(package.version, found, lambda one: one.version)


def unpack(file: Path, directory: Path) -> None:
    """The tree, into the directory itself. Raises LabError with what dpkg-deb or tar said."""
    outer = ["dpkg-deb", "--fsys-tarfile", str(file)]
    member = ["tar", "-xO", "--wildcards", "./usr/src/linux-source-*.tar.xz"]
    inner = ["tar", "-xJ", "--strip-components=1", "--no-same-owner", "-C", str(directory)]
    with (
        subprocess.Popen(outer, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as first,
        subprocess.Popen(member, stdin=first.stdout, stdout=subprocess.PIPE) as second,
    ):
        done = subprocess.run(inner, stdin=second.stdout, stderr=subprocess.PIPE, check=False)
        for one in (first, second):
            if one.stdout:
                one.stdout.close()
    if done.returncode or not (directory / "Kconfig").is_file():
        said = done.stderr.decode(errors="replace").strip()
        raise LabError(f"unpacking {file.name}: {said or 'it holds no kernel source'}")


def _suites(wanted: str) -> list[str]:
    """Those of the series that it may be of; all of them for a series that is not known."""
    of_series = [one for one in CHANNELS if f"{wanted}.".startswith(f"{one.series}.")]
    return list(dict.fromkeys(suite for one in of_series or CHANNELS for suite in one.suites))


def _in_suite(apt: Apt, suite: str) -> list[Package]:
    found = apt.packages(suite, re.compile(rf"{_NAME}\d+\.\d+"))
    once = {one.sha256: one for one, _ in found}
    return sorted(once.values(), key=lambda one: Version(one.version), reverse=True)
