"""How to go up the stack of an x86_64 kernel, which keeps no frame pointers, told to gdb.

The kernel's own tables for it (ORC: Documentation/arch/x86/orc-unwinder.rst, asm/orc_types.h) are
in its memory; gdb reads the same from DWARF's call frame information (DWARF 5, 6.4).
"""

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PLACE = struct.Struct("<i")
ENTRY = struct.Struct("<hhH")  # offset of the stack, of the frame; registers and type
_ROWS = 64  # in one description; each row says all, so that it may begin anywhere


@dataclass(frozen=True)
class Numbers:
    """ORC's numbers of an era."""

    stack: int  # of the stack pointer, by which far most stacks are found
    bases: Mapping[int, int]  # of the registers that a stack is found by, in DWARF's numbers
    saved: int  # the frame's register is on the stack


# After 6.12, and before 7.2, they were given anew.
ERAS = (
    Numbers(5, {2: 1, 3: 5, 4: 6, 5: 7, 6: 10, 7: 13}, 1),
    Numbers(3, {1: 0, 2: 1, 3: 7, 4: 6, 5: 5, 6: 10, 7: 13}, 8),
)
_BP, _SP, _RETURN = 6, 7, 16
_WORD = 8
_CALL, _REGISTERS, _PARTLY = range(3)  # what the stack was left by: relative to the most usual
_PT_REGS = {_BP: 4, _RETURN: 16, _SP: 19}  # words from the beginning of struct pt_regs
_IRET = {_RETURN: 0, _SP: 3}

TABLES = ("__start_orc_unwind_ip", "__stop_orc_unwind_ip", "__start_orc_unwind")
"""The symbols at which the tables begin and end."""


@dataclass(frozen=True)
class Row:
    """What holds from an address on: the caller's stack pointer is `base` + `offset`."""

    address: int
    base: int | None  # DWARF's number of a register; None where the stack ends, or is unknown
    offset: int = 0
    saved: tuple[tuple[int, int], ...] = ()  # registers, and the word from there that holds each
    interrupted: bool = False  # the caller did not call: its address is where it was


def rows(start: int, places: bytes, entries: bytes) -> list[Row]:
    """The kernel's tables, the first of which begins at address `start`."""
    raw = list(ENTRY.iter_unpack(entries[: len(places) // PLACE.size * ENTRY.size]))
    types = Counter(bits >> 8 & 7 for _, _, bits in raw)
    usual = types.most_common(1)[0][0] if types else 0  # the numbers of the types have changed
    bases = Counter(bits & 15 for _, _, bits in raw)
    numbers = max(ERAS, key=lambda one: bases[one.stack])
    return [
        _row(start + PLACE.size * at + place, entry, usual, numbers)
        for at, ((place,), entry) in enumerate(
            zip(PLACE.iter_unpack(places), raw, strict=True)
        )
    ]  # fmt: skip


def _row(address: int, entry: tuple[int, int, int], usual: int, numbers: Numbers) -> Row:
    offset, frame, bits = entry
    base, kind = numbers.bases.get(bits & 15), (bits >> 8 & 7) - usual
    if base is None or offset < 0:
        return Row(address, None)
    if kind == _CALL:
        kept = ((_BP, frame // _WORD),) if bits >> 4 & 15 == numbers.saved else ()
        return Row(address, base, offset, ((_RETURN, -1), *kept))
    if kind in (_REGISTERS, _PARTLY):
        words = _PT_REGS if kind == _REGISTERS else _IRET
        return Row(address, base, offset, tuple(words.items()), interrupted=True)
    return Row(address, None)


def debug_frame(table: list[Row]) -> bytes:
    """DWARF's section `.debug_frame` for these rows, which are in the order of their addresses."""
    words = _unsigned(1) + _signed(_WORD) + bytes([_RETURN])
    at_call = _base(_SP, _WORD) + _saved(_RETURN, -1)  # a function that has just been called
    common = _entry(0xFFFFFFFF, b"\x01\0" + words + at_call)
    out = bytearray(common + _entry(0xFFFFFFFF, b"\x01zS\0" + words + b"\0" + at_call))
    for begin, end in _chunks(table):
        first = table[begin]
        body = struct.pack("<QQ", first.address, table[end].address - first.address)
        body += b"\0" * first.interrupted + b"".join(_told(table[begin:end]))
        out += _entry(len(common) if first.interrupted else 0, body)
    return bytes(out)


def _chunks(table: list[Row]) -> Iterator[tuple[int, int]]:
    """The rows of each description, and the one that ends it; the last row ends the last."""
    begin = 0
    for at in range(1, len(table)):
        changed = table[at].interrupted != table[begin].interrupted
        if at + 1 == len(table) or changed or at - begin == _ROWS:
            yield begin, at
            begin = at


def _told(chunk: list[Row]) -> Iterator[bytes]:
    """The instructions of some rows."""
    address = chunk[0].address
    for row in chunk:
        if row.address != address:
            yield b"\x04" + struct.pack("<I", row.address - address)
            address = row.address
        yield _rules(row)


def _rules(row: Row) -> bytes:
    if row.base is None:
        return _base(_SP, 0) + b"\x07" + _unsigned(_RETURN)  # there is no caller
    saved = dict(row.saved)
    out = _base(row.base, row.offset)
    for register in (_RETURN, _SP, _BP):  # every row sets all three
        if register in saved:
            out += _saved(register, saved[register])
        else:
            out += bytes([0xC0 | register])  # as the common part says
    return out


def _base(register: int, offset: int) -> bytes:
    return b"\x0c" + _unsigned(register) + _unsigned(offset)


def _saved(register: int, word: int) -> bytes:
    return b"\x11" + _unsigned(register) + _signed(word)


def _entry(kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % _WORD)
    return struct.pack("<II", len(body) + 4, kind) + body


def _unsigned(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _signed(value: int) -> bytes:
    """Signed LEB128."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value & 0x7F])
