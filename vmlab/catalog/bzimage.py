"""What a bzImage's header says of itself (Linux: Documentation/x86/boot.rst)."""

import struct
from pathlib import Path

from vmlab.errors import UsageError

_MAGIC = b"HdrS"
_MAGIC_AT = 0x202
_VERSION_AT = 0x20E  # 16 bits: where the version's text stands, less 0x200
_HEADER = 0x210
_LONGEST = 256  # bytes of a version's text


def release(image: Path) -> str:
    """The release, as `uname -r` prints it. Raises UsageError where it is no bzImage."""
    with image.open("rb") as file:
        head = file.read(_HEADER)
        if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
            raise UsageError(
                f"{image} is no bzImage: it lacks the header's mark at 0x202; take "
                "arch/x86/boot/bzImage (up to 2.6.23 arch/i386/boot/bzImage), not vmlinux"
            )
        file.seek(struct.unpack_from("<H", head, _VERSION_AT)[0] + 0x200)
        text = file.read(_LONGEST).partition(b"\0")[0].decode(errors="replace")
    words = text.split()
    if not words or not words[0][0].isdigit():
        raise UsageError(f"{image}: its header names no release but {text!r}; is it whole?")
    return words[0]
