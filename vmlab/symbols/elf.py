"""Where the functions of an ELF file are, and which file holds its debug information."""

import bisect
import contextlib
import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection, Section

from vmlab.errors import LabError

_EXECUTE = 4
_LINK, _BUILD_ID = ".gnu_debuglink", ".note.gnu.build-id"
# By the size of an entry (System V ABI, chapter 4): its layout, and where in it are name, value,
# size, info and section.
_ENTRIES = {16: ("IIIBBH", (0, 1, 2, 3, 5)), 24: ("IBBHQQ", (0, 4, 5, 1, 3))}
_CALL = 0xE8  # with 4 bytes of displacement
_INDIRECT, _INDIRECT_SIZES = 0xFF, (2, 3, 4, 6, 7)  # group 5; /2 is a call
_LABEL = b".L"  # the compiler's own; a kernel leaves them out (scripts/kallsyms.c)
_NOT_CODE = {1, 3, 4, 6}  # types of symbols: object, section, file, thread-local


@dataclass(frozen=True)
class Function:
    """One symbol in code: its section's name and where in that (in a file that is not linked) or
    its address, with the sizes in bytes that a kernel may give for it.

    A kernel counts up to the next symbol; `size` is the file's own. A last one of its section
    reaches as far as what stands behind it in memory (`open`).
    """

    section: str
    number: int  # the section's
    begin: int
    size: int
    reach: int
    open: bool

    def has_size(self, size: int) -> bool:
        return size in (self.size, self.reach) or (self.open and size >= self.reach)


class Functions:
    """The symbols in an ELF file's code, by name."""

    def __init__(self, path: Path) -> None:
        """Raises LabError where the file is no ELF file, or has no symbols."""
        self.path = path
        with opened(path) as elf:
            self.linked = elf["e_type"] != "ET_REL"
            sections = list(elf.iter_sections())
            table = elf.get_section_by_name(".symtab")
            if table is None:
                raise LabError(f"{path} has no symbols: it is stripped")
            code = {n: one for n, one in enumerate(sections) if one["sh_flags"] & _EXECUTE}
            self._names = sections[table["sh_link"]].data()
            self._code = code
            self._entries: dict[bytes, list[tuple[int, int, int]]] = {}
            self._begins: dict[int, list[int]] = {}
            self._read(table, elf.little_endian)

    def named(self, name: str) -> list[Function]:
        """All of that name; several where sources have functions of one name."""
        found = self._entries.get(name.encode(), [])
        return [self._function(*entry) for entry in found]

    def after_call(self, function: Function, offset: int) -> bool | None:
        """Whether a call ends at an offset, as a return address has it; None where the code is not
        in the file."""
        section = self._code[function.number]
        if section["sh_type"] == "SHT_NOBITS":
            return None
        at = function.begin + offset - (section["sh_addr"] if self.linked else 0)
        if at < 0:
            return False
        with self.path.open("rb") as file:
            before = min(at, max(_INDIRECT_SIZES))
            file.seek(section["sh_offset"] + at - before)
            return is_call(file.read(before))

    def _read(self, table: Section, little: bool) -> None:
        layout, places = _ENTRIES[table["sh_entsize"]]
        entry = struct.Struct(("<" if little else ">") + layout)
        names = self._names
        for fields in entry.iter_unpack(table.data()):
            name, value, size, info, section = (fields[place] for place in places)
            if section in self._code and info & 15 not in _NOT_CODE:
                text = names[name : names.index(b"\0", name)]
                if not text.startswith(_LABEL):
                    self._begins.setdefault(section, []).append(value)
                    self._entries.setdefault(text, []).append((section, value, size))
        self._begins = {number: sorted(set(all)) for number, all in self._begins.items()}

    def _function(self, number: int, value: int, size: int) -> Function:
        section, begins = self._code[number], self._begins[number]
        end = section["sh_size"] + (section["sh_addr"] if self.linked else 0)
        place = bisect.bisect_right(begins, value)
        last = place == len(begins)
        reach = (end if last else begins[place]) - value
        return Function(section.name, number, value, size, reach, last)


def is_call(code: bytes) -> bool:
    """Whether x86 code ends in a call, by what its last bytes would be."""
    if len(code) >= 5 and code[-5] == _CALL:
        return True
    return any(
        len(code) >= size and code[-size] == _INDIRECT and code[1 - size] >> 3 & 7 == 2
        for size in _INDIRECT_SIZES
    )


def debug_file(path: Path, roots: Iterable[Path] = ()) -> Path:
    """The file with a file's debug information: itself, or one that was split off.

    That is looked for under the roots (`/usr/lib/debug` and its like) by build id, then by name
    beside the file, in `.debug` beside it and under the roots. Raises LabError where there is none.
    """
    with opened(path) as elf:
        if elf.get_section_by_name(".debug_info") or elf.get_section_by_name(".zdebug_info"):
            return path
        places = list(_places(elf, path, list(roots)))
    for place in places:
        if place.is_file() and place.resolve() != path.resolve():
            return place
    raise LabError(f"{path} has no debug information, and no file of it was found")


def build_id(elf: ELFFile) -> str | None:
    """The build id in hexadecimal digits, None without one."""
    section = elf.get_section_by_name(_BUILD_ID)
    if not isinstance(section, NoteSection):
        return None
    notes = (note for note in section.iter_notes() if note["n_type"] == "NT_GNU_BUILD_ID")
    return next((str(note["n_desc"]) for note in notes), None)


def _places(elf: ELFFile, path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    if identity := build_id(elf):
        for root in roots:
            yield root / ".build-id" / identity[:2] / f"{identity[2:]}.debug"
    link = elf.get_section_by_name(_LINK)
    if link is not None:
        name = Path(link.data().partition(b"\0")[0].decode(errors="replace")).name
        beside = (path.parent, path.parent / ".debug")
        under = (root / path.parent.absolute().relative_to("/") for root in roots)
        yield from (folder / name for folder in itertools.chain(beside, under))


@contextlib.contextmanager
def opened(path: Path) -> Iterator[ELFFile]:
    """An ELF file for as long as it is read; what is none, or a spoilt one, is a LabError."""
    try:
        with path.open("rb") as file:
            yield ELFFile(file)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise LabError(f"reading {path}: {said}") from error
    except (ELFError, ConstructError, struct.error, ValueError, LookupError) as error:
        raise LabError(f"{path} is no ELF file, or not a whole one: {error}") from error
