"""A kernel out of its distribution's packages, laid out as a folder that a user would bring."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.catalog import foreign, headers, rpm, unpack
from vmlab.errors import UsageError

SUFFIXES = (".deb", ".rpm")
RECIPE = f"{headers.MENDING} {foreign.WRAPPING}"  # of what `unpacked` makes of packages
BOX = "box"
# Where distributions put an image, %s being its release.
_IMAGES = ("boot/vmlinuz-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz")
_BESIDE = {
    "config": ("boot/config-%s", "lib/modules/%s/config", "usr/lib/modules/%s/config"),
    "System.map": (
        "boot/System.map-%s",
        "lib/modules/%s/System.map",
        "usr/lib/modules/%s/System.map",
    ),
    # Debian's and Ubuntu's, Fedora's and Red Hat's; Debian's of 2005.
    "build": ("usr/src/linux-headers-%s", "usr/src/kernels/%s", "usr/src/kernel-headers-%s"),
    "modules": ("lib/modules/%s", "usr/lib/modules/%s"),
}


@dataclass(frozen=True)
class Found:
    """A kernel in unpacked packages."""

    release: str
    image: Path
    parts: dict[str, Path]


def files(folder: Path) -> list[Path]:
    """The packages in a folder, in order; none where it is a kernel's own."""
    found = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    return [path for path in found if path.is_file()]


def unpacked(packages: Sequence[Path], directory: Path) -> None:
    """All of them into one directory. Raises LabError for one that is none."""
    for one in packages:
        (unpack.package if one.suffix == ".deb" else rpm.unpack)(one, directory)
    headers.mend(directory)
    foreign.wrap_programs(directory)


def kernels(root: Path) -> list[Found]:
    """The kernels that unpacked packages hold, by release."""
    images = {_release(path): path for pattern in _IMAGES for path in sorted(root.glob(pattern))}
    return [Found(release, images[release], _parts(root, release)) for release in sorted(images)]


def chosen(found: Sequence[Found], where: str, release: str | None) -> Found:
    """The kernel that is meant. Raises UsageError where it is none or not told."""
    names = ", ".join(one.release for one in found)
    if not found:
        raise UsageError(
            f"{where}: the packages hold no kernel's image (boot/vmlinuz-*); the image's package "
            "is needed, and that of its headers"
        )
    meant = [one for one in found if fnmatch.fnmatch(one.release, release or "*")]
    if len(meant) != 1:
        raise UsageError(f"{where} holds the kernels {names}; name one of them with --release")
    return meant[0]


def lay_out(root: Path, found: Found) -> Path:
    """The folder that `brought.look` takes, of links into the unpacked packages."""
    box = root / BOX
    box.mkdir(exist_ok=True)
    for name, path in {"bzImage": found.image, **found.parts}.items():
        if not (box / name).is_symlink():
            (box / name).symlink_to(path)
    return box


def _release(image: Path) -> str:
    if image.name == "vmlinuz":
        return image.parent.name
    return image.name.removeprefix("vmlinuz-")


def _parts(root: Path, release: str) -> dict[str, Path]:
    parts = {}
    for name, places in _BESIDE.items():
        there = [root / (place % release) for place in places]
        if found := next((path for path in there if path.exists()), None):
            parts[name] = found.absolute()
    return parts


def order(version: str) -> tuple[tuple[int, int, str], ...]:
    """For comparing releases and versions, numbers by their value."""
    words = re.findall(r"\d+|[^\d]+", version)
    return tuple((1, int(word), "") if word.isdigit() else (0, 0, word) for word in words)
