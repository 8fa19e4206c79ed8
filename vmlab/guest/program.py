"""What goes into a guest: the program's archive and the initramfs with the agent."""

import io
import tarfile
from collections.abc import Mapping, Sequence


def archive(steps: Sequence[str], files: Mapping[str, bytes]) -> bytes:
    """The program as an uncompressed ustar archive; equal inputs give equal bytes.

    Raises ValueError for a step of more than one line, or a file name that the agent cannot place.
    """
    for step in steps:
        if "\n" in step or not step.strip():
            raise ValueError(f"step {step!r} is not one line of text")
    members = {"steps": "".join(f"{step}\n" for step in steps).encode(), **files}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(members.items()):
            if "/" in name or not name or len(name.encode()) > 99:
                raise ValueError(f"file name {name!r} is not a plain name of 1 to 99 bytes")
            about = tarfile.TarInfo(name)
            about.size = len(content)
            about.mode = 0o755
            tar.addfile(about, io.BytesIO(content))
    return out.getvalue()


def initramfs(init: bytes) -> bytes:
    """A newc cpio archive that holds `init` and nothing else (initramfs buffer format,
    Documentation/driver-api/early-userspace/buffer-format.rst)."""
    return _member("init", 0o100755, init) + _member("TRAILER!!!", 0, b"")


def _member(name: str, mode: int, content: bytes) -> bytes:
    fields = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name.encode() + b"\0") + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
