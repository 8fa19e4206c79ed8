"""Guests that go wrong: each gets its verdict in time, with the last lines of its console."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import stand_in
from test_qemu import eventually

from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.guest import launch, qemu
from vmlab.images import tiny
from vmlab.snapshots import Snapshots
from vmlab.verdict import Verdict

FIRST = "Linux version 6.1"
HANGS = ("hang", "stuck")
IN_A_STEP = ("stuck", "panic", "agent", "segv")
FAULTS = [
    ("hang", Verdict.TIMEOUT, "the guest still ran after 2 s", FIRST),
    ("stuck", Verdict.TIMEOUT, "the guest still ran after 2 s", "the last words"),
    ("reboot", Verdict.CRASHED, "the guest powered off or reset itself", "machine restart"),
    ("reset", Verdict.CRASHED, "panic: kernel panic: no", "Kernel panic"),
    ("panic", Verdict.CRASHED, "panic: kernel panic: sysrq", "sysrq triggered"),
    ("agent", Verdict.CRASHED, "init killed: kernel panic", "exitcode=0x0000000b"),
    ("oom", Verdict.CRASHED, "out of memory: Out of memory", "Killed process 7"),
    ("flood", Verdict.FAILED, "the console grew past 16 MiB", "xxxx"),
    ("silent", Verdict.CRASHED, "the guest never came to its first step", FIRST),
    ("cut", Verdict.CRASHED, "the results end in the middle of the line", "hello"),
    ("segv", Verdict.BROKEN, "QEMU ended with signal 11", FIRST),
    ("die", Verdict.BROKEN, "status 1: fake: cannot set up the machine", FIRST),
]


@pytest.mark.parametrize(("fault", "verdict", "reason", "last"), FAULTS)
def test_a_guest_that_goes_wrong(tmp_path, fake_qemu, monkeypatch, fault, verdict, reason, last):
    monkeypatch.setenv("VMLAB_FAKE", fault)
    made = stand_in.artifacts(tmp_path)
    began = time.monotonic()
    run = stand_in.run(tmp_path, made, QemuBackend(None), 2 if fault in HANGS else 20)
    assert time.monotonic() - began < 2 + 5
    assert run.judgement.verdict == verdict
    assert reason in run.judgement.reason
    assert last in run.judgement.seen
    if fault in IN_A_STEP:
        assert (run.judgement.step, run.judgement.line) == (1, 5)


FLOOD = "while :; do echo 'a line that is printed again and again' > /dev/kmsg; done"
# The machine stands still at the write to pvpanic's port, as it does while it is frozen.
STOP = "printf '\\\\001' | dd of=/dev/port bs=1 seek=1285"
# Every page of the agent's text becomes int3 (0xcc): it dies at its next instruction.
KILL_AGENT = """
      set -- $(awk '/r-xp.*init/ { split($1, at, "-"); print at[1], at[2]; exit }' /proc/1/maps)
      pages=$(( (0x$2 - 0x$1) / 4096 ))
      head -c $((pages * 4096)) /dev/zero | tr '\\000' '\\314' > /tmp/text
      dd if=/tmp/text of=/proc/1/mem bs=4096 seek=$((0x$1 / 4096)) conv=notrunc
"""
REAL_FAULTS = [
    ("stuck", f'"{STOP}"', Verdict.TIMEOUT, "the guest still ran after 12 s", "step begins"),
    (
        "reboot", "echo b > /proc/sysrq-trigger", Verdict.CRASHED,
        "the guest powered off or reset itself", "step begins",
    ),
    (
        "power off", "poweroff -f", Verdict.CRASHED,
        "the guest powered off or reset itself", "step begins",
    ),
    (
        "agent", f"|{KILL_AGENT}", Verdict.CRASHED,
        "init killed: kernel panic", "Attempted to kill init",
    ),
    (
        "memory", "mount -o remount,size=90% /tmp; cat /dev/zero > /tmp/x & tail /dev/zero",
        Verdict.CRASHED, "out of memory", "",
    ),
    ("flood", f'"{FLOOD}"', Verdict.FAILED, "the console grew past 256 KiB", "again and again"),
]  # fmt: skip


@pytest.mark.guest
class TestRealGuests:
    """The same of real guests, which begin from a snapshot where they come to a step."""

    TIMEOUT_S = 12
    BOOT_S = 20  # where the kernel boots, and not from a snapshot

    @pytest.fixture
    def made(self) -> Artifacts:
        cache = Cache.default()
        return Artifacts(cache, Catalog.open(cache))

    @pytest.mark.parametrize(
        ("command", "verdict", "reason", "last"),
        [fault[1:] for fault in REAL_FAULTS],
        ids=[fault[0] for fault in REAL_FAULTS],
    )
    def test_a_guest_that_goes_wrong_in_a_step(
        self, tmp_path, monkeypatch, made, command, verdict, reason, last
    ):
        monkeypatch.setattr(launch, "CONSOLE_LIMIT", 256 << 10)
        backend = QemuBackend(Snapshots(made.cache, print))
        (tmp_path / "warm").mkdir()
        # The snapshot's boot, where there is none yet, is not timed.
        warm = stand_in.run(tmp_path / "warm", made, backend, 60)
        assert warm.judgement.verdict == Verdict.PASSED
        steps = f"\n  - write: /dev/kmsg the step begins\n  - run: {command}\n    status: any\n"
        run = stand_in.run(tmp_path, made, backend, self.TIMEOUT_S, steps)
        console = qemu.RunDirectory(Path(run.dir)).console
        assert run.judgement.verdict == verdict, run.judgement
        assert reason in run.judgement.reason
        assert run.wall_s < self.TIMEOUT_S + 5
        assert last in run.judgement.seen
        assert console.stat().st_size < launch.CONSOLE_LIMIT + (1 << 20)

    @pytest.mark.parametrize(
        ("init", "verdict", "reason", "last"),
        [
            ("while :; do :; done", Verdict.TIMEOUT, "the guest still ran after 20 s", "I am init"),
            ("exit 3", Verdict.CRASHED, "init killed: kernel panic", "Attempted to kill init"),
        ],
        ids=["hangs", "its agent is gone"],
    )
    def test_a_guest_that_never_comes_to_its_program(
        self, tmp_path, monkeypatch, made, init, verdict, reason, last
    ):
        image = tmp_path / "initramfs"
        image.write_bytes(initramfs(made, f"echo I am init > /dev/kmsg\n{init}\n"))
        monkeypatch.setattr(made, "image", lambda arch: image)
        run = stand_in.run(tmp_path, made, QemuBackend(None), self.BOOT_S)
        assert (run.judgement.verdict, reason in run.judgement.reason) == (verdict, True)
        assert run.wall_s < 2 * self.BOOT_S + 5  # CPU time is what counts, see guest/patience.py
        assert last in run.judgement.seen

    def test_a_qemu_that_crashes_under_its_guest_is_the_lab_s_fault(self, tmp_path, made):
        runs = []
        steps = "\n  - run: 'while :; do :; done'\n"
        backend = QemuBackend(None)
        work = threading.Thread(
            target=lambda: runs.append(stand_in.run(tmp_path, made, backend, 60, steps))
        )
        work.start()
        assert eventually(lambda: any(map(began, tmp_path.rglob("results"))), 60)
        (process,) = children_with(f"{tmp_path}/vmlab-out")
        os.kill(process, signal.SIGSEGV)
        work.join(30)
        assert runs[0].judgement.verdict == Verdict.BROKEN
        assert "QEMU ended with signal 11" in runs[0].judgement.reason
        assert runs[0].judgement.step == 1


def began(results: Path) -> bool:
    return b"begin 1" in results.read_bytes()


def children_with(marker: str) -> list[int]:
    """The processes whose command names a directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def initramfs(made: Artifacts, script: str) -> bytes:
    """The tiny image with a shell script in the agent's place."""
    arch = ARCHES["i386"]
    recipe = tiny.read_recipe(tiny.default_recipe())
    shell = made.busybox(arch, recipe)
    text = f"#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\n{script}"
    applets = shell.with_name("applets").read_text().split()
    return tiny.initramfs(recipe, text.encode(), {"busybox": shell.read_bytes()}, applets)
