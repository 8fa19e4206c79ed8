"""A memory image in ELF: at virtual addresses, as gdb reads it.

QEMU writes one at physical addresses, which is as large as the guest's memory and not larger. What
is mapped where is found in the guest's page tables, by us and with an end: QEMU, which can do that
too, follows whatever a guest has made of them, and a healthy x86_64 one maps a single page 65,536
times (Linux: Documentation/x86, "%esp fixup stacks").
(System V ABI, chapter 5; Intel SDM, volume 3, chapter 4; QEMU: target/i386/arch_dump.c.)
"""

import bisect
import itertools
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.errors import LabError

_LOAD, _NOTE = 1, 4
_MOST = 60_000  # segments; the header counts to 65,535
_TABLES = 20_000  # page tables that are looked at
_PAGE = 4096
_PRESENT, _LARGE = 1, 1 << 7
_PAGING, _EXTENDED, _FIVE_LEVELS = 1 << 31, 1 << 5, 1 << 12  # in CR0, CR4, CR4
_PAGE_FAULT = 14  # in the table of interrupts
_IDT_AT = 384  # of that table's address in QEMU's note
_REGISTERS_AT = 392  # of CR0 to CR4, eight bytes each, in QEMU's note
_ESPFIX = range(0xFFFFFF00_00000000, 0xFFFFFF80_00000000)


@dataclass(frozen=True)
class Segment:
    """A part of the file, and where it is in memory."""

    kind: int
    offset: int
    address: int
    physical: int
    size: int


@dataclass(frozen=True)
class _Layout:
    """How one ELF class writes: offsets in the header, and a segment's record."""

    table_at: int
    word: str
    count_at: int
    record: struct.Struct

    def unpacked(self, raw: bytes) -> Segment:
        fields = self.record.unpack(raw)
        if self.word == "<I":
            kind, offset, address, physical, size = fields[:5]
        else:
            kind, _, offset, address, physical, size = fields[:6]
        return Segment(kind, offset, address, physical, size)

    def packed(self, one: Segment) -> bytes:
        place = (one.offset, one.address, one.physical, one.size)
        if self.word == "<I":
            return self.record.pack(one.kind, *place, one.size, 7, 0)
        return self.record.pack(one.kind, 7, *place, one.size, 0)


_LAYOUTS = {
    1: _Layout(28, "<I", 44, struct.Struct("<8I")),
    2: _Layout(32, "<Q", 56, struct.Struct("<IIQQQQQQ")),
}


@dataclass(frozen=True)
class _Level:
    """One level of page tables: which bits of an address it takes, and an entry's size."""

    shift: int
    bits: int
    entry: int
    large: bool  # whether an entry may map memory of its own


def _levels(long: bool, cr4: int) -> list[_Level]:
    if long:
        tops = (48, 39) if cr4 & _FIVE_LEVELS else (39,)
        return [
            *(_Level(shift, 9, 8, False) for shift in tops),
            *(_Level(shift, 9, 8, shift > 12) for shift in (30, 21, 12)),
        ]
    if cr4 & _EXTENDED:
        return [_Level(30, 2, 8, False), _Level(21, 9, 8, True), _Level(12, 9, 8, False)]
    return [_Level(22, 10, 4, True), _Level(12, 10, 4, False)]


class Core:
    """A file's memory, for as long as it is open."""

    def __init__(self, path: Path) -> None:
        """Raises LabError where it is no ELF file."""
        with path.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        head = self._memory[:64]
        if head[:4] != b"\x7fELF" or len(head) < 64 or head[4] not in _LAYOUTS:
            raise LabError(f"{path} is no ELF file")
        self.elf_class = head[4]
        self.layout = _LAYOUTS[self.elf_class]
        (at,) = struct.unpack_from(self.layout.word, head, self.layout.table_at)
        (count,) = struct.unpack_from("<H", head, self.layout.count_at)
        size = self.layout.record.size
        raws = (self._memory[at + n * size : at + (n + 1) * size] for n in range(count))
        segments = [self.layout.unpacked(raw) for raw in raws]
        self.notes = [one for one in segments if one.kind == _NOTE]
        self.loads = sorted(
            (one for one in segments if one.kind == _LOAD and one.size), key=lambda one: one.address
        )
        self._starts = [one.address for one in self.loads]

    def __enter__(self) -> "Core":
        return self

    def __exit__(self, *error: object) -> None:
        self._memory.close()

    def read(self, address: int, size: int) -> bytes:
        """Memory at an address. Raises LabError where not all of it is there."""
        found = bytearray()
        while len(found) < size:
            at = address + len(found)
            number = bisect.bisect_right(self._starts, at) - 1
            segment = self.loads[number] if number >= 0 else None
            if segment is None or at >= segment.address + segment.size:
                raise LabError(f"the memory image has nothing at {at:#x}")
            begin = segment.offset + at - segment.address
            left = min(segment.address + segment.size - at, size - len(found))
            block = self._memory[begin : begin + left]
            if len(block) < left:
                raise LabError("the memory image is cut short")
            found += block
        return bytes(found)

    def places(self, text: bytes) -> Iterator[int]:
        """The addresses at which these bytes stand, each as often as it is mapped."""
        at = self._memory.find(text)
        while at >= 0:
            for one in self.loads:
                if one.offset <= at < one.offset + one.size:
                    yield one.address + at - one.offset
            at = self._memory.find(text, at + 1)

    def control(self) -> tuple[int, int, int]:
        """CR0, CR3 and CR4 of the first processor. Raises LabError where QEMU's note is missing."""
        cr0, _, _, cr3, cr4 = struct.unpack("<5Q", self._state(_REGISTERS_AT, 40))
        return cr0, cr3, cr4

    def page_fault_handler(self, long: bool) -> int:
        """The address of what the first processor calls at a page fault. Raises LabError."""
        (table,) = struct.unpack("<Q", self._state(_IDT_AT, 8))
        size = 16 if long else 8
        gate = self.read(table + _PAGE_FAULT * size, size)
        return int.from_bytes(gate[:2] + gate[6 : 12 if long else 8], "little")

    def _state(self, begin: int, length: int) -> bytes:
        """A part of what QEMU's note says of the first processor."""
        for note in self.notes:
            at, end = note.offset, note.offset + note.size
            while at + 12 <= end:
                name, size, _ = struct.unpack("<III", self._memory[at : at + 12])
                said = at + 12 + (name + 3 & ~3)
                if self._memory[at + 12 : at + 16] == b"QEMU":
                    return self._memory[said + begin : said + begin + length]
                at = said + (size + 3 & ~3)
        raise LabError("the memory image has no note of QEMU's")


def to_virtual(path: Path, long: bool) -> None:
    """Makes an image at physical addresses one at virtual addresses, in its place.

    `long` says whether the processor is a 64-bit one. Raises LabError where it is no image.
    """
    with Core(path) as core:
        cr0, cr3, cr4 = core.control()
        if not cr0 & _PAGING:
            return
        mapped = _segments(core, _pages(core, _levels(long, cr4), cr3))
        content = b"".join(core.layout.packed(one) for one in (*core.notes, *mapped))
        layout = core.layout
    with path.open("r+b") as file:
        at = file.seek(0, 2)
        file.write(content)
        file.seek(layout.table_at)
        file.write(struct.pack(layout.word, at))
        file.seek(layout.count_at)
        file.write(struct.pack("<H", len(content) // layout.record.size))


def _pages(core: Core, levels: Sequence[_Level], cr3: int) -> Iterator[tuple[int, int, int]]:
    """Address, physical address and size of all that is mapped; the kernel's half comes first."""
    looked = itertools.count()
    width = levels[0].shift + levels[0].bits
    sign = 1 << width - 1 if width > 32 else 0

    def below(table: int, depth: int, base: int) -> Iterator[tuple[int, int, int]]:
        level = levels[depth]
        length = level.entry << level.bits
        if next(looked) >= _TABLES:
            return
        try:
            content = core.read(table, length)
        except LabError:
            return
        for number, (entry,) in reversed(
            list(enumerate(struct.iter_unpack("<Q" if level.entry == 8 else "<I", content)))
        ):
            address = base | number << level.shift
            if not entry & _PRESENT or _canonical(address, sign) in _ESPFIX:
                continue
            size = 1 << level.shift
            where = entry & 0x000F_FFFF_FFFF_F000
            if depth + 1 == len(levels) or (level.large and entry & _LARGE):
                yield _canonical(address, sign), where & ~(size - 1), size
            else:
                yield from below(where, depth + 1, address)

    mask = ~31 if levels[0].bits == 2 else ~(_PAGE - 1)
    yield from below(cr3 & mask & 0x000F_FFFF_FFFF_FFFF, 0, 0)


def _canonical(address: int, sign: int) -> int:
    return address | (-sign << 1) & (1 << 64) - 1 if address & sign else address


def _segments(core: Core, pages: Iterator[tuple[int, int, int]]) -> list[Segment]:
    """What of it is in the file, neighbours together."""
    found: list[Segment] = []
    for address, physical, size in pages:
        for part in _in_file(core, address, physical, size):
            last = found[-1] if found else None
            if last and (
                part.address + part.size == last.address
                and part.offset + part.size == last.offset
                and part.physical + part.size == last.physical
            ):
                found[-1] = Segment(
                    _LOAD, part.offset, part.address, part.physical, part.size + last.size
                )
            else:
                found.append(part)
            if len(found) >= _MOST:
                return found
    return found


def _in_file(core: Core, address: int, physical: int, size: int) -> Iterator[Segment]:
    """The parts of a mapping that are RAM, the last first."""
    for one in reversed(core.loads):
        begin, end = max(physical, one.physical), min(physical + size, one.physical + one.size)
        if begin < end:
            offset = one.offset + begin - one.physical
            yield Segment(_LOAD, offset, address + begin - physical, begin, end - begin)
