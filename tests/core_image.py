"""Memory images as QEMU writes them, made up: few pages, with page tables in them."""

import struct

PAGE = 4096
PRESENT, LARGE = 1, 1 << 7


def physical(memory: bytes, cr0: int, cr3: int, cr4: int, long: bool = True) -> bytes:
    """An ELF image of `memory` at physical address 0, with QEMU's note of the registers."""
    state = bytes(392) + struct.pack("<5Q", cr0, 0, 0, cr3, cr4) + bytes(8)
    note = struct.pack("<III", 5, len(state), 0) + b"QEMU\0\0\0\0" + state
    header, record = (64, 56) if long else (52, 32)
    at = header + 2 * record
    rows = [(4, at, 0, 0, len(note)), (1, at + len(note), 0, 0, len(memory))]
    if long:
        head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)  # fmt: skip  # noqa: E501
        table = b"".join(struct.pack("<IIQQQQQQ", k, 0, o, v, p, s, s, 0) for k, o, v, p, s in rows)
    else:
        head = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 4, 3, 1, 0, 52, 0, 0, 52, 32, 2, 0, 0, 0)  # fmt: skip  # noqa: E501
        table = b"".join(struct.pack("<8I", k, o, v, p, s, s, 0, 0) for k, o, v, p, s in rows)
    return head + table + note + memory


def flattened(content: bytes) -> bytes:
    """A file in makedumpfile's list of pieces, the last piece first."""
    half = len(content) // 2
    pieces = [(half, content[half:]), (0, content[:half])]
    told = b"".join(struct.pack(">qq", at, len(text)) + text for at, text in pieces)
    return b"makedumpfile".ljust(4096, b"\0") + told + struct.pack(">qq", -1, -1)


class Tables:
    """Memory in which page tables are written."""

    def __init__(self, pages: int, entry: int) -> None:
        self.memory = bytearray(pages * PAGE)
        self.entry = entry

    def put(self, table: int, number: int, to: int, flags: int = PRESENT) -> None:
        """Entry `number` of the table in page `table` leads to physical address `to`."""
        kind = "<Q" if self.entry == 8 else "<I"
        struct.pack_into(kind, self.memory, table * PAGE + number * self.entry, to | flags)
