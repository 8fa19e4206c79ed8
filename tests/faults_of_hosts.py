"""Faults of QEMU, of the host and of the lab's own process."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import stand_in
from faulty import BEFORE, SPIN, Bench, Fault, no_orphans, wait_for
from test_virtme import Backend as Virtme

from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.runner import Run
from vmlab.verdict import Verdict

BROKEN, PASSED = Verdict.BROKEN, Verdict.PASSED
FIRST = "Linux version 6.1"
HANGS = "name: one\nabout: x\ntimeout: 20m\nsteps:\n  - write: /dev/kmsg before the fault\n"
HANGS += "  - run: 'while :; do :; done'\n"
FINE = "name: one\nabout: x\nsteps:\n  - write: /dev/kmsg hello\n  - console: hello\n"
PREPARED = ("verdict.json",)
GUEST = "6.1.0-50-686"


def hit(number: int):
    """In the middle of a step."""
    return lambda bench: bench.real(SPIN, during=bench.hit(number), timeout_s=600)


def stopped(bench: Bench) -> Run:
    run = bench.real(SPIN, during=bench.hit(signal.SIGSTOP), timeout_s=3)
    assert not bench.words, "the snapshot is not to blame"
    return run


def killed_at_boot(bench: Bench) -> Run:
    def during(bench: Bench) -> None:
        pid = bench.qemu()
        wait_for(lambda: any(b"Linux" in p.read_bytes() for p in bench.folder.rglob("console")))
        os.kill(pid, signal.SIGKILL)

    return bench.real("sleep: 1s", before="", backend=QemuBackend(None), during=during)


def without(program: str):
    """As where it is not installed."""

    def inject(bench: Bench) -> Run:
        real = shutil.which
        bench.monkeypatch.setattr(
            shutil, "which", lambda name, *a, **k: None if program in name else real(name, *a, **k)
        )
        return bench.real("sleep: 1s", before="", backend=QemuBackend(None))

    return inject


def stub(fault: str):
    return lambda bench: bench.stub(fault)


@contextlib.contextmanager
def disk(place: Path, size: str, *options: str):
    """A small disk."""
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "none", str(place)]
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def full_disk(bench: Bench) -> Run:
    flood = "run: for n in $(seq 4000); do echo a line that is printed again > /dev/kmsg; done"
    with disk(bench.folder / "vmlab-out", "200k"):
        return bench.real(flood, timeout_s=60)


def read_only_disk(bench: Bench) -> Run:
    with disk(bench.folder / "vmlab-out", "1m", "ro"):
        return bench.real("sleep: 1s", before="")


def no_permission(bench: Bench) -> Run:
    """As a user to whom the project does not belong."""
    made = bench.artifacts()
    one = made.catalog.obtain(made.catalog.select(GUEST)[0])
    made.image(one.arch)
    bench.monkeypatch.setattr(Path, "mkdir", _refused)
    return bench.real("sleep: 1s", before="", made=made, backend=QemuBackend(None))


_MKDIR = Path.mkdir


def _refused(self, *words, **more):
    if "vmlab-out" in str(self):
        raise PermissionError(13, "Permission denied", str(self))
    return _MKDIR(self, *words, **more)


def directory_removed(bench: Bench) -> Run:
    def during(bench: Bench) -> None:
        bench.begun(2)
        shutil.rmtree(bench.folder / "vmlab-out")

    return bench.real(SPIN, during=during)


def clock_set_back(bench: Bench) -> Run:
    """By a day with every look at it."""
    times = iter(range(10_000))
    now = time.time()
    bench.monkeypatch.setattr(time, "time", lambda: now - 86400 * next(times))
    return bench.real("sleep: 5s", "run: 'true'")


def under_load(bench: Bench) -> Run:
    """Ten processes that loop, for each of the host's cores."""
    count = 10 * (os.cpu_count() or 1)
    words = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(words) for _ in range(count)]
    try:
        return bench.real("run: 'for n in $(seq 300); do :; done'", "sleep: 9s", timeout_s=20)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def virtme(fault: str, timeout_s: float = 20, **environment: str):
    """virtme-run's stand-in, which has the fault in it."""

    def inject(bench: Bench) -> Run:
        bench.more("virtme")
        for name, value in {"VMLAB_FAKE_VIRTME": fault, **environment}.items():
            bench.monkeypatch.setenv(name, value)
        made = stand_in.artifacts(bench.folder)
        return stand_in.run(bench.folder, made, Virtme(made), timeout_s, f"\n  - {BEFORE}\n")

    return inject


def virtme_missing(program: str):
    def inject(bench: Bench) -> Run:
        script = bench.more("virtme")
        bench.monkeypatch.setattr("vmlab.virtme._path", lambda: str(script.parent))
        if program == "virtme-run":
            script.unlink()
        made = stand_in.artifacts(bench.folder)
        return stand_in.run(bench.folder, made, Virtme(made), 20, f"\n  - {BEFORE}\n")

    return inject


def project(bench: Bench, text: str, more: str = "") -> None:
    (bench.folder / "scenarios").mkdir(exist_ok=True)
    (bench.folder / "scenarios" / "one.yaml").write_text(text + more)


def in_a_step(bench: Bench, process: subprocess.Popen[str]) -> None:
    bench.begun(2)


def at_boot(bench: Bench, process: subprocess.Popen[str]) -> None:
    wait_for(lambda: any(p.stat().st_size for p in bench.folder.rglob("console")))


def while_building(bench: Bench, process: subprocess.Popen[str]) -> None:
    wait_for((bench.folder / "building").exists)


def while_warming(bench: Bench, process: subprocess.Popen[str]) -> None:
    while "warming a snapshot" not in (line := process.stdout.readline()):
        assert line, "it ended before"
    wait_for(lambda: children(process.pid))


def children(pid: int) -> list[str]:
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [one for path in paths for one in path.read_text().split()]


def alive(pid: str) -> bool:
    """Zombies, which wait for their parent, are not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


@contextlib.contextmanager
def own_qemu(bench: Bench):
    """A QEMU that there are no snapshots of yet; those that are made of it go."""
    folder = Path(tempfile.mkdtemp(prefix="vmlab-test-"))
    folder.chmod(0o755)  # QEMU's user begins it
    script = folder / "qemu-system-i386"
    script.write_text(f'#!/bin/sh\nexec {shutil.which(script.name)} "$@"\n')
    script.chmod(0o755)
    bench.monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    before = set(Cache.default().root.glob("snapshots/vmlinuz*"))
    try:
        yield
    finally:
        shutil.rmtree(folder)
        for made in bench.folder.rglob("argv"):
            if found := re.search(r"mem-path=(\S+)/ram,", made.read_text()):
                place = Path(found[1])
                assert not list(place.parent.glob(f".making-{place.name}-*"))
                if place not in before:
                    shutil.rmtree(place, ignore_errors=True)


def lab_killed(bench: Bench) -> None:
    """And begun again: the second one is as if the first had not been."""
    project(bench, HANGS)
    with bench.lab("run", "one", "--kernel", GUEST) as process:
        bench.begun(2)
        console = next(bench.folder.rglob("console"))
        process.kill()
        process.wait()
        assert no_orphans(bench)
        assert b"before the fault" in console.read_bytes()
    project(bench, FINE)
    with bench.lab("run", "one", "--kernel", GUEST) as process:
        assert "1 passed" in process.communicate(timeout=90)[0]


def lab_killed_while_warming(bench: Bench) -> None:
    """What it had begun is swept away, and made by the next one."""
    project(bench, FINE)
    with own_qemu(bench):
        with bench.lab("run", "one", "--kernel", GUEST) as process:
            while_warming(bench, process)
            guests = children(process.pid)
            process.kill()
            process.wait()
            wait_for(lambda: not any(alive(pid) for pid in guests))
        with bench.lab("run", "one", "--kernel", GUEST) as process:
            said = process.communicate(timeout=120)[0]
            assert "1 passed" in said and said.count("warming a snapshot") == 1


def interrupted(until, *words: str):
    """Ctrl-C, as a terminal sends it: to the lab's process group."""

    def inject(bench: Bench) -> None:
        project(bench, HANGS)
        with bench.lab("run", "one", "--kernel", GUEST, *words) as process:
            until(bench, process)
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=20)[0]
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert no_orphans(bench)

    return inject


def interrupted_while_building(bench: Bench) -> None:
    folder = bench.folder / "kmod" / "slow"
    folder.mkdir(parents=True)
    (folder / "slow.c").write_text("#include <linux/module.h>\n")
    wait = f"$(shell touch {bench.folder}/building; sleep 60; date +%N)"
    (folder / "Kbuild").write_text(f"obj-m += slow.o\nx := {wait}\n")
    project(bench, BUILDS)
    with bench.lab("run", "one", "--kernel", GUEST) as process:
        while_building(bench, process)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=20)[0]
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert no_orphans(bench)


def interrupted_while_warming(bench: Bench) -> None:
    with own_qemu(bench):
        interrupted(while_warming)(bench)


BUILDS = "name: one\nabout: x\nmodules: [slow]\nsteps:\n  - insmod: slow\n"
ROWS = (
    Fault("QEMU is killed at boot", killed_at_boot, BROKEN, "QEMU ended with signal 9", FIRST),
    Fault("is killed in a step", hit(signal.SIGKILL), BROKEN, "QEMU ended with signal 9"),
    Fault("is killed after the last step", stub("killed"), BROKEN, "QEMU ended with signal 9"),
    Fault("crashes in a step", hit(signal.SIGSEGV), BROKEN, "QEMU ended with signal 11"),
    Fault("is stopped", stopped, BROKEN, "QEMU was stopped by a signal"),
    Fault("cannot be set up", stub("die"), BROKEN, "status 1: fake: cannot set up", FIRST),
    Fault("QEMU is not installed", without("qemu-system"), BROKEN, "qemu-system-i386 was not found",
          "", ("argv", *PREPARED)),
    Fault("the disk for logs is full", full_disk, BROKEN, "is the disk full|no space", "",
          ()),
    Fault("the disk is read-only", read_only_disk, BROKEN, "read-only file system", "", ()),
    Fault("permission is denied", no_permission, BROKEN, "permission denied", "", ()),
    Fault("the run's directory is removed", directory_removed, BROKEN,
          "files of the run were taken away", "", PREPARED),
    Fault("the host's clock is set back", clock_set_back, PASSED, "^$"),
    Fault("the host's load is ten times its cores", under_load, PASSED, "^$", slow=True),
    Fault("the lab is killed in a step and begun again", lab_killed, None),
    Fault("the lab is killed while it warms a snapshot", lab_killed_while_warming, None, slow=True),
    Fault("Ctrl-C while modules are built", interrupted_while_building, None),
    Fault("Ctrl-C while a guest boots", interrupted(at_boot, "--no-snapshot"), None),
    Fault("Ctrl-C while a snapshot is warmed", interrupted_while_warming, None),
    Fault("Ctrl-C in a step", interrupted(in_a_step), None),
    Fault("virtme-run is missing", virtme_missing("virtme-run"), BROKEN,
          "virtme-run was not found; install", "", PREPARED),
    Fault("modprobe is missing", virtme_missing("modprobe"), BROKEN,
          "modprobe was not found; install", "", PREPARED),
    Fault("virtme-run fails", virtme("fail"), BROKEN, "status 1 and started no guest: virtme-run",
          "", PREPARED),
    Fault("virtme-run hangs", virtme("hang", 1), BROKEN, "started no guest, and it still ran", "",
          PREPARED),
    Fault("what virtme-run runs hangs", virtme("child", 1), BROKEN,
          "started no guest, and it still ran", "", PREPARED),
    Fault("virtme-run gives QEMU what it does not take", virtme("bad"), BROKEN,
          "QEMU ended with status 1", "", PREPARED),
    Fault("virtme-run leaves before its guest", virtme("leave", VMLAB_FAKE="hang"), BROKEN,
          "ended with status 3 before its guest did", FIRST),
)  # fmt: skip
