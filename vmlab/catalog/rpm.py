"""Unpacks .rpm files: their payload is a cpio archive behind two headers. No rpm is needed."""

import bz2
import gzip
import lzma
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.errors import LabError

_LEAD = 96  # bytes; what it says is not looked at
_MAGIC = b"\x8e\xad\xe8"
_NEWC = (b"070701", b"070702")
_TRAILER = "TRAILER!!!"
_TYPE = 0o170000
_KINDS = {0o100000: "file", 0o120000: "link", 0o040000: "directory"}


def _zstd(data: bytes) -> bytes:
    try:
        command = ["zstd", "-dcq"]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise LabError("unpacking an rpm: zstd was not found; install the package zstd") from error
    except subprocess.CalledProcessError as error:
        raise ValueError(error.stderr.decode(errors="replace").strip()) from error


# By the bytes that a compressed payload begins with.
_UNPACKERS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress),
    (b"\xfd7zXZ", lzma.decompress),
    (b"\x5d\x00\x00", lzma.decompress),
    (b"BZh", bz2.decompress),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"0707", bytes),
)


@dataclass(frozen=True)
class _Entry:
    name: str
    mode: int
    content: bytes
    inode: int
    links: int  # how many names the file has


def unpack(file: Path, directory: Path) -> None:
    """Files, directories and links; nothing outside the directory. Raises LabError."""
    try:
        for one in _whole(_entries(_payload(file.read_bytes()))):
            _place(one, directory)
    except (ValueError, struct.error, EOFError, OSError, lzma.LZMAError) as error:
        raise LabError(f"unpacking {file.name}: {error or 'it is cut'}") from error


def _payload(data: bytes) -> bytes:
    at = _LEAD
    at = _header(data, at)
    at = _header(data, at + -at % 8)  # the signature's header is padded
    for magic, unpacked in _UNPACKERS:
        if data[at:].startswith(magic):
            return unpacked(data[at:])
    raise ValueError(f"its payload begins with {data[at : at + 4].hex()}, which is not known")


def _header(data: bytes, at: int) -> int:
    """Where a header ends: its index has entries of 16 bytes, then comes their data."""
    if data[at : at + 3] != _MAGIC:
        raise ValueError("it is no rpm")
    count, size = struct.unpack(">II", data[at + 8 : at + 16])
    return at + 16 + 16 * int(count) + int(size)


def _entries(data: bytes) -> Iterator[_Entry]:
    at = 0
    while data[at : at + 6] in _NEWC and len(data) >= at + 110:
        numbers = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        inode, mode, links, size, length = (numbers[n] for n in (0, 1, 4, 6, 11))
        begin = at + 110 + length
        begin += -begin % 4
        name = data[at + 110 : at + 110 + length - 1].decode()
        if name == _TRAILER:
            return
        if begin + size > len(data):
            break
        yield _Entry(name, mode, data[begin : begin + size], inode, links)
        at = begin + size + -(begin + size) % 4
    raise ValueError("its archive ends too early")


def _whole(entries: Iterable[_Entry]) -> Iterator[_Entry]:
    """Of the names of one file only the last has its content; here each has it."""
    linked: dict[int, list[_Entry]] = {}
    for one in entries:
        if one.links > 1 and _KINDS.get(one.mode & _TYPE) == "file":
            linked.setdefault(one.inode, []).append(one)
        else:
            yield one
    for names in linked.values():
        yield from (replace(one, content=names[-1].content) for one in names)


def _place(one: _Entry, directory: Path) -> None:
    parts = [part for part in one.name.split("/") if part not in ("", ".")]
    target = directory.joinpath(*parts)
    if ".." in parts or not target.parent.resolve().is_relative_to(directory.resolve()):
        raise ValueError(f"{one.name} leads out of it")
    kind = _KINDS.get(one.mode & _TYPE)
    if kind == "directory":
        target.mkdir(parents=True, exist_ok=True)
        return
    if kind is None or not parts:
        return  # devices and pipes are of no use here
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        target.unlink() if not target.is_dir() or target.is_symlink() else shutil.rmtree(target)
    if kind == "link":
        target.symlink_to(one.content.decode())
    else:
        target.write_bytes(one.content)
        target.chmod(0o644 | one.mode & 0o111)
