"""The parts of a run under gdb, without a guest."""

import base64
import gzip
import io
import socket
import struct
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from vmlab.arch import ARCHES
from vmlab.debug import frames, gdb, kallsyms, orc, symbols, trace
from vmlab.debug.rsp import Stub, StubError
from vmlab.debug.stop import place
from vmlab.errors import LabError, UsageError
from vmlab.guest import qemu, snapshot
from vmlab.guest.results import StepResult


class FakeStub:
    """Answers each packet as a table says; what has no answer closes the connection."""

    def __init__(self, path: Path, answers: dict[str, str | list[str] | None]) -> None:
        self.heard: list[str] = []
        self.answers = answers
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(str(path))
        self.listening.listen(1)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        connection, _ = self.listening.accept()
        with connection, connection.makefile("rb") as file:
            while packet := self.packet(file):
                self.heard.append(packet)
                answer = self.answers.get(packet)
                if answer is None:
                    return
                for one in [answer] if isinstance(answer, str) else answer:
                    if one != "silence":
                        data = one.encode()
                        connection.sendall(b"+$" + data + b"#%02x" % (sum(data) % 256))

    @staticmethod
    def packet(file) -> str:
        while (byte := file.read(1)) and byte != b"$":
            pass
        data = b""
        while (byte := file.read(1)) and byte != b"#":
            data += byte
        if data:
            assert int(file.read(2), 16) == sum(data) % 256
        return data.decode()


def stub(path: Path, answers, within_s: float = 10.0) -> tuple[FakeStub, Stub]:
    fake = FakeStub(path / "gdb", answers)
    return fake, Stub(path / "gdb", lambda: True, time.monotonic() + within_s)


def test_the_stub_is_spoken_to_in_packets(tmp_path):
    fake, client = stub(
        tmp_path,
        {
            "Z0,c01000,1": "OK", "z0,c01000,1": "OK", "c": "T05thread:01;", "s": "T05thread:01;",
            "g": "0100000002000000ff000000", "m10,4": "deadbeef",
        },
    )  # fmt: skip
    with client:
        client.stop_at(0xC01000)
        assert client.go_on()
        assert client.register(2, 4) == 0xFF
        assert client.read(0x10, 4) == bytes.fromhex("deadbeef")
        client.step_over(0xC01000)
        assert fake.heard[-3:] == ["z0,c01000,1", "s", "Z0,c01000,1"]


def test_more_memory_than_a_packet_holds_is_read_in_parts(tmp_path):
    _, client = stub(tmp_path, {"m0,800": "00" * 2048, "m800,10": "11" * 16})
    assert client.read(0, 2064) == bytes(2048) + b"\x11" * 16


@pytest.mark.parametrize("answer", [None, "W00"])
def test_a_guest_that_ends_is_no_stop(tmp_path, answer):
    _, client = stub(tmp_path, {"c": answer})
    assert client.go_on() is False


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("E22", "refused 'm10,4': E22"),
        ("", "refused 'm10,4': unknown to it"),
        (None, "the guest ended before"),
        ("silence", "did not answer in time"),
    ],
)
def test_what_the_stub_does_not_do_is_told(tmp_path, answer, said):
    _, client = stub(tmp_path, {"m10,4": answer}, 0.3)
    with pytest.raises(StubError, match=said):
        client.read(0x10, 4)


def asked(command: str) -> str:
    return "qRcmd," + command.encode().hex()


def test_qemu_tells_where_in_the_tape_a_guest_is_and_stops_it_there(tmp_path):
    head = "O" + b"Replaying execution 't': instr".hex()
    tail = "O" + b"uction count = 4711\r\n".hex()
    past = "O" + b"cannot set breakpoint at the instruction in the past\n".hex()
    fake, client = stub(
        tmp_path,
        {
            asked("info replay"): [head, tail, "OK"],
            asked("replay_break 4712"): "OK",
            asked("replay_break 3"): [past, "OK"],
        },
    )  # fmt: skip
    with client:
        assert client.count() == 4711
        client.stop_after(4712)
        with pytest.raises(StubError, match=r"after 3 instructions: cannot set .* in the past"):
            client.stop_after(3)
        assert len(fake.heard) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [("", "refused 'info replay': unknown"), ("OK", "does not tell where"), (["O20"], "did not")],
)
def test_a_qemu_that_does_not_tell_it_is_told(tmp_path, answer, said):
    _, client = stub(tmp_path, {asked("info replay"): answer}, 0.3)
    with pytest.raises(StubError, match=said):
        client.count()


def test_a_stub_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StubError, match="did not listen"):
        Stub(tmp_path / "gdb", lambda: True, time.monotonic() + 0.1)
    with pytest.raises(StubError, match="did not listen"):
        Stub(tmp_path / "gdb", lambda: False, time.monotonic() + 60)


def test_only_the_kernels_own_symbols_are_taken_by_address():
    found = kallsyms.parsed(
        "ffffffff81000010 T second\nffffffff81000000 t first\nffffffffc0000000 t other\t[other]\n"
    )
    assert [(one.name, one.kind, one.address) for one in found] == [
        ("first", "t", 0xFFFFFFFF81000000), ("second", "T", 0xFFFFFFFF81000010),
    ]  # fmt: skip
    with pytest.raises(LabError, match="hides the addresses"):
        kallsyms.parsed("0000000000000000 T first\n")


def said(output: str) -> StepResult:
    return StepResult("run", "", "passed", 0, 1.0, 0, output, (0, 0), {})


def test_symbols_that_come_in_parts_are_joined():
    text = "c1000000 T _stext\n" * 100
    coded = gzip.compress(text.encode())
    parts = [said(""), *(said(base64.b64encode(part).decode()) for part in (coded[:9], coded[9:]))]
    assert kallsyms.joined([*parts, said("")]) == text
    with pytest.raises(LabError, match="came cut short"):
        kallsyms.joined(parts[:2])


SYMBOLS = [
    kallsyms.Symbol(name, kind, 0xC1000000 + offset)
    for name, kind, offset in [
        ("_stext", "T", 0), ("first", "t", 0), ("second", "T", 0x10), ("_etext", "T", 0x40),
        ("_sinittext", "T", 0x100), ("start_kernel", "T", 0x100), ("_einittext", "T", 0x130),
        ("jiffies", "D", 0x200),
    ]
]  # fmt: skip


@pytest.mark.parametrize("arch", ARCHES.values(), ids=str)
def test_the_symbols_file_is_elf(arch, tmp_path):
    made = symbols.elf(arch, SYMBOLS)
    elf = ELFFile(io.BytesIO(made))
    assert elf["e_machine"] == {"i386": "EM_386", "x86_64": "EM_X86_64"}[arch.name]
    table = elf.get_section_by_name(".symtab")
    found = {one.name: one for one in table.iter_symbols() if one.name}
    assert {name: one["st_size"] for name, one in found.items()} == {
        "first": 0x10, "_stext": 0x10, "second": 0x30, "_etext": 0, "start_kernel": 0x30,
        "_sinittext": 0x30, "_einittext": 0, "jiffies": 0,
    }  # fmt: skip
    assert found["second"]["st_info"]["type"] == "STT_FUNC"
    assert found["jiffies"]["st_shndx"] == "SHN_ABS"
    section = elf.get_section(found["start_kernel"]["st_shndx"])
    assert (section.name, section["sh_addr"], section["sh_size"]) == (".text1", 0xC1000100, 0x30)
    local = [one["st_info"]["bind"] for one in table.iter_symbols()]
    assert local == ["STB_LOCAL"] * table["sh_info"] + ["STB_GLOBAL"] * 7
    (tmp_path / "kernel").write_bytes(made)
    done = subprocess.run(["nm", str(tmp_path / "kernel")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def orc_tables(start: int, told: list[tuple[int, int, int, int]]) -> tuple[bytes, bytes]:
    """Places and entries: address, stack's offset, frame's offset, bits."""
    places = b"".join(
        struct.pack("<i", address - (start + 4 * at)) for at, (address, *_) in enumerate(told)
    )
    return places, b"".join(struct.pack("<hhH", *rest) for _, *rest in told)


CALL = 2 << 8  # as kernels number it since 6.4


@pytest.mark.parametrize(
    ("renumbered", "sp", "saved", "di"),
    [(0, 5, 1, 3), (CALL, 5, 1, 3), (CALL, 3, 8, 5)],
    ids=["before 6.4", "6.4", "7.2"],
)
def test_orc_becomes_call_frame_information(renumbered, sp, saved, di):
    code = 0xFFFFFFFF81000000
    told = [
        (code, 8, 0, sp),
        (code + 1, 16, -16, sp | saved << 4),
        (code + 4, 16, -16, 4 | saved << 4),
        (code + 6, 16, 0, di),
        (code + 9, 0, 0, sp | 1 << 8),  # struct pt_regs
        (code + 12, 8, 0, sp),
        (code + 15, 0, 0, 0),  # the end of the stack
        (code + 20, 8, 0, sp),
    ]
    told = [(a, s, f, bits + (renumbered if bits else 0)) for a, s, f, bits in told]
    start = code + 0x10000
    rows = orc.rows(start, *orc_tables(start, told))
    made = symbols.elf(ARCHES["x86_64"], [], orc.debug_frame(rows))
    entries = ELFFile(io.BytesIO(made)).get_dwarf_info().CFI_entries()
    _, _, *frames = entries
    table = {row["pc"] - code: row for one in frames for row in one.get_decoded().table}
    places = [(one["initial_location"] - code, one["address_range"]) for one in frames]
    assert places == [(0, 9), (9, 3), (12, 8)]
    assert [one.cie["augmentation"] for one in frames] == [b"", b"zS", b""]
    assert (table[0]["cfa"].reg, table[0]["cfa"].offset, table[0][16].arg) == (7, 8, -8)
    assert (table[1]["cfa"].offset, table[1][6].arg) == (16, -16)
    assert (table[4]["cfa"].reg, table[4][6].arg) == (6, -16)
    assert (table[6]["cfa"].reg, table[6]["cfa"].offset, 6 in table[6]) == (5, 16, False)
    assert [table[9][one].arg for one in (6, 7, 16)] == [32, 152, 128]
    assert (7 in table[12], table[12][16].arg) == (False, -8)
    assert table[15][16].type == "UNDEFINED"


def test_a_long_orc_table_is_told_in_pieces_without_holes():
    rows = [orc.Row(0x1000 + 4 * at, 7, 8, ((16, -1),)) for at in range(300)]
    made = symbols.elf(ARCHES["x86_64"], [], orc.debug_frame(rows))
    entries = ELFFile(io.BytesIO(made)).get_dwarf_info().CFI_entries()
    frames = [(one["initial_location"], one["address_range"]) for one in entries[2:]]
    assert [begin for begin, _ in frames[1:]] == [begin + size for begin, size in frames[:-1]]
    assert (frames[0][0], sum(frames[-1])) == (rows[0].address, rows[-1].address)
    assert len(frames) > 1


FRAMED = b"\x0f\x1f\x44\0\0\x55\xa1\1\2\3\4\x89\xe5\x5d\xc3"  # others in between
PLAIN = b"\x55\x89\xe5\x5d\xc3"
FRAMELESS = b"\x8d\x4c\x24\x08\x83\xe4\xf0\xc3"


def test_frame_pointers_become_call_frame_information():
    code = 0xC1000000
    functions = [
        ("traced", FRAMED), ("plain", PLAIN), ("none", FRAMELESS), ("traced.cold", b"\x90\x90"),
        ("handle_exception", b"\xfc\x90"), ("end", b"\xc3"),
    ]  # fmt: skip
    found, at = [], code
    for name, content in functions:
        found.append(kallsyms.Symbol(name, "t", at))
        at += len(content)
    told = frames.debug_frame([(code, b"".join(one for _, one in functions))], found)
    made = symbols.elf(ARCHES["i386"], found, told)
    _, _, *entries = ELFFile(io.BytesIO(made)).get_dwarf_info().CFI_entries()
    tables = {one["initial_location"] - code: one.get_decoded().table for one in entries}
    assert list(tables) == [0, 15, 28, 30]  # nothing is told of `none` and `end`

    def rows(begin: int) -> list[tuple[int, int, int]]:
        return [
            (row["pc"] - code - begin, row["cfa"].reg, row["cfa"].offset) for row in tables[begin]
        ]

    assert rows(0) == [(0, 4, 4), (6, 4, 8), (13, 5, 8)]
    assert rows(15) == [(0, 4, 4), (1, 4, 8), (3, 5, 8)]
    assert rows(28) == [(0, 5, 8)]
    (row,) = tables[30]
    assert (row["cfa"].reg, row["cfa"].offset) == (4, 0)
    assert [row[one].arg for one in (5, 8, 4)] == [0x14, 0x30, 0x3C]
    assert [one.cie["augmentation"] for one in entries] == [b"", b"", b"", b"zS"]


def test_code_without_frame_pointers_tells_nothing():
    found = [kallsyms.Symbol("none", "t", 0xC1000000)]
    assert frames.debug_frame([(0xC1000000, FRAMELESS)], found) == b""


class Named:
    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path(f"/m/{name}.ko")


CONSOLE = "[    1.0] caf\xe9 one\r\n[    2.0] Task two\r\n[    3.0] Task three\r\n".encode()


def test_the_first_line_that_matches_is_the_place():
    assert place(CONSOLE, r"Task \w+") == (CONSOLE.index(b"[    2.0]"), "[    2.0] Task two")
    with pytest.raises(UsageError, match=r"no line .* nearest is: Task three"):
        place(CONSOLE, "Task thre!")
    with pytest.raises(UsageError, match="is no regular expression"):
        place(CONSOLE, "(")


def test_gdb_is_told_the_symbols_and_where_the_guest_is(tmp_path):
    module = Named("hello")
    module.path = tmp_path / "hello.ko"
    load = trace.Load(module, {".text": 0x1000, ".data": 0x2000, "__ksymtab": 0x3000}, 0)
    text = gdb.script(Path("/a b/kernel"), [load], Path("/tmp/s/gdb"), Path("/src"))
    assert "file '/a b/kernel'\n" in text
    assert f"add-symbol-file {module.path} -s .data 0x2000 -s .text 0x1000 |" in text
    assert "directory /src\n" in text
    assert text.endswith("target remote /tmp/s/gdb\n")
    assert "directory" not in gdb.script(Path("/k"), [load], Path("/s"), None)
    assert gdb.command(Path("/s"), []) == ["gdb", "-q", "-x", "/s"]
    assert gdb.command(Path("/s"), ["bt"]) == ["gdb", "-q", "-batch", "-x", "/s", "-ex", "bt"]


def test_a_guest_is_recorded_or_follows_a_tape_and_waits(tmp_path):
    boot = qemu.Boot(
        qemu.Machine(ARCHES["i386"]), Path("k"), Path("i"), qemu.RunDirectory(tmp_path)
    )
    plain = " ".join(qemu.argv(boot))
    assert "rr=" not in plain
    assert "-gdb" not in plain
    recorded = qemu.argv(replace(boot, tape=Path("/t")))
    assert "shift=3,sleep=off,rr=record,rrfile=/t" in recorded
    followed = qemu.argv(replace(boot, tape=Path("/t"), debugged=True))
    assert "shift=3,sleep=off,rr=replay,rrfile=/t" in followed
    assert followed[followed.index("-gdb") + 1] == "chardev:gdb"


def test_a_state_counted_from_zero_tells_the_same_time():
    state = b"x" + snapshot._ICOUNT + struct.pack(">qq", 1000, 3 << 31) + b"y"
    made = snapshot.counted_from_zero(state, 3)
    bias, count = struct.unpack(">qq", made[-17:-1])
    assert (bias, count) == (1000 + (3 << 34), 0)
    assert made[:-17] == state[:-17]
    with pytest.raises(snapshot.SnapshotError):
        snapshot.counted_from_zero(b"", 3)
