import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vmlab.arch import ARCHES
from vmlab.errors import LabError
from vmlab.guest import launch, program, qemu
from vmlab.runner import read_results


def boot(tmp_path: Path, **options) -> qemu.Boot:
    run = qemu.RunDirectory(tmp_path)
    run.program.write_bytes(program.archive([program.step("run", "echo hi")], {}))
    run.mode.write_text("1000")
    machine = qemu.Machine(ARCHES[options.pop("arch", "i386")], **options)
    return qemu.Boot(machine, tmp_path / "vmlinuz", tmp_path / "initrd", run)


def test_the_command_says_all_that_a_guest_depends_on(tmp_path):
    words = qemu.argv(boot(tmp_path, memory_mib=64, cpus=2, seed=7))
    text = " ".join(words)
    assert words[:4] == ["setpriv", "--pdeathsig", "KILL", "--"]
    assert words[4].endswith("qemu-system-i386")
    for part in (
        "-nodefaults", "-no-reboot", "-m 64M", "-smp 2", "-seed 1", "-icount shift=3,sleep=off",
        "-cpu max,-rdrand,-rdseed", "-rtc base=2020-01-01,clock=vm", "spawn=deny",
        f"file,path={tmp_path}/console", f"logfile={tmp_path}/transcript", "isa-debug-exit",
        f"name=opt/vmlab/program,file={tmp_path}/program.tar",
    ):  # fmt: skip
        assert part in text, part
    assert "-netdev" not in text and "-drive" not in text


@pytest.mark.parametrize(
    ("options", "there", "absent"),
    [
        ({"arch": "x86_64"}, "shift=1", "shift=3"),
        ({"clock": "real"}, "-accel tcg", "-icount"),
        ({"clock": "real", "accel": "kvm"}, "-accel kvm -cpu host", "-icount"),
    ],
)
def test_clock_and_accelerator(tmp_path, options, there, absent):
    text = " ".join(qemu.argv(boot(tmp_path, **options)))
    assert there in text
    assert absent not in text


def test_a_comma_in_a_path_is_written_twice(tmp_path):
    folder = tmp_path / "a,b"
    folder.mkdir()
    assert f"{tmp_path}/a,,b/console" in " ".join(qemu.argv(boot(folder)))


@pytest.mark.parametrize(
    ("wrong", "how", "detail"),
    [
        ("", "off", ""),
        ("reset", "reset", "the guest powered off or reset itself"),
        ("die", "lost", "status 1: fake: cannot set up the machine"),
        ("hang", "timeout", "still ran after 1 s"),
        ("flood", "flooded", "past 16 MiB"),
    ],
)
def test_how_a_guest_ended_is_told(tmp_path, fake_qemu, monkeypatch, wrong, how, detail):
    monkeypatch.setenv("VMLAB_FAKE", wrong)
    began = time.monotonic()
    ended = launch.run(boot(tmp_path), 1 if wrong == "hang" else 20)
    assert ended.how == how
    assert detail in ended.detail
    assert time.monotonic() - began < 6


@pytest.mark.parametrize(("release", "how"), [("2.6.9", "reset"), ("3.0", "timeout")])
def test_a_kernel_that_would_loop_for_a_second_before_its_reset_is_ended(
    tmp_path, fake_qemu, monkeypatch, release, how
):
    monkeypatch.setenv("VMLAB_FAKE", "waits")
    one = boot(tmp_path)
    head = bytearray(0x300)
    head[0x202:0x206], head[0x20E:0x210] = b"HdrS", b"\0\1"
    one.kernel.write_bytes(bytes(head) + release.encode() + b"\0")
    ended = launch.run(one, 2)
    assert (ended.how, ended.detail == launch.RESET) == (how, how == "reset")


@pytest.mark.parametrize(("wrong", "fault"), [("silent", "no plan"), ("cut", "in the middle")])
def test_results_that_are_not_whole_are_a_fault(tmp_path, fake_qemu, monkeypatch, wrong, fault):
    monkeypatch.setenv("VMLAB_FAKE", wrong)
    one = boot(tmp_path)
    assert launch.run(one, 20).how == "off"
    assert fault in (read_results(one.run).fault or "")


def test_a_stop_ends_the_guest(tmp_path, fake_qemu, monkeypatch):
    monkeypatch.setenv("VMLAB_FAKE", "hang")
    ended = launch.run(boot(tmp_path), 60, stopped=lambda: True)
    assert ended == launch.Ended("lost", "the lab was stopped")


def test_without_qemu_the_next_step_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="found; install the packages"):
        launch.run(boot(tmp_path), 1)


LAB = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from vmlab.guest import confine
confine.root = lambda: False
from test_qemu import boot
from vmlab.guest import launch, qemu
launch.run(boot(Path(sys.argv[1])), 600)
"""


def test_a_guest_dies_with_a_lab_that_is_killed(tmp_path, fake_qemu, monkeypatch):
    monkeypatch.setenv("VMLAB_FAKE", "hang")
    code = LAB.format(tests=str(Path(__file__).parent))
    lab = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    marker = f"{tmp_path}/console"
    assert eventually(lambda: guests(marker))
    os.kill(lab.pid, signal.SIGKILL)
    lab.wait()
    assert eventually(lambda: not guests(marker))


def test_ctrl_c_reaches_the_lab_and_not_its_guests(tmp_path, fake_qemu, monkeypatch):
    monkeypatch.setenv("VMLAB_FAKE", "hang")
    one = boot(tmp_path)
    process = launch.start(one)
    with launch.ended(process):
        assert os.getpgid(process.pid) != os.getpgrp()


def test_a_state_that_qemu_does_not_read_in_time_is_said(tmp_path, fake_qemu, monkeypatch):
    monkeypatch.setenv("VMLAB_FAKE", "hang")
    monkeypatch.setattr(launch, "RESTORE_S", 0.5)
    for name in ("ram", "state"):
        (tmp_path / name).write_bytes(b"x")
    memory = qemu.Memory(tmp_path / "ram", tmp_path / "state")
    ended = launch.run(replace(boot(tmp_path), memory=memory), 60)
    assert ended == launch.Ended("lost", "QEMU did not read the snapshot's state in 0.5 s")
    assert guests(f"{tmp_path}/console") == []


def guests(marker: str) -> list[int]:
    """The processes whose command names the run's console."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if marker in words and "fake_qemu" in words:
            found.append(int(path.parent.name))
    return found


def eventually(true, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False
