"""An ELF file with nothing but a kernel's symbols, for gdb (System V ABI, chapter 4)."""

import bisect
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vmlab.arch import Arch
from vmlab.debug.kallsyms import Symbol

_EXEC, _ABSOLUTE = 2, 0xFFF1
_PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 1, 2, 3, 8
_ALLOC_EXECUTE = 6
_OBJECT, _FUNCTION = 1, 2
_GLOBAL = 1 << 4
_TEXT = (("_stext", "_etext"), ("_sinittext", "_einittext"))  # where code begins and ends


@dataclass(frozen=True)
class _Class:
    """How one ELF class writes its records."""

    ident: bytes
    machine: int
    header: struct.Struct
    section: struct.Struct
    symbol: struct.Struct
    alignment: int

    def packed(self, name: int, info: int, index: int, value: int, size: int) -> bytes:
        if self.symbol.size == 16:
            return self.symbol.pack(name, value, size, info, 0, index)
        return self.symbol.pack(name, info, 0, index, value, size)


_CLASSES = {
    "i386": _Class(
        b"\x7fELF\1\1\1", 3, struct.Struct("<16sHHIIIIIHHHHHH"),
        struct.Struct("<10I"), struct.Struct("<IIIBBH"), 4,
    ),
    "x86_64": _Class(
        b"\x7fELF\2\1\1", 62, struct.Struct("<16sHHIQQQIHHHHHH"),
        struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), 8,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One section of the file; one without content only covers addresses."""

    name: str
    kind: int
    flags: int = 0
    address: int = 0
    size: int = 0
    link: int = 0
    info: int = 0
    entry: int = 0
    content: bytes = b""


def covered(symbols: Iterable[Symbol]) -> list[Section]:
    """The sections of code, from the names at their ends."""
    known = {symbol.name: symbol.address for symbol in symbols}
    return [
        Section(
            f".text{at or ''}", _NOBITS, _ALLOC_EXECUTE, known[begin], known[end] - known[begin]
        )
        for at, (begin, end) in enumerate(_TEXT)
        if begin in known and known.get(end, 0) > known[begin]
    ]


def elf(arch: Arch, symbols: Sequence[Symbol], frames: bytes = b"") -> bytes:
    """The file's bytes. Code has the size up to the next symbol; data stands by its address.

    `frames` is DWARF's `.debug_frame`.
    """
    kind = _CLASSES[arch.name]
    texts = covered(symbols)
    names, table = bytearray(b"\0"), [kind.packed(0, 0, 0, 0, 0)]
    starts = sorted({symbol.address for symbol in symbols})
    for symbol in sorted(symbols, key=lambda one: one.kind.isupper()):  # local ones come first
        table.append(_record(kind, symbol, len(names), texts, starts))
        names += symbol.name.encode() + b"\0"
    local = 1 + sum(not symbol.kind.isupper() for symbol in symbols)
    at = len(texts) + 1
    return _file(kind, [
        *texts,
        Section(".symtab", _SYMTAB, link=at + 1, info=local, entry=kind.symbol.size,
                content=b"".join(table)),
        Section(".strtab", _STRTAB, content=bytes(names)),
        *([Section(".debug_frame", _PROGBITS, content=frames)] if frames else []),
    ])  # fmt: skip


def _record(
    kind: _Class, symbol: Symbol, name: int, texts: Sequence[Section], starts: Sequence[int]
) -> bytes:
    index, size = _ABSOLUTE, 0
    for number, text in enumerate(texts, start=1):
        end = text.address + text.size
        if symbol.code and text.address <= symbol.address < end:
            following = bisect.bisect_right(starts, symbol.address)
            index = number
            size = min(end, starts[following] if following < len(starts) else end) - symbol.address
    info = (_FUNCTION if symbol.code else _OBJECT) | (_GLOBAL if symbol.kind.isupper() else 0)
    return kind.packed(name, info, index, symbol.address, size)


def _file(kind: _Class, sections: Sequence[Section]) -> bytes:
    """The sections behind the header, then their table with the table of their names."""
    names = bytearray(b"\0")
    every = [*sections, Section(".shstrtab", _STRTAB)]
    places = []
    for section in every:
        places.append(len(names))
        names += section.name.encode() + b"\0"
    every[-1] = Section(".shstrtab", _STRTAB, content=bytes(names))
    body, rows = bytearray(), [kind.section.pack(*[0] * 10)]
    for name, section in zip(places, every, strict=True):
        body += b"\0" * (-len(body) % kind.alignment)
        rows.append(kind.section.pack(
            name, section.kind, section.flags, section.address, kind.header.size + len(body),
            section.size or len(section.content), section.link, section.info,
            kind.alignment if section.content else 1, section.entry,
        ))  # fmt: skip
        body += section.content
    body += b"\0" * (-len(body) % kind.alignment)
    header = kind.header.pack(
        kind.ident, _EXEC, kind.machine, 1, 0, 0, kind.header.size + len(body), 0,
        kind.header.size, 0, 0, kind.section.size, len(rows), len(rows) - 1,
    )  # fmt: skip
    return header + bytes(body) + b"".join(rows)
