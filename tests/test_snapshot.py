import json
import os
import shutil
import struct
from dataclasses import replace
from typing import ClassVar

import pytest

from vmlab import snapshots
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import LabError
from vmlab.guest import launch, program, qemu
from vmlab.guest.snapshot import (
    TRIES,
    BootError,
    Snapshot,
    SnapshotError,
    digest,
    spare_zeros,
    struck,
    warm,
)
from vmlab.runner import read_results
from vmlab.snapshots import KIND, Snapshots, name

S = program.step
FROM_2020 = 1577836800
TEN_YEARS = 10 * 365 * 86400


@pytest.fixture
def made(tmp_path) -> Snapshot:
    """A snapshot's files, small; what QEMU would make of them does not matter here."""
    snapshot = Snapshot(tmp_path)
    with snapshot.ram.open("wb") as ram:
        ram.truncate(1 << 22)
        ram.seek(1 << 20)
        ram.write(b"content")
    snapshot.state.write_bytes(b"state")
    sums = {path.name: digest(path) for path in (snapshot.ram, snapshot.state)}
    snapshot.sums.write_text(json.dumps(sums))
    return snapshot


def test_a_whole_snapshot_is_whole_also_as_a_copy_without_holes(made, tmp_path):
    made.check()
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (made.ram, made.state, made.sums):
        (copy / path.name).write_bytes(path.read_bytes())
    Snapshot(copy).check()


def test_pages_of_zeros_take_no_room(tmp_path):
    ram = tmp_path / "ram"
    content = b"x" * 4096 + bytes(1 << 20) + b"y" * 4096
    ram.write_bytes(content)
    before, whole = ram.stat().st_blocks, digest(ram)
    spare_zeros(ram)
    assert ram.read_bytes() == content
    assert digest(ram) == whole
    assert ram.stat().st_blocks * 512 <= 16 * 4096 < before * 512


def test_a_qemu_that_is_the_same_file_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_CACHE", str(tmp_path / "cache"))
    asked = []

    def said(program):
        asked.append(program)
        return f"QEMU emulator version {len(asked)}"

    monkeypatch.setattr(snapshots, "_said", said)

    def version(path) -> str:
        snapshots.qemu_version.cache_clear()  # as another process would ask
        return snapshots.qemu_version(str(path))[-1]

    program, script = tmp_path / "qemu", tmp_path / "script"
    for path, content in ((program, b"\x7fELF"), (script, b"#!/bin/sh\nexec qemu")):
        path.write_bytes(content)
        path.chmod(0o755)
    assert [version(program), version(program)] == ["1", "1"]
    program.write_bytes(b"\x7fELF, and newer")
    assert [version(program), version(program)] == ["2", "2"]
    assert [version(script), version(script)] == ["3", "4"]
    program.write_bytes(b"\x7fELF, and there is no cache")
    monkeypatch.setenv("VMLAB_CACHE", "/dev/null/none")
    assert [version(program), version(program)] == ["5", "6"]
    snapshots.qemu_version.cache_clear()


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: flip(one.ram, (1 << 20) + 3),
        lambda one: flip(one.ram, 5),
        lambda one: (one.check(), flip(one.state, 0)),
        lambda one: os.truncate(one.ram, 1 << 21),
        lambda one: os.truncate(one.state, 2),
        lambda one: one.ram.unlink(),
        lambda one: one.sums.unlink(),
        lambda one: one.sums.write_text("{"),
        lambda one: one.sums.write_text("{}"),
    ],
)
def test_a_snapshot_that_is_not_what_it_was_is_noticed(made, spoil):
    spoil(made)
    with pytest.raises(SnapshotError):
        made.check()


def test_a_snapshot_is_read_through_again_only_where_a_file_was_touched(made, monkeypatch):
    read = []
    monkeypatch.setattr(
        "vmlab.guest.snapshot.digest", lambda path: read.append(path.name) or digest(path)
    )
    made.check()
    made.check()
    assert read == ["ram", "state"]
    flip(made.ram, (1 << 20) + 3)
    os.utime(made.ram, ns=(0, 0))
    for _ in range(2):
        with pytest.raises(SnapshotError, match="its ram has changed"):
            made.check()
    assert len(read) == 6


def boot(machine: qemu.Machine, tmp_path) -> qemu.Boot:
    folder = tmp_path / "kernel-key"
    return qemu.Boot(
        machine, folder / "boot" / "vmlinuz-1", folder / "initramfs", qemu.RunDirectory(tmp_path)
    )


@pytest.mark.parametrize(
    "other",
    [{"memory_mib": 256}, {"arch": ARCHES["x86_64"]}, {"cpus": 2}, {"clock": "real"}],
)
def test_a_snapshot_s_name_depends_on_the_machine_and_not_on_the_seed(tmp_path, other):
    base = {"arch": ARCHES["i386"]}
    one = name(boot(qemu.Machine(**base), tmp_path))
    assert one == name(boot(qemu.Machine(**base, seed=5), tmp_path))
    assert name(boot(qemu.Machine(**(base | other)), tmp_path)) != one


def test_a_snapshot_s_name_does_not_depend_on_the_run(tmp_path):
    machine = qemu.Machine(ARCHES["i386"])
    first = boot(machine, tmp_path)
    other = qemu.Boot(
        qemu.Machine(ARCHES["i386"], seed=9), first.kernel, first.initramfs,
        qemu.RunDirectory(tmp_path / "elsewhere"),
    )  # fmt: skip
    assert name(first) == name(other)


@pytest.mark.parametrize("cpus", [1, 2])
def test_what_cannot_begin_from_a_snapshot_boots_cold(tmp_path, cpus):
    snapshots = Snapshots(Cache(tmp_path), lambda line: None)
    machine = qemu.Machine(ARCHES["i386"], cpus=cpus, clock="real")
    assert snapshots.memory(boot(machine, tmp_path)) is None


def apic(expiry: int) -> bytes:
    """As it stands in a state: a section's header and fields, between others."""
    fields = bytes(range(173)) + struct.pack(">q", expiry) + b"more"
    return b"before\x04\0\0\0\x09\x04apic" + bytes(4) + b"\0\0\0\3" + fields + b"after"


@pytest.mark.parametrize(
    ("state", "expected"),
    [(apic(-1), True), (apic(21_609_592_336), False), (apic(-1)[:-20], False), (b"none", False)],
)
def test_a_timer_that_struck_after_the_stop_is_seen_in_the_state(state, expected):
    assert struck(state) is expected


@pytest.mark.parametrize(("odd", "boots"), [(0, 1), (2, 3), (99, TRIES)])
def test_a_guest_whose_timer_struck_is_booted_again_but_not_for_ever(
    tmp_path, monkeypatch, odd, boots
):
    """A kernel that arms no such timer looks so each time, and has its snapshot all the same."""
    made: list[int] = []

    def booted(one, snapshot, run, stopped) -> None:
        made.append(1)
        snapshot.ram.write_bytes(b"ram")
        snapshot.state.write_bytes(apic(-1 if len(made) <= odd else 5))
        run.console.write_text("[    0.1] hello\n")

    monkeypatch.setattr("vmlab.guest.snapshot._boot", booted)
    monkeypatch.setattr("vmlab.guest.snapshot.set_clock", lambda *_: None)
    warm(boot(qemu.Machine(ARCHES["i386"]), tmp_path), tmp_path)
    assert len(made) == boots
    Snapshot(tmp_path).check()


@pytest.fixture
def warmed(tmp_path, monkeypatch):
    """Snapshots whose making is counted and does what `fail` says; no guest boots for them."""

    class Warmed(Snapshots):
        made = 0
        fail: Exception | None = None
        said: ClassVar[list[str]] = []

    def warm(one, directory, stopped):
        Warmed.made += 1
        if Warmed.fail:
            raise Warmed.fail
        snapshot = Snapshot(directory)
        snapshot.ram.write_bytes(b"ram")
        snapshot.state.write_bytes(b"state")
        sums = {path.name: digest(path) for path in (snapshot.ram, snapshot.state)}
        snapshot.sums.write_text(json.dumps(sums))

    monkeypatch.setattr("vmlab.guest.snapshot.warm", warm)
    return Warmed(Cache(tmp_path), Warmed.said.append)


def test_nobody_waits_for_a_paced_guest_while_its_snapshot_is_made(tmp_path, monkeypatch):
    """Else it would sleep on the host's clock, and a busy host's patience would end with it."""
    started = []

    def start(boot):
        started.append(boot)
        raise SnapshotError("enough")

    monkeypatch.setattr("vmlab.guest.launch.start", start)
    machine = qemu.Machine(ARCHES["i386"], devices=("e1000",), role="a")
    with pytest.raises(SnapshotError, match="enough"):
        warm(replace(boot(machine, tmp_path), paced=True), tmp_path)
    assert "sleep=off" in " ".join(qemu.argv(started[0]))


def test_only_the_snapshot_that_a_guest_had_is_thrown_away(warmed, tmp_path):
    machine = boot(qemu.Machine(ARCHES["i386"]), tmp_path)
    first = warmed.memory(machine)
    warmed.discard(first, "bad")
    second = warmed.memory(machine)
    assert (second == first, warmed.made) == (False, 2)
    warmed.discard(first, "said late by a guest of the first")
    assert warmed.memory(machine) == second
    other = Snapshots(Cache(tmp_path), print)
    assert other.memory(machine) == second
    other.discard(first, "another process that knows only the first")
    assert (second.ram.exists(), warmed.made) == (True, 2)


def test_two_processes_that_find_one_damaged_make_it_anew_once(warmed, tmp_path, monkeypatch):
    machine = boot(qemu.Machine(ARCHES["i386"]), tmp_path)
    first = warmed.memory(machine)
    flip(first.ram, 0)
    check = Snapshot.check

    def checked(one) -> None:
        """The other process is quicker: it has seen and mended it before this one acts."""
        try:
            check(one)
        except SnapshotError:
            monkeypatch.setattr(Snapshot, "check", check)
            Snapshots(Cache(tmp_path), print).memory(machine)
            raise

    monkeypatch.setattr(Snapshot, "check", checked)
    made = warmed.made
    Snapshots(Cache(tmp_path), print).memory(machine)
    assert warmed.made == made + 1


def test_one_that_another_process_made_anew_is_begun_from_and_nothing_is_said(warmed, tmp_path):
    machine = boot(qemu.Machine(ARCHES["i386"]), tmp_path)
    first = warmed.memory(machine)
    other = Snapshots(Cache(tmp_path), print)
    other.discard(other.memory(machine), "bad")
    second = other.memory(machine)
    warmed.said.clear()
    assert warmed.memory(machine) == second != first
    assert warmed.said == []


def test_a_kernel_that_does_not_come_up_is_tried_once(warmed, tmp_path):
    machine = boot(qemu.Machine(ARCHES["i386"]), tmp_path)
    type(warmed).fail = BootError(launch.Ended("reset", "the guest reset itself"), b"panic")
    for _ in range(3):
        with pytest.raises(BootError, match="reset itself"):
            warmed.memory(machine)
    assert warmed.made == 1


@pytest.mark.parametrize("error", [SnapshotError("no"), LabError("no"), OSError(28, "no space")])
def test_what_else_goes_wrong_means_a_cold_boot_and_is_said(warmed, tmp_path, error):
    machine = boot(qemu.Machine(ARCHES["i386"]), tmp_path)
    type(warmed).fail = error
    assert [warmed.memory(machine) for _ in range(2)] == [None, None]
    assert (warmed.made, len([line for line in warmed.said if "booting cold" in line])) == (1, 1)
    assert [path for path in (tmp_path / KIND).iterdir() if path.is_dir()] == []


def test_a_lab_that_is_stopped_says_nothing_of_boots(warmed, tmp_path):
    type(warmed).fail = SnapshotError("the lab was stopped")
    warmed.said.clear()
    assert warmed.memory(boot(qemu.Machine(ARCHES["i386"]), tmp_path), lambda: True) is None
    assert not [line for line in warmed.said if "booting cold" in line]


@pytest.mark.guest
class TestRealSnapshots:
    @pytest.fixture
    def cold(self, tmp_path):
        cache = Cache.default()
        artifacts = Artifacts(cache, Catalog.open(cache))
        kernel = artifacts.catalog.obtain(artifacts.catalog.select("6.1.0-50-686")[0])
        run = qemu.RunDirectory(tmp_path)
        steps = [
            S("run", "head -c 16 /dev/urandom | hexdump; echo hi > /dev/kmsg; cat /proc/uptime"),
            S("sleep", "", ms=30_000),
            S("run", "uname -r; ls /program"),
            S("run", "date -u +%s"),
        ]
        run.program.write_bytes(program.archive(steps, {"file": b"x"}))
        run.mode.write_text(program.mode(100_000, 1))
        image, vmlinuz = artifacts.image(kernel.arch), artifacts.catalog.image(kernel)
        return qemu.Boot(qemu.Machine(kernel.arch), vmlinuz, image, run)

    def outcome(self, cold, memory, seed=1):
        from dataclasses import replace

        cold.run.clear()
        cold.run.mode.write_text(program.mode(100_000, seed))
        assert launch.run(replace(cold, memory=memory), 60).how == "off"
        return cold.run.console.read_bytes(), cold.run.results.read_bytes()

    def date(self, cold, memory, seed):
        """The guest's date at its start, seconds."""
        self.outcome(cold, memory, seed)
        found = read_results(cold.run).steps
        passed = found[3].uptime - found[0].uptime
        return int(found[3].output) - passed

    def test_runs_repeat_to_the_byte_also_from_a_snapshot_made_anew(self, cold, tmp_path):
        cache = Cache(tmp_path / "cache")
        first = Snapshots(cache, print).memory(cold)
        one = self.outcome(cold, first)
        assert self.outcome(cold, first) == one
        shutil.rmtree(cache.root / KIND)
        again = Snapshots(cache, print).memory(cold)
        assert self.outcome(cold, again) == one
        for seed in (1, 2):
            wanted = FROM_2020 + seed * 2654435761 % 2**32 % TEN_YEARS
            assert abs(self.date(cold, again, seed) - wanted) < 2
        assert self.outcome(cold, Snapshots(cache, print).memory(cold), seed=2) != one
        found = read_results(cold.run)
        assert found.fault is None
        assert found.steps[2].output == "6.1.0-50-686\nfile\nsteps"
        assert first is not None and first.state is not None

    def test_a_damaged_snapshot_is_said_and_made_anew(self, cold, tmp_path):
        cache = Cache(tmp_path / "cache")
        memory = Snapshots(cache, print).memory(cold)
        good = self.outcome(cold, memory)
        memory.ram.chmod(0o644)
        flip(memory.ram, 40 << 20)
        said: list[str] = []
        assert self.outcome(cold, Snapshots(cache, said.append).memory(cold)) == good
        assert [line for line in said if "its ram has changed" in line]
