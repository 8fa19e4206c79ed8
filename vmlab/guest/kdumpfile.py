"""A memory image in the kdump format, as crash and drgn want it.

QEMU writes one as makedumpfile does into a pipe: a list of pieces with their places, which readers
are slow with. And it does not know what the kernel tells of itself (vmcoreinfo: its release, where
it was put, the layout of what a debugger begins with), without which a reader gives up.
(makedumpfile: IMPLEMENTATION; QEMU: dump/dump.c, struct KdumpSubHeader32 and 64; Linux:
Documentation/admin-guide/kdump/vmcoreinfo.rst.)
"""

import struct
from pathlib import Path
from typing import BinaryIO

from vmlab.errors import LabError
from vmlab.guest.corefile import Core

_SIGNATURE = b"makedumpfile\0"
_PIECE = struct.Struct(">qq")  # where it belongs, its size; both -1 at the end
_HEAD = 4096  # bytes before the first piece
_BLOCK = 4096
# In the second block: where vmcoreinfo is and its size, where the notes are and their size.
_TOLD = {2: (32, struct.Struct("<QQQQ")), 1: (20, struct.Struct("<QIQI"))}
_NOTE = struct.Struct("<III")  # of a note: the lengths of name and content, its kind
_NAME = b"VMCOREINFO\0"
# In the first block: what uname(2) gives, in fields of one size; none may be empty.
_UNAME_AT, _FIELD = 12, 65
_FIRST = b"OSRELEASE="
_LONGEST = 16384  # bytes of vmcoreinfo; a kernel has one page for it, the newest two


def vmcoreinfo(core: Core) -> bytes:
    """What the kernel in an image tells of itself; empty where it does not."""
    found = b""
    for at in core.places(_FIRST):
        try:
            text = core.read(at, _BLOCK - at % _BLOCK).partition(b"\0")[0]
        except LabError:
            continue
        if b"SYMBOL(" in text and len(text) > len(found):
            found = text[:_LONGEST]
    return found


def finish(path: Path, told: bytes, elf_class: int, machine: str) -> None:
    """Puts the pieces in their places and adds vmcoreinfo, in the layout of an ELF class (1, 2).

    `machine` is uname's word for the architecture. Raises LabError where the pieces are not there.
    """
    made = path.with_name(path.name + ".whole")
    try:
        with path.open("rb") as pieces, made.open("w+b") as whole:
            _put(pieces, whole)
            _name(whole, told, machine)
            if told:
                _tell(whole, told, *_TOLD[elf_class])
        made.rename(path)
    finally:
        made.unlink(missing_ok=True)


def _put(pieces: BinaryIO, whole: BinaryIO) -> None:
    if pieces.read(_HEAD)[: len(_SIGNATURE)] != _SIGNATURE:
        raise LabError("QEMU has written no kdump file of pieces")
    while True:
        head = pieces.read(_PIECE.size)
        if len(head) < _PIECE.size:
            raise LabError("the kdump file is cut short")
        at, size = _PIECE.unpack(head)
        if at < 0:
            return
        content = pieces.read(size)
        if len(content) < size:
            raise LabError("the kdump file is cut short")
        whole.seek(at)
        whole.write(content)


def _name(whole: BinaryIO, told: bytes, machine: str) -> None:
    release = told.partition(b"\n")[0].removeprefix(_FIRST)
    none = b"(none)"
    fields = (b"Linux", none, release or none, none, machine.encode(), none)
    for number, text in enumerate(fields):
        whole.seek(_UNAME_AT + number * _FIELD)
        whole.write(text[: _FIELD - 1])


def _tell(whole: BinaryIO, told: bytes, at: int, layout: struct.Struct) -> None:
    """Behind all: the notes once more, and vmcoreinfo as one of them."""
    whole.seek(_BLOCK + at)
    _, _, notes_at, notes_size = layout.unpack(whole.read(layout.size))
    whole.seek(notes_at)
    notes = _padded(whole.read(notes_size))
    head = _NOTE.pack(len(_NAME), len(told), 0) + _padded(_NAME)
    end = whole.seek(0, 2)
    whole.write(notes + head + _padded(told))
    size = whole.tell() - end
    whole.seek(_BLOCK + at)
    whole.write(layout.pack(end + len(notes) + len(head), len(told), end, size))


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
