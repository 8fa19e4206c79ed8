"""A Debian root as an initramfs: what mmdebstrap gives, made into one that is the same each time.

It is held in memory whole, so that it needs no driver, reads at one instruction each time, and is
in the snapshot.
"""

import fnmatch
import posixpath
import re
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vmlab.arch import Arch
from vmlab.images import cpio

START = "etc/vmlab/start"
"""What the agent runs before a snapshot is made."""
SPARE_MIB = 128
"""A guest's memory besides three times its image: packed, unpacked, and as much left free."""
STEP_MIB = 64
_HOOKS = "/usr/share/mmdebstrap/hooks"
_STATUS = "var/lib/dpkg/status"
_FIELD = re.compile(r"^(Package|Version): (.+)$", re.MULTILINE)
_FILE_MODE = stat.S_IFREG | 0o644
_SCRIPT_MODE = stat.S_IFREG | 0o755


@dataclass(frozen=True)
class Recipe:
    """What a debian.yaml says; `text` is all of it, for the image's name."""

    text: str
    suite: str
    variant: str
    packages: tuple[str, ...]
    leave_out: tuple[str, ...]  # paths and patterns; a directory goes with all that is in it
    directories: tuple[str, ...]
    devices: tuple[tuple[str, int, int], ...]
    files: tuple[tuple[str, str], ...]  # in the place of a package's own
    udev: str


def default_recipe() -> Path:
    """The recipe that travels with the lab."""
    return Path(__file__).with_name("debian.yaml")


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe; the file is the lab's own, so what is missing raises KeyError."""
    text = path.read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return Recipe(
        text,
        content["suite"],
        content["variant"],
        tuple(content["packages"]),
        tuple(content["leave_out"]),
        tuple(content["directories"]),
        tuple((name, major, minor) for name, major, minor in content["devices"]),
        tuple(content["files"].items()),
        content["udev"],
    )


def command(
    recipe: Recipe, arch: Arch, packages: Sequence[str], source: str, options: Sequence[str]
) -> list[str]:
    """mmdebstrap's command, which writes a tar archive to its output.

    `source` is a line of apt's sources; `options` are lines of apt's configuration.
    """
    return [
        "mmdebstrap", f"--variant={recipe.variant}", "--format=tar",
        f"--architectures={arch.debian}", "--skip=check/qemu",  # the host runs both
        f"--include={','.join(sorted({*recipe.packages, *packages}))}",
        *(f"--aptopt={line}" for line in ('APT::Install-Recommends "false"', *options)),
        "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
        f"--hook-dir={_HOOKS}/merged-usr", recipe.suite, "-", source,
    ]  # fmt: skip


def body(recipe: Recipe, archive: Path) -> Iterator[bytes]:
    """The root as a cpio archive without its end, sorted by path, from mmdebstrap's tar."""
    with tarfile.open(archive) as tar:
        found = {posixpath.normpath(one.name): one for one in tar}
        for path in sorted(found):
            if path != "." and not left_out(recipe, path):
                yield cpio.packed(_member(path, found[path], tar))


def installed(archive: Path) -> str:
    """The packages in a root, one a line with its version, from dpkg's own record."""
    with tarfile.open(archive) as tar:
        status = next(one for one in tar if one.name.lstrip("./") == _STATUS)
        file = tar.extractfile(status)
        text = file.read().decode() if file else ""
    fields = [dict(_FIELD.findall(stanza)) for stanza in text.split("\n\n") if stanza.strip()]
    return "".join(f"{one['Package']} {one['Version']}\n" for one in fields)


def left_out(recipe: Recipe, path: str) -> bool:
    """Whether a path, or a directory that it is in, is one that the recipe leaves out."""
    parts = path.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(fnmatch.fnmatchcase(one, out) for out in recipe.leave_out for one in above)


def end(recipe: Recipe, agent: bytes, udev: bool) -> bytes:
    """What stands behind a body: the agent, and what the recipe adds, to the archive's end."""
    start = [cpio.Member(START, _SCRIPT_MODE, recipe.udev.encode())] if udev else []
    return cpio.archive(
        [
            *(cpio.directory(path) for path in recipe.directories),
            *(cpio.char_device(path, major, minor) for path, major, minor in recipe.devices),
            *(cpio.Member(path, _FILE_MODE, text.encode()) for path, text in recipe.files),
            *start,
            cpio.executable("init", agent),
        ]
    )


def memory_mib(size: int) -> int:
    """The memory of a guest whose image has so many bytes."""
    wanted = SPARE_MIB + 3 * (size >> 20)
    return -(-wanted // STEP_MIB) * STEP_MIB


_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG, tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.LNKTYPE: stat.S_IFLNK, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}  # fmt: skip


def _member(path: str, about: tarfile.TarInfo, tar: tarfile.TarFile) -> cpio.Member:
    """One member of the tar archive; a hard link becomes a symbolic one."""
    content = b""
    if about.issym():
        content = about.linkname.encode()
    elif about.islnk():
        content = b"/" + posixpath.normpath(about.linkname).encode()
    elif about.isreg() and (file := tar.extractfile(about)):
        content = file.read()
    device = (about.devmajor, about.devminor) if about.isdev() else (0, 0)
    mode = _TYPES[about.type] | (about.mode & 0o7777)
    return cpio.Member(path, mode, content, device, (about.uid, about.gid))
