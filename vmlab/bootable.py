"""Whether a kernel and an image are what a machine can boot, before it is begun."""

import hashlib
from pathlib import Path

from vmlab.arch import Arch

NOTED = "blake2b"
"""How an image's content is noted beside it; part of an image's name."""
# Fields of the setup header: Documentation/arch/x86/boot.rst ("Details of Header Fields").
_MAGIC = 0x202, b"HdrS"
_PROTOCOL = 0x206
_PROTOCOL_OF_2_6_31 = 0x20A
_LOAD_FLAGS = 0x236
_FOR_64_BITS = 1  # XLF_KERNEL_64; not known of files older than 3.8


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
        if arch.name == "i386" and _for_64_bits(kernel):
            return f"{kernel} is for x86_64, and the machine is {arch.name}"
        if _noted(image).exists() and _noted(image).read_text() != content(image):
            return (
                f"the image {image} is not as it was made; take its directory away, and the next "
                "run makes it anew"
            )
    except OSError:
        pass  # who boots it says so
    return None


def resets_at_once(kernel: Path) -> bool:
    """Whether a kernel takes panic=-1 for a reset at once; ones before 3.0 take it for none.

    By the protocol of its setup header, which was raised last in 2.6.31 before that; what is older
    than 3.0 all the same is told by the agent.
    """
    try:
        with kernel.open("rb") as file:
            head = file.read(_PROTOCOL + 2)
    except OSError:
        return True
    at, magic = _MAGIC
    if head[at : at + len(magic)] != magic:
        return True
    return int.from_bytes(head[_PROTOCOL:], "little") >= _PROTOCOL_OF_2_6_31


def _for_64_bits(kernel: Path) -> bool:
    with kernel.open("rb") as file:
        head = file.read(_LOAD_FLAGS + 2)
    at, magic = _MAGIC
    flags = int.from_bytes(head[_LOAD_FLAGS:], "little")
    return head[at : at + len(magic)] == magic and bool(flags & _FOR_64_BITS)


def _noted(image: Path) -> Path:
    return image.with_name(f"{image.name}.{NOTED}")
