"""Memory images of dead guests, without a guest."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from core_image import LARGE, PAGE, PRESENT, Tables, flattened, physical
from typer.testing import CliRunner

from vmlab.arch import ARCHES
from vmlab.cli import app
from vmlab.errors import LabError, UsageError
from vmlab.guest import corefile, images, kdumpfile, launch, qemu
from vmlab.guest.corefile import Core
from vmlab.guest.images import Keeper
from vmlab.guest.monitor import Monitor, MonitorError
from vmlab.guest.shell import Shell
from vmlab.lab import Options, dumped, formats, runner

PAGING, PAE, FIVE = 1 << 31, 1 << 5, 1 << 12


def four_levels(tables: Tables) -> None:
    for table, number in ((1, 511), (2, 510), (3, 0)):
        tables.put(table, number, (table + 1) * PAGE)
    tables.put(4, 3, 6 * PAGE)
    tables.put(4, 4, 7 * PAGE)
    tables.put(4, 9, 1 << 40)  # no memory is there


def five_levels(tables: Tables) -> None:
    tables.put(5, 511, PAGE)
    four_levels(tables)


def espfix(tables: Tables) -> None:
    tables.put(1, 510, 2 * PAGE)
    four_levels(tables)


def pae(tables: Tables) -> None:
    tables.put(1, 3, 2 * PAGE)
    tables.put(2, 0, 3 * PAGE)
    tables.put(2, 1, 0, PRESENT | LARGE)
    tables.put(3, 3, 6 * PAGE)
    tables.put(3, 4, 7 * PAGE)


def two_levels(tables: Tables) -> None:
    tables.put(1, 768, 2 * PAGE)
    tables.put(2, 3, 6 * PAGE)
    tables.put(2, 4, 7 * PAGE)


@pytest.mark.parametrize(
    ("make", "long", "cr4", "top", "begin"),
    [
        (four_levels, True, PAE, 1, 0xFFFFFFFF80003000),
        (five_levels, True, PAE | FIVE, 5, 0xFFFFFFFF80003000),
        (espfix, True, PAE, 1, 0xFFFFFFFF80003000),
        (pae, False, PAE, 1, 0xC0003000),
        (two_levels, False, 0, 1, 0xC0003000),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_image_is_made_one_at_virtual_addresses(tmp_path, make, long, cr4, top, begin):
    tables = Tables(8, 4 if make is two_levels else 8)
    make(tables)
    tables.memory[6 * PAGE :] = b"a" * PAGE + b"b" * PAGE
    path = tmp_path / "elf"
    path.write_bytes(physical(bytes(tables.memory), PAGING, top * PAGE, cr4, long))
    corefile.to_virtual(path, long)
    with Core(path) as core:
        assert core.read(begin + PAGE - 2, 4) == b"aabb"  # neighbours are one segment
        assert begin in {one.address for one in core.loads}
        assert {one.address >> 39 for one in core.loads}.isdisjoint({0x1FFFFFE})
        with pytest.raises(LabError, match="nothing at"):
            core.read(begin + 2 * PAGE - 2, 4)
        assert list(core.places(b"ab")) == [begin + PAGE - 1] + (
            [0xC0200000 + 7 * PAGE - 1] if make is pae else []
        )
        assert core.notes


def test_page_tables_that_lead_to_themselves_come_to_an_end(tmp_path, monkeypatch):
    """A hostile guest's: each table's entries all lead to the same one."""
    tables = Tables(4, 8)
    for number in range(512):
        tables.put(1, number, PAGE)
    monkeypatch.setattr(corefile, "_MOST", 500)
    path = tmp_path / "elf"
    path.write_bytes(physical(bytes(tables.memory), PAGING, PAGE, PAE))
    began, before = time.monotonic(), path.stat().st_size
    corefile.to_virtual(path, True)
    assert path.stat().st_size < before + 600 * 56
    assert time.monotonic() - began < 10
    with Core(path) as core:
        assert len(core.loads) == 500


@pytest.mark.parametrize("content", [b"", b"\x7fELF\2", b"MZ" * 100, b"\x7fELF\7" + bytes(100)])
def test_what_is_no_image_is_said(tmp_path, content):
    (tmp_path / "elf").write_bytes(content or b"x")
    with pytest.raises(LabError, match="no ELF file"):
        corefile.to_virtual(tmp_path / "elf", True)


TOLD = b"OSRELEASE=6.1.0-50-amd64\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff82613700\n"


def test_what_the_kernel_tells_of_itself_is_found(tmp_path):
    memory = bytearray(3 * PAGE)
    memory[100:110] = b"OSRELEASE="  # a name alone, somewhere
    memory[PAGE : PAGE + len(TOLD)] = TOLD
    (tmp_path / "elf").write_bytes(physical(bytes(memory), 0, 0, 0))
    with Core(tmp_path / "elf") as core:
        assert kdumpfile.vmcoreinfo(core) == TOLD


@pytest.mark.parametrize(("elf_class", "at", "words"), [(2, 32, "<QQQQ"), (1, 20, "<QIQI")])
def test_a_kdump_file_is_put_together_and_names_its_kernel(tmp_path, elf_class, at, words):
    content = bytearray(3 * PAGE)
    content[:8] = b"KDUMP   "
    struct.pack_into(words, content, PAGE + at, 0, 0, 2 * PAGE, 8)
    content[2 * PAGE : 2 * PAGE + 8] = b"thenotes"
    path = tmp_path / "kdump"
    path.write_bytes(flattened(bytes(content)))
    kdumpfile.finish(path, TOLD, elf_class, "x86_64")
    made = path.read_bytes()
    info, size, notes, notes_size = struct.unpack_from(words, made, PAGE + at)
    assert made[info : info + size] == TOLD
    assert made[notes : notes + 8] == b"thenotes"
    assert made[notes + 20 : notes + 30] == b"VMCOREINFO"
    assert notes + notes_size == len(made)
    fields = [made[12 + 65 * n : 77 + 65 * n].rstrip(b"\0") for n in range(6)]
    assert (fields[0], fields[2], fields[4]) == (b"Linux", b"6.1.0-50-amd64", b"x86_64")
    assert all(fields)
    assert [one.name for one in tmp_path.iterdir()] == ["kdump"]


@pytest.mark.parametrize("keep", [10, 4096, 4100, 5000])
def test_a_kdump_file_that_is_cut_is_said(tmp_path, keep):
    path = tmp_path / "kdump"
    path.write_bytes(flattened(bytes(PAGE))[:keep])
    with pytest.raises(LabError, match=r"cut short|no kdump file"):
        kdumpfile.finish(path, b"", 2, "x86_64")
    assert [one.name for one in tmp_path.iterdir()] == ["kdump"]


QMP = """
import json, sys, time
from pathlib import Path
from types import SimpleNamespace
for line in sys.stdin:
    told = json.loads(line)
    name = told["execute"]
    if name == "dump-guest-memory":
        how = sys.argv[1]
        path = Path(told["arguments"]["protocol"].removeprefix("file:"))
        path.write_bytes(b"half an image" if how != "writes nothing" else b"")
        if how == "dies":
            sys.exit(1)
        if how == "sleeps":
            time.sleep(60)
        if how == "refuses":
            print(json.dumps({"error": {"desc": "no space"}, "id": name}), flush=True)
            continue
    print(json.dumps({"event": "STOP"}), flush=True)
    print(json.dumps({"return": {}, "id": told.get("id")}), flush=True)
"""


def stands_in(how: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", QMP, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def guest(folder: Path, memory_mib: int = 64) -> qemu.Boot:
    machine = qemu.Machine(ARCHES["x86_64"], memory_mib)
    return qemu.Boot(machine, folder / "k", folder / "i", qemu.RunDirectory(folder))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("refuses", "QEMU says: no space"),
        ("dies", "QEMU is gone"),
        ("sleeps", "did not answer in time"),
        ("writes rubbish", "no ELF file"),
        ("writes nothing", "empty"),
    ],
)
def test_an_image_that_is_not_written_is_told_and_not_left(tmp_path, monkeypatch, how, why):
    monkeypatch.setattr(images, "WRITE_S", 1.0)
    process = stands_in(how)
    with launch.ended(process):
        kept = Keeper(("elf", "kdump")).keep(Monitor(process), process.pid, guest(tmp_path))
    assert kept.images == ()
    assert why in kept.why_not
    assert list(tmp_path.iterdir()) == []


def test_few_guests_and_no_large_ones_leave_images(tmp_path, monkeypatch):
    def kept(keeper: Keeper, memory_mib: int = 64) -> str:
        process = stands_in("refuses")
        with launch.ended(process):
            monitor = Monitor(process)
            return keeper.keep(monitor, process.pid, guest(tmp_path, memory_mib)).why_not

    keeper = Keeper(("elf",), count=2)
    assert "1024 MiB is the most" in kept(keeper, 2048)
    assert ["no space" in kept(keeper) for _ in range(2)] == [True, True]
    assert kept(keeper) == "2 guests have left theirs before, which is the most"
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    monkeypatch.setattr(images, "_SPARE", free)
    assert "the disk has" in kept(Keeper(("elf",)))


def test_a_qemu_that_does_not_answer_is_asked_for_no_image(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "ASK_S", 0.2)
    keeper, process = Keeper(("elf", "kdump"), count=1), stands_in("refuses")
    with launch.ended(process):
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        kept = keeper.keep(Monitor(process), process.pid, guest(tmp_path))
        assert time.monotonic() - began < 10
    assert kept.why_not == (
        "asking QEMU whether it is there: query-status: QEMU did not answer in time"
    )
    monkeypatch.setattr(images, "ASK_S", 20.0)  # a busy host is slow to answer
    process = stands_in("refuses")
    with launch.ended(process):
        kept = keeper.keep(Monitor(process), process.pid, guest(tmp_path))
    assert "no space" in kept.why_not, "it took none of the images that there may be"


def test_guests_that_die_at_once_do_not_count_on_the_same_space(tmp_path, monkeypatch):
    """Room for one and a half; the second dies while the first one's image is written."""
    room = SimpleNamespace(free=images._SPARE + (96 << 20))
    monkeypatch.setattr(images.shutil, "disk_usage", lambda path: room)
    keeper, said = Keeper(("elf",)), []

    def keep() -> str:
        process = stands_in("")
        with launch.ended(process):
            return keeper.keep(Monitor(process), process.pid, guest(tmp_path)).why_not

    def written(*about):
        if not said:
            said.append("")
            said.append(keep())
        return iter(())

    monkeypatch.setattr(images, "_written", written)
    assert (keep(), keep()) == ("", ""), "the space is given back"
    assert said[1] == "the disk has 1120 MiB free, and 1152 MiB would be needed"


def test_a_question_that_nobody_answers_ends(tmp_path):
    process = stands_in("")
    with launch.ended(process):
        process.kill()
        with pytest.raises(MonitorError, match="QEMU is gone"):
            Monitor(process).command("cont", {}, 5)


def test_events_tell_why_a_guest_stands(tmp_path):
    for event, stands in (
        ({"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-reset"}}, "reset"),
        ({"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-shutdown"}}, "off"),
        ({"event": "GUEST_PANICKED", "data": {"action": "pause"}}, "panicked"),
        ({"event": "STOP"}, ""),
    ):
        code = f"print({json.dumps(json.dumps(event))}, flush=True); input()"
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with launch.ended(process):
            monitor = Monitor(process)
            while not monitor.read():
                pass
            assert monitor.stands == stands


@pytest.mark.parametrize("line", ["no JSON", "[]", '{"event": "SHUTDOWN", "data": 1}', "[" * 99999])
def test_a_monitor_that_says_anything_else_is_the_lab_s_trouble(line):
    process = subprocess.Popen(
        [sys.executable, "-c", f"print({line!r}, flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with launch.ended(process), pytest.raises(MonitorError, match="none of QEMU's"):
        monitor = Monitor(process)
        while not monitor.read():
            pass


@pytest.mark.parametrize(
    ("event", "end"),
    [
        ({"event": "GUEST_PANICKED", "data": {"action": "pause"}}, ("reset", launch.PANICKED)),
        ({"event": "SHUTDOWN", "data": {"reason": "guest-reset"}}, ("reset", launch.RESET)),
        ({"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}}, ("lost", "QEMU did not")),
    ],
)
def test_the_end_of_a_shell_s_guest_is_told_as_any_other_s(tmp_path, monkeypatch, event, end):
    monkeypatch.setattr(launch, "LEAVE_S", 0.2)
    code = f"import time; print({json.dumps(json.dumps(event))}, flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with launch.ended(process), socket.socket() as port:
        shell = Shell(guest(tmp_path, 2048), process, port, Monitor(process))
        while not shell.over():
            time.sleep(0.01)
        found = shell.ended(Keeper(("elf",)))
        assert (found.how, found.detail[: len(end[1])]) == end
        assert bool(found.kept) == (end[0] == "reset")


def test_a_guest_that_waits_for_its_reset_is_stopped_for_its_image(tmp_path):
    run = qemu.RunDirectory(tmp_path)
    run.console.write_bytes(b"dead <0>Rebooting in 1 seconds..")
    code = """if True:
        import json
        print(json.dumps({"id": json.loads(input())["execute"], "return": {}}), flush=True)
        input()"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with launch.ended(process):
        monitor = Monitor(process)
        last = b"Rebooting in 1 seconds.."
        found = launch.supervise(process, run, 20, monitor=monitor, last=last)
        assert (found.how, monitor.stands, process.poll()) == ("reset", "reset", None)


def test_a_guest_is_held_only_where_it_is_asked_for(tmp_path):
    monitor = "-chardev stdio,id=restore,signal=off -mon chardev=restore,mode=control"
    memory = qemu.Memory(tmp_path / "ram", tmp_path / "state")
    for boot in (guest(tmp_path), replace(guest(tmp_path), memory=memory)):
        plain, held = (" ".join(qemu.argv(replace(boot, kept=kept))) for kept in (False, True))
        assert "shutdown=pause" not in plain
        assert "-no-reboot -action shutdown=pause" in held
        assert held.count(monitor) == 1  # a restored guest has it already


@pytest.mark.parametrize(
    ("words", "found"), [("elf,kdump", ("elf", "kdump")), ("elf", ("elf",)), ("none", ())]
)
def test_formats_are_words(words, found):
    assert formats(words) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [((None, False), ("elf", "kdump")), ((None, True), ()), (("elf", False), ("elf",)),
     (("none", True), ()), (("none", False), ())],
)  # fmt: skip
def test_images_are_wanted_unless_they_are_not(words, found):
    assert dumped(*words) == found


def test_wanting_an_image_and_none_is_wrong_usage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vmlab.yaml").write_text("")
    done = CliRunner().invoke(app, ["run", "--no-dump", "--dump", "elf"])
    assert isinstance(done.exception, UsageError)
    assert "--dump elf and --no-dump contradict each other" in str(done.exception)


def test_the_options_of_images_stand_together_in_the_help():
    said = CliRunner().invoke(app, ["run", "--help"]).output
    options = re.findall(r"^ *(--[a-z-]+)", said, re.MULTILINE)
    assert options[options.index("--dump") + 1] == "--no-dump"
    assert "[default: (elf,kdump)]" in " ".join(said.split())


def test_an_unknown_format_is_wrong_usage():
    with pytest.raises(UsageError, match="unknown image format 'raw'; there are elf, kdump"):
        runner(None, None, Options(backend="qemu", snapshot=False, dump=("raw",)))
