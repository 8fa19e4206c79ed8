"""Whether a kernel and an image are what a machine can boot, before it is begun."""

import hashlib
import os
import re
from pathlib import Path

from vmlab.arch import Arch

NOTED = "blake2b"
"""How an image's content is noted beside it; part of an image's name."""
# Fields of the setup header: Documentation/arch/x86/boot.rst ("Details of Header Fields").
_MAGIC = 0x202, b"HdrS"
_VERSION = 0x20E  # where the version's text stands, from _SETUP on
_SETUP = 0x200
_LONGEST = 256  # bytes of that text
_SETUP_SECTORS = 0x1F1  # of 512 bytes, without the first; 0 means 4
_SYSTEM_SIZE = 0x1F4  # of what follows them, in 16 bytes (before 2.04 its upper half is 0)
_LOAD_FLAGS = 0x236
_FOR_64_BITS = 1  # XLF_KERNEL_64; not known of files older than 3.8


_NEW = (99,)
_RESETS_AT_ONCE = (3, 0)  # before it a negative time is for ever, and no time is one


def note(image: Path) -> None:
    """Notes what an image that was just made holds."""
    _noted(image).write_text(content(image))


def content(image: Path) -> str:
    """The hash of what a file holds."""
    with image.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def problem(kernel: Path, image: Path, arch: Arch) -> str | None:
    """Why these cannot be booted on such a machine; None where nothing speaks against it.

    A kernel of another architecture says so on the screen alone, and stands still; one whose image
    is damaged panics, or comes up with half of it.
    """
    try:
        if arch.name == "i386" and for_64_bits(kernel):
            return f"{kernel} is for x86_64, and the machine is {arch.name}"
        if _noted(image).exists() and _noted(image).read_text() != content(image):
            return (
                f"the image {image} is not as it was made; take its directory away, and the next "
                "run makes it anew"
            )
    except OSError:
        pass  # who boots it says so
    return None


def release(kernel: Path) -> str | None:
    """The text of the release in a bzImage's header, empty where it names none; None without one.

    Raises OSError where it cannot be read.
    """
    at, magic = _MAGIC
    with kernel.open("rb") as file:
        head = file.read(_VERSION + 2)
        if head[at : at + len(magic)] != magic:
            return None
        file.seek(int.from_bytes(head[_VERSION:], "little") + _SETUP)
        return file.read(_LONGEST).partition(b"\0")[0].decode(errors="replace")


def lacking(kernel: Path) -> int:
    """How many bytes a bzImage's file is short of what its header says; 0 where it is whole, or
    the header does not say it.

    Raises OSError where it cannot be read.
    """
    with kernel.open("rb") as file:
        head = file.read(_VERSION)
        size = file.seek(0, os.SEEK_END)
    system = 16 * int.from_bytes(head[_SYSTEM_SIZE : _SYSTEM_SIZE + 4], "little")
    whole = 512 * (1 + (head[_SETUP_SECTORS] or 4)) + system
    return whole - size if system and size + 16 <= whole else 0


def panic_word(kernel: Path) -> str:
    """The kernel's `panic=` that resets it soonest after a panic. (Linux: kernel/panic.c.)"""
    return "-1" if number(kernel) >= _RESETS_AT_ONCE else "1"


def last_words(kernel: Path) -> bytes:
    """What a kernel that does not reset at once prints last before it does; else empty.

    The second that it waits is a loop that reads the time stamp counter, which is slow on the
    virtual clock: 10 to 20 s of the host's time on 2.6.9, minutes on 2.6.32.
    """
    return b"" if number(kernel) >= _RESETS_AT_ONCE else b"Rebooting in 1 seconds.."


def finds_anew(kernel: Path) -> bool:
    """Whether a kernel can be told to look for its PCI devices again (/sys/bus/pci/rescan)."""
    return number(kernel) >= (2, 6, 30)


def number(kernel: Path) -> tuple[int, ...]:
    """The numbers of a kernel's release, by its header; one that names none is taken for new."""
    try:
        found = re.match(r"\d+(?:\.\d+)*", release(kernel) or "")
    except OSError:
        return _NEW  # who boots it says so
    return tuple(int(part) for part in found[0].split(".")) if found else _NEW


def for_64_bits(kernel: Path) -> bool:
    """Whether a bzImage says that it is of x86_64; older ones than 3.8 do not say it.

    Raises OSError where it cannot be read.
    """
    with kernel.open("rb") as file:
        head = file.read(_LOAD_FLAGS + 2)
    at, magic = _MAGIC
    flags = int.from_bytes(head[_LOAD_FLAGS:], "little")
    return head[at : at + len(magic)] == magic and bool(flags & _FOR_64_BITS)


def _noted(image: Path) -> Path:
    return image.with_name(f"{image.name}.{NOTED}")
