"""The virtme backend with stand-ins for virtme-run and QEMU; the last tests boot real guests."""

import lzma
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import stand_in
from test_qemu import eventually

from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import LabError
from vmlab.guest import launch, qemu
from vmlab.images import cpio
from vmlab.runner import read_results
from vmlab.verdict import Verdict
from vmlab.virtme import Files, VirtmeBackend, argv, told
from vmlab.virtme_trees import unpacked_image, userland


class Backend(VirtmeBackend):
    """Its kernel and root are not there: the stand-in does not look at them."""

    def kernel(self, kernel):
        return Path("/nowhere/vmlinuz")

    def root(self, arch):
        return Path("/nowhere/root")


def run(tmp_path, timeout_s=20.0, steps=stand_in.STEPS):
    made = stand_in.artifacts(tmp_path)
    return stand_in.run(tmp_path, made, Backend(made), timeout_s, steps)


def processes(marker: str) -> list[str]:
    """The commands of the processes that name a directory, ours left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in words and int(path.parent.name) != os.getpid():
            found.append(words)
    return found


def test_the_verdict_comes_from_the_results_and_not_from_virtme_run_s_status(tmp_path, virtme):
    assert run(tmp_path).judgement.verdict == Verdict.PASSED
    failed = run(tmp_path, steps="\n  - run: exit 3\n").judgement
    assert (failed.verdict, failed.reason) == (
        Verdict.FAILED, "exit status 3, and success was wanted",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "verdict", "reason", "last"),
    [
        ("reboot", Verdict.CRASHED, "the guest powered off or reset itself", "machine restart"),
        ("flood", Verdict.FAILED, "past 16 MiB", "xxxx"),
        ("segv", Verdict.BROKEN, "QEMU ended with signal 11", "Linux version"),
        ("die", Verdict.BROKEN, "QEMU ended with status 1: fake: cannot set up", "Linux version"),
    ],
)
def test_a_guest_that_goes_wrong(tmp_path, virtme, monkeypatch, fault, verdict, reason, last):
    monkeypatch.setenv("VMLAB_FAKE", fault)
    began = time.monotonic()
    judged = run(tmp_path, timeout_s=20).judgement
    assert time.monotonic() - began < 7
    assert (judged.verdict, reason in judged.reason) == (verdict, True), judged.reason
    assert last in judged.seen
    assert eventually(lambda: not processes(f"{tmp_path}/vmlab-out"))


LAB = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from vmlab.guest import confine
confine.root = lambda: False
import stand_in
from test_virtme import Backend
folder = Path(sys.argv[1])
made = stand_in.artifacts(folder)
try:
    print(list(stand_in.runs(folder, made, Backend(made), 600)))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("fault", "number"),
    [("guest", signal.SIGKILL), ("guest", signal.SIGINT), ("virtme-run", signal.SIGKILL)],
)
def test_nothing_outlives_a_lab_that_is_killed_or_stopped(
    tmp_path, virtme, monkeypatch, fault, number
):
    monkeypatch.setenv("VMLAB_FAKE" if fault == "guest" else "VMLAB_FAKE_VIRTME", "hang")
    code = LAB.format(tests=str(Path(__file__).parent))
    lab = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    marker, last = f"{tmp_path}/vmlab-out", "fake_qemu" if fault == "guest" else "fake_virtme"
    assert eventually(lambda: [words for words in processes(marker) if last in words])
    os.kill(lab.pid, number)
    assert lab.wait(10) == (130 if number == signal.SIGINT else -number)
    assert eventually(lambda: not processes(marker))


@pytest.fixture
def job(tmp_path):
    run = qemu.RunDirectory(tmp_path)
    machine = qemu.Machine(ARCHES["i386"], memory_mib=192)
    return Job(None, machine, tmp_path, tmp_path, run, 1.0)


def test_the_command_has_virtme_s_words_first_and_ours_after_qemu_opts(job, tmp_path):
    words = argv(job, Path("/k/boot/vmlinuz-1"), Path("/r"))
    assert words[:5] == ["setpriv", "--pdeathsig", "KILL", "--", "virtme-run"]
    text = " ".join(words)
    virtme, ours = text.split(" --qemu-opts ")
    for part in (
        "--kimg /k/boot/vmlinuz-1", "--root /r", "--arch i386", f"--qemu-bin {tmp_path}/qemu",
        "--memory 256M", "--force-9p", "--disable-kvm", "exec /init", "-a oops=panic",
    ):  # fmt: skip
        assert part in virtme, part
    for part in (
        f"-set chardev.console.path={tmp_path}/console", f"path={tmp_path}/results",
        f"name=opt/vmlab/program,file={tmp_path}/program.tar", "isa-debug-exit",
        "-icount shift=3,sleep=off",
    ):  # fmt: skip
        assert part in ours, part


def test_a_real_clock_has_no_icount(job):
    real = replace(job, machine=replace(job.machine, clock="real"))
    assert "-icount" not in argv(real, Path("/k"), Path("/r"))


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ("67", launch.Ended("off")),
        ("0", launch.Ended("reset", "the guest powered off or reset itself")),
        ("134", launch.Ended("lost", "QEMU ended with signal 6: no message")),
        ("1", launch.Ended("lost", "QEMU ended with status 1: no message")),
        ("", launch.Ended("lost", "QEMU ended with status unknown: no message")),
    ],
)
def test_how_a_guest_ended_is_qemu_s_word(job, status, wanted):
    files = Files(job.run)
    files.began.write_text("")
    files.log.write_text("")
    files.status.write_text(f"{status}\n")
    assert told(launch.Ended("lost", "status 255"), 255, files) == wanted


def members(archive: bytes) -> dict[str, bytes]:
    """Names and contents of a newc archive, by its format."""
    found, at = {}, 0
    while True:
        size, length = (int(archive[at + n : at + n + 8], 16) for n in (54, 94))
        name = archive[at + 110 : at + 110 + length - 1].decode()
        at += (110 + length + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = archive[at : at + size]
        at += (size + 3) // 4 * 4


def test_the_userland_is_the_tiny_image_and_bash_with_its_libraries(tmp_path):
    packages = {name: tmp_path / name for name in ("bash", "libc6", "libtinfo6")}
    for path in (
        "bash/bin/bash", "bash/etc/skel", "libc6/lib/i386-linux-gnu/ld-linux.so.2",
        "libc6/lib/i386-linux-gnu/libc.so.6", "libc6/lib/i386-linux-gnu/libm.so.6",
        "libtinfo6/lib/i386-linux-gnu/libtinfo.so.6.4",
    ):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "libc6/lib/ld-linux.so.2").symlink_to("i386-linux-gnu/ld-linux.so.2")
    image = cpio.archive([cpio.directory("bin"), cpio.executable("init", b"the agent")])
    found = members(userland(image, packages))
    assert found["init"] == b"the agent"
    assert found["bin/bash"] == b"bash/bin/bash"
    assert found["lib/ld-linux.so.2"] == b"i386-linux-gnu/ld-linux.so.2"
    assert found["lib/i386-linux-gnu/libc.so.6"] and found["lib/i386-linux-gnu/libtinfo.so.6.4"]
    assert found["usr/bin"] == b"../bin"
    assert "lib/i386-linux-gnu/libm.so.6" not in found and "etc/skel" not in found
    with pytest.raises(LabError, match="does not end as an archive does"):
        userland(image[:-8], packages)


NOTE = struct.pack("<III", 4, 8, 18) + b"Xen\0" + bytes(8)


def bzimage(content: bytes, packer=lzma.compress) -> bytes:
    """As the kernel's build makes one: setup sectors, then what is packed and its size."""
    packed = packer(content) + struct.pack("<I", len(content))
    image = bytearray(3 * 512 + 100)
    image[0x1F1] = 2
    image[0x202:0x206] = b"HdrS"
    image[0x248:0x250] = struct.pack("<II", 100, len(packed))
    return bytes(image) + packed + b"what follows"


@pytest.mark.parametrize(
    ("image", "unpacked"),
    [
        (bzimage(b"\x7fELF code" + NOTE), b"\x7fELF code" + NOTE),
        (bzimage(b"\x7fELF without the note"), None),
        (bzimage(b"no ELF" + NOTE), None),
        (bzimage(b"\x7fELF code" + NOTE, packer=bytes), None),
        (b"no kernel at all" * 100, None),
    ],
    ids=["good", "no PVH entry", "no ELF", "another packer", "no bzImage"],
)
def test_an_image_is_unpacked_where_qemu_boots_what_is_in_it(image, unpacked):
    assert unpacked_image(image) == unpacked


@pytest.mark.guest
class TestRealGuests:
    """What only virtme-run and a kernel can show."""

    @pytest.fixture(
        params=["5.10.0-32-686", pytest.param("6.1.0-50-amd64", marks=pytest.mark.slow)]
    )
    def boot(self, request, tmp_path):
        cache = Cache.default()
        made = Artifacts(cache, Catalog.open(cache))
        backend = VirtmeBackend(made)

        def boot(steps, timeout_s=300.0):
            found = stand_in.run(tmp_path, made, backend, timeout_s, steps, request.param)
            return found, read_results(qemu.RunDirectory(Path(found.dir)))

        return boot

    def test_a_guest_s_time_does_not_leap_while_it_reads_its_programs(self, boot):
        found, results = boot(
            """
  - run: 'true'
  - run: for one in $(seq 10); do ls /bin > /dev/null; ps > /dev/null; done
  - sleep: 100s
  - run: cat /proc/sys/kernel/hung_task_timeout_secs /proc/mounts
"""
        )
        assert found.judgement.verdict == Verdict.PASSED, found.judgement
        begin, end, later = (one.uptime for one in results.steps[:3])
        assert end - begin < 10
        assert 100 <= later - end < 101
        assert results.steps[3].output.startswith("120\n"), "as without virtme"
        assert "9p" in results.steps[3].output, "virtme's own root is still there"

    def test_a_panic_is_the_guest_s_and_a_hang_ends_in_time(self, boot):
        found, _ = boot("\n  - write: /proc/sysrq-trigger c\n")
        assert found.judgement.verdict == Verdict.CRASHED
        assert "sysrq triggered crash" in found.judgement.reason
        began = time.monotonic()
        found, results = boot("\n  - run: 'while :; do :; done'\n", timeout_s=30)
        assert time.monotonic() - began < 35
        assert (found.judgement.verdict, results.begun) == (Verdict.TIMEOUT, 1)
        assert eventually(lambda: not processes(found.dir))
