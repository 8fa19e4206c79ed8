"""What a bzImage's header says of itself (Linux: Documentation/x86/boot.rst)."""

from pathlib import Path

from vmlab import bootable
from vmlab.errors import UsageError


def release(image: Path) -> str:
    """The release, as `uname -r` prints it. Raises UsageError where it is no bzImage."""
    text = bootable.release(image)
    if text is None:
        raise UsageError(
            f"{image} is no bzImage: it lacks the header's mark at 0x202; take "
            "arch/x86/boot/bzImage (up to 2.6.23 arch/i386/boot/bzImage), not vmlinux"
        )
    if short := bootable.lacking(image):
        raise UsageError(
            f"{image} is not whole: it is {short} bytes shorter than its header says; copy it again"
        )
    words = text.split()
    if not words or not words[0][0].isdigit():
        raise UsageError(f"{image}: its header names no release but {text!r}; is it whole?")
    return words[0]
