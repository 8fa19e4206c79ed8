"""How to go up the stack of an i386 kernel with frame pointers, told to gdb.

gdb's own guess ends at code in assembler and where an exception came in. What is told here is read
from each function's first instructions, and known of the kernel's entry (Linux:
arch/x86/entry/entry_32.S, struct pt_regs). DWARF 5, 6.4.
"""

import struct
from collections.abc import Iterator, Sequence

from vmlab.debug.kallsyms import Symbol

ENTRIES = frozenset({"handle_exception", "common_exception", "handle_exception_return"})
"""What calls the handlers of exceptions: their stack begins with all registers."""
LONGEST = 1 << 20  # bytes of a function
_MARGIN = 40  # bytes of a function that are looked at
_ESP, _EBP, _EIP = 4, 5, 8
_EBP_SAVED = bytes([0x80 | _EBP, 2])
_PT_REGS = {_EBP: 5, _EIP: 12, _ESP: 15}  # words from the beginning
_PUSH, _MOVE = b"\x55", b"\x89\xe5"  # push %ebp; mov %esp,%ebp, with others in between
_TRACED = 5  # bytes of a call for tracers, or of what stands in its place, that may come before


def debug_frame(code: Sequence[tuple[int, bytes]], symbols: Sequence[Symbol]) -> bytes:
    """The section `.debug_frame`; `code` is the kernel's, with addresses. Empty where no function
    keeps a frame pointer."""
    # At a call: the caller's stack pointer is 4 above, and below it is where to return to.
    words = b"\x01\x7c" + bytes([_EIP])
    at_call = _base(_ESP, 4) + bytes([0x80 | _EIP, 1])
    common = _packed(0xFFFFFFFF, b"\x01\0" + words + at_call)
    # What called an entry did not call: its address is not one to return to, but where it was.
    interrupted = _packed(0xFFFFFFFF, b"\x01zS\0" + words + b"\0" + at_call)
    found = [
        entry
        for begin, content in code
        for names, at, end in _functions(symbols, begin, begin + len(content))
        if (
            entry := _entry_rules(at, end, len(common))
            if names & ENTRIES
            else _rules(names, at, end, content[at - begin : at - begin + _MARGIN])
        )
    ]
    return common + interrupted + b"".join(found) if found else b""


def _functions(
    symbols: Sequence[Symbol], begin: int, end: int
) -> Iterator[tuple[frozenset[str], int, int]]:
    """Their names (one may have several), where they begin, where the next does."""
    names: dict[int, set[str]] = {}
    for symbol in symbols:
        if begin <= symbol.address < end:
            names.setdefault(symbol.address, set()).add(symbol.name)
    starts = sorted(names)
    for at, following in zip(starts, [*starts[1:], end], strict=True):
        yield frozenset(names[at]), at, min(following, at + LONGEST)


def _entry_rules(begin: int, end: int, common: int) -> bytes:
    """Of a function whose stack begins with all registers; `common` is where its common part is."""
    rules = b"\0" + _base(_ESP, 0) + b"".join(_saved(*one) for one in _PT_REGS.items())
    return _packed(common, struct.pack("<II", begin, end - begin) + rules)


def _rules(names: frozenset[str], begin: int, end: int, first: bytes) -> bytes:
    """What is told of one function, nothing where it keeps no frame pointer."""
    if any(".cold" in name for name in names):
        # The rest of another function, with its frame. (GCC: -freorder-blocks-and-partition)
        return _packed(0, struct.pack("<II", begin, end - begin) + _base(_EBP, 8) + _EBP_SAVED)
    for at in (0, _TRACED):
        moved = first.find(_MOVE, at)
        if first.startswith(_PUSH, at) and moved > at:
            rules = bytes([0x40 | at + 1]) + _base(_ESP, 8) + _EBP_SAVED
            rules += bytes([0x40 | moved + len(_MOVE) - at - 1, 0x0D, _EBP])
            return _packed(0, struct.pack("<II", begin, end - begin) + rules)
    return b""


def _base(register: int, offset: int) -> bytes:
    return bytes([0x0C, register, offset])


def _saved(register: int, word: int) -> bytes:
    """In so many words from the base on; counted in steps of -4."""
    return bytes([0x11, register, -word & 0x7F])


def _packed(kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<II", len(body) + 4, kind) + body
