"""Memory images of guests that died: written while QEMU still holds them, few and not too large."""

import contextlib
import os
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vmlab.errors import LabError
from vmlab.guest.monitor import Monitor
from vmlab.guest.qemu import Boot, Machine

COUNT = 3
"""How many guests of one invocation leave images."""
LARGEST_MIB = 1024
"""The memory of the largest guest that leaves images, MiB."""
WRITE_S = 60.0
"""How long QEMU may take to write one, host seconds."""
ASK_S = 2.0
"""How long QEMU may take to say that it is there at all, host seconds; it takes milliseconds."""
_SPARE = 1 << 30  # bytes that a disk has free after an image


FORMATS = MappingProxyType({"elf": "memory.elf", "kdump": "memory.kdump"})
"""The files by format: elf is for gdb, kdump for crash and drgn."""


@dataclass(frozen=True)
class Image:
    """One file."""

    format: str
    path: Path
    size: int  # bytes on the disk


@dataclass(frozen=True)
class Kept:
    """What is left of a dead guest: images, or why there are none (or not all)."""

    images: tuple[Image, ...] = ()
    why_not: str = ""


class Keeper:
    """Writes the images of one invocation. Safe to use from several threads."""

    def __init__(self, formats: Sequence[str], count: int = COUNT) -> None:
        self.formats = tuple(formats)
        self._count = count
        self._left = count
        self._reserved = 0  # bytes of the disk, for images that are being written
        self._guard = threading.Lock()

    def keep(self, monitor: Monitor, pid: int, boot: Boot) -> Kept:
        """Writes a standing guest's images into its run directory."""
        memory = boot.machine.memory_mib
        if memory > LARGEST_MIB:
            return Kept(
                why_not=f"a guest of {memory} MiB leaves none; {LARGEST_MIB} MiB is the most"
            )
        if reason := _silent(monitor):
            return Kept(why_not=reason)
        size = (memory << 20) * len(self.formats)
        if reason := self._reserve(boot.run.path, size):
            return Kept(why_not=reason)
        written: list[Image] = []
        try:
            for image in _written(self.formats, monitor, pid, boot):
                written.append(image)
        except (LabError, OSError, ValueError, struct.error) as error:  # QEMU wrote it: any bytes
            return Kept(tuple(written), f"writing the images: {error}")
        finally:
            with self._guard:
                self._reserved -= size
        return Kept(tuple(written))

    def _reserve(self, folder: Path, size: int) -> str:
        """Why there will be no image; takes one of those that there may be, and its space, else.

        What of the space is written already counts twice: better one image too few.
        """
        with self._guard:
            needed = self._reserved + size + _SPARE
            free = shutil.disk_usage(folder).free
            if free < needed:
                return f"the disk has {free >> 20} MiB free, and {needed >> 20} MiB would be needed"
            if not self._left:
                return f"{self._count} guests have left theirs before, which is the most"
            self._left -= 1
            self._reserved += size
        return ""


def _silent(monitor: Monitor) -> str:
    """Why QEMU is not asked for an image: one that is stopped would hold us for long."""
    try:
        monitor.command("query-status", {}, ASK_S)
    except LabError as error:
        return f"asking QEMU whether it is there: {error}"
    return ""


def _written(formats: Sequence[str], monitor: Monitor, pid: int, boot: Boot) -> Iterator[Image]:
    """The images, each when it is whole."""
    from vmlab.guest import corefile, kdumpfile  # few runs leave any

    folder, long = boot.run.path.absolute(), boot.machine.arch.name == "x86_64"
    elf, kdump = (folder / FORMATS[name] for name in ("elf", "kdump"))
    with _whole(elf):
        _dump(monitor, pid, elf, {})
        with corefile.Core(elf) as core:
            told = kdumpfile.vmcoreinfo(core) if "kdump" in formats else b""
            elf_class = core.elf_class
        if "elf" in formats:
            corefile.to_virtual(elf, long)
            holes = ["fallocate", "--dig-holes", str(elf)]
            subprocess.run(holes, capture_output=True, check=False)
            yield Image("elf", elf, _size(elf))
        else:
            elf.unlink()
    if "kdump" in formats:
        with _whole(kdump):
            _dump(monitor, pid, kdump, {"format": "kdump-zlib"})
            kdumpfile.finish(kdump, told, elf_class, "x86_64" if long else "i686")
            yield Image("kdump", kdump, _size(kdump))


def write_elf(monitor: Monitor, pid: int, path: Path, machine: Machine) -> None:
    """A standing guest's memory at virtual addresses. Raises LabError, and OSError."""
    from vmlab.guest import corefile

    with _whole(path):
        _dump(monitor, pid, path, {})
        corefile.to_virtual(path, machine.arch.name == "x86_64")


def _dump(monitor: Monitor, pid: int, path: Path, how: Mapping[str, object]) -> None:
    """QEMU may be another user's (see confine), who reaches no directory of ours: it is lent a
    file, and what it wrote is copied, for it could still write into that one."""
    told = {"paging": False, **how}
    user = os.stat(f"/proc/{pid}").st_uid
    if user == os.geteuid():
        monitor.command("dump-guest-memory", {**told, "protocol": f"file:{path}"}, WRITE_S)
        path.chmod(0o644)
        return
    with tempfile.TemporaryDirectory(prefix="vmlab-") as folder:
        os.chmod(folder, 0o711)
        lent = Path(folder) / path.name
        lent.touch(0o600)
        os.chown(lent, user, user)
        monitor.command("dump-guest-memory", {**told, "protocol": f"file:{lent}"}, WRITE_S)
        shutil.copyfile(lent, path)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """A file that is not made whole in the block does not stay."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _size(path: Path) -> int:
    return path.stat().st_blocks * 512
