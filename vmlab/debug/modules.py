"""Where a kernel has put a module's sections: its relocations, once applied, say it.

A module's record in the kernel (struct module) is a section of the module itself. From its address,
which the kernel's loader hands on, the relocations in it give the addresses of the sections that
they refer to, these the next: no kernel's layout need be known.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Section, SymbolTableSection

from vmlab.errors import LabError
from vmlab.symbols.elf import opened

RECORD = ".gnu.linkonce.this_module"
_ALLOC, _EXECUTE = 2, 4
_PAGE = 4096
_ALIGNED = 32  # bytes; the record begins a cache line (Linux: struct module)
_LONGEST = 8  # bytes that a relocation fills, at most
_ALIKE = 0.9
"""How much of a section's other bytes the kernel leaves as they were built, at least."""

# By machine and relocation type: bytes, whether signed, whether relative to its own place.
_KNOWN = {
    ("EM_X86_64", 1): (8, False, False),
    ("EM_X86_64", 2): (4, True, True),
    ("EM_X86_64", 4): (4, True, True),
    ("EM_X86_64", 10): (4, False, False),
    ("EM_X86_64", 11): (4, True, False),
    ("EM_386", 1): (4, False, False),
    ("EM_386", 2): (4, False, True),
    ("EM_386", 4): (4, False, True),
}

Read = Callable[[int, int], bytes]
"""Memory of the guest: address, size."""


@dataclass(frozen=True)
class Reference:
    """One place that a relocation fills with the address of one of the module's own sections."""

    at: int  # in its section
    to: int  # the other's number
    offset: int  # what is added to the other's address
    size: int
    signed: bool
    relative: bool


class ModuleFile:
    """A module as it was built."""

    def __init__(self, path: Path) -> None:
        """Raises LabError where it is no module."""
        self.path = path
        with opened(path) as elf:
            self._machine = str(elf["e_machine"])
            self._mask = (1 << elf.elfclass) - 1
            sections = list(elf.iter_sections())
            self._names = {n: s.name for n, s in enumerate(sections) if _loaded(s)}
            self._sizes = {n: int(sections[n]["sh_size"]) for n in self._names}
            self._references = self._all(elf, sections)
            self._code = {n: sections[n].data() for n in self._names if _executable(sections[n])}
            self._filled = _filled(sections)
            record = elf.get_section_by_name(RECORD)
            if record is None:
                raise LabError(f"{path} is no kernel module: it has no {RECORD}")
            self._record = self._number(RECORD)
            self._head = record.data()
        self.name = path.stem.replace("-", "_")
        self._named = self._head.find(self.name.encode() + b"\0")

    def is_at(self, record: int, read: Read) -> bool:
        """Whether the kernel's record at this address is this module's, by its name."""
        name = self.name.encode() + b"\0"
        return self._named >= 0 and read(record + self._named, len(name)) == name

    def records(self, places: Iterable[int]) -> Iterator[int]:
        """Where the record may begin, from the places at which the module's name stands."""
        if self._named >= 0:
            yield from (at - self._named for at in places if (at - self._named) % _ALIGNED == 0)

    def in_place(self, record: int, read: Read) -> dict[str, int]:
        """As `sections`, without code that is not there: the record may be a copy, or of a module
        that is gone, and what only initialises is thrown away once it has."""
        found = self.sections(record, read)
        for number in self._code:
            at = found.get(self._names[number])
            if at is not None and not self._is_code(number, at, read):
                del found[self._names[number]]
        code = {self._names[number] for number in self._code}
        return found if code & found.keys() else {}

    def sections(self, record: int, read: Read) -> dict[str, int]:
        """The sections' addresses, from the record's; one that nothing refers to is not there."""
        found = {self._record: record}
        self._go_on(found, [self._record], read)
        memory = read(record, len(self._head))
        for number in self._code.keys() - found.keys():
            for address in _words(memory, self._mask):
                if number not in found and self._is_code(number, address, read):
                    found[number] = address
                    self._go_on(found, [number], read)
        return {self._names[number]: address for number, address in found.items()}

    def _go_on(self, found: dict[int, int], waiting: list[int], read: Read) -> None:
        """Adds all that the waiting sections lead to."""
        while waiting:
            number = waiting.pop()
            for other, address in self._seen_from(number, found[number], read).items():
                if other not in found:
                    found[other] = address
                    waiting.append(other)

    def _is_code(self, number: int, address: int, read: Read) -> bool:
        """Whether the section's code is there, apart from what the kernel fills in or rewrites.

        The record holds where each area of the module begins: code that nothing in the module
        calls is found by these.
        """
        content, filled = self._code[number], self._filled.get(number, set())
        try:
            memory = read(address, len(content))
        except LabError:
            return False
        kept = [at for at in range(len(content)) if at not in filled]
        same = sum(content[at] == memory[at] for at in kept)
        return bool(kept) and same >= _ALIKE * len(kept)

    def _seen_from(self, number: int, address: int, read: Read) -> dict[int, int]:
        """What most of a section's references say: the kernel rewrites a few of them."""
        references = self._references.get(number, [])
        if not references:
            return {}
        try:
            memory = read(address, self._sizes[number])
        except LabError:
            return {}  # what only initialises is thrown away once it has
        votes: dict[int, Counter[int]] = {}
        for one in references:
            value = int.from_bytes(
                memory[one.at : one.at + one.size], "little", signed=one.signed
            ) + (address + one.at if one.relative else 0)
            votes.setdefault(one.to, Counter())[(value - one.offset) & self._mask] += 1
        return {other: counted.most_common(1)[0][0] for other, counted in votes.items()}

    def _number(self, name: str) -> int:
        return next(number for number, known in self._names.items() if known == name)

    def _all(self, elf: ELFFile, sections: list[Section]) -> dict[int, list[Reference]]:
        found: dict[int, list[Reference]] = {}
        for section in sections:
            if isinstance(section, RelocationSection) and section["sh_info"] in self._names:
                symbols = sections[section["sh_link"]]
                content = sections[section["sh_info"]].data()
                made = self._of(section, symbols, content)
                found.setdefault(section["sh_info"], []).extend(made)
        return found

    def _of(
        self, section: RelocationSection, symbols: SymbolTableSection, content: bytes
    ) -> Iterator[Reference]:
        for one in section.iter_relocations():
            how = _KNOWN.get((self._machine, one["r_info_type"]))
            symbol = symbols.get_symbol(one["r_info_sym"])
            to, at = symbol["st_shndx"], one["r_offset"]
            if how is None or to not in self._names:
                continue
            size, signed, relative = how
            if section.is_RELA():
                added = one["r_addend"]
            else:
                added = int.from_bytes(content[at : at + size], "little", signed=True)
            yield Reference(at, to, symbol["st_value"] + added, size, signed, relative)


def _words(memory: bytes, mask: int) -> list[int]:
    """The different words of some memory that can be the address of a page."""
    size = mask.bit_length() // 8
    words = (memory[at : at + size] for at in range(0, len(memory), size))
    values = dict.fromkeys(int.from_bytes(word, "little") for word in words)
    return [value for value in values if value and value % _PAGE == 0]


def _filled(sections: list[Section]) -> dict[int, set[int]]:
    """By section: the bytes that relocations fill."""
    found: dict[int, set[int]] = {}
    for section in sections:
        if isinstance(section, RelocationSection):
            places = found.setdefault(section["sh_info"], set())
            for one in section.iter_relocations():
                begin = one["r_offset"] - 1  # the kernel may replace the instruction's first byte
                places.update(range(begin, begin + _LONGEST + 1))
    return found


def _executable(section: Section) -> bool:
    return _loaded(section) and bool(section["sh_flags"] & _EXECUTE)


def _loaded(section: Section) -> bool:
    return bool(section["sh_flags"] & _ALLOC) and section["sh_size"] > 0
