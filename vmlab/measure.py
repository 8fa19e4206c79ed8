"""Measures guests with a clock: how soon they give a result, what they hold, what runs leave."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.bench import Growth, Restored
from vmlab.catalog import Kernel
from vmlab.errors import LabError
from vmlab.guest import begin, launch, program, qemu
from vmlab.snapshots import Snapshots
from vmlab.virtme import CUSTOMARY, VirtmeBackend

LIMIT_S = 600.0
"""How long a guest may take for its first result, host seconds."""
RUNS = 8
"""Runs of each guest in a measure of runs per minute."""
_POLL_S = 0.001
_FIRST = re.compile(rb"^ok 1 ", re.M)
_MB = 1_000_000
_COMMAND = "true"  # the first command: a shell is begun and ends

PHASES = ("greeting", "state in", "running", "first byte", "first result")
"""What a guest that begins from a snapshot comes past, in this order."""


@dataclass(frozen=True)
class Timeline:
    """When a restored guest came past each phase, seconds since the start of its process."""

    at: dict[str, float]
    memory: dict[str, int]  # smaps_rollup at the first result, bytes


class Guests:
    """Measures on this host. Kernels are ids of the catalog; snapshots are warm beforehand."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._snapshots = Snapshots(artifacts.cache, artifacts.catalog.say)
        self._virtme = VirtmeBackend(artifacts, CUSTOMARY)
        self._lean = VirtmeBackend(artifacts)
        self._kernels: dict[str, Kernel] = {}

    def ready(self, kernel: Kernel) -> str:
        """Fetches and makes all that is measured later; returns the kernel's id."""
        kernel = self._artifacts.catalog.obtain(kernel)
        self._kernels[kernel.id] = kernel
        with self._job(kernel.id, "virtual", [_COMMAND]) as job:
            self._boot(job)
        for virtme in (self._virtme, self._lean):
            virtme.root(kernel.arch)
            virtme.kernel(kernel)
        return kernel.id

    def restored(self, kernel: str) -> Restored:
        seen = self.timeline(kernel)
        return Restored(
            seen.at["first result"], seen.at["running"],
            seen.memory["Rss"] / _MB, seen.memory["Pss"] / _MB,
            (seen.memory["Private_Clean"] + seen.memory["Private_Dirty"]) / _MB,
        )  # fmt: skip

    def timeline(self, kernel: str) -> Timeline:
        """Restores one guest, follows it to its first result and ends it there."""
        # The second command holds the guest at its first result until it was looked at.
        with self._job(kernel, "virtual", [_COMMAND, "while :; do :; done"]) as job:
            return _followed(self._boot(job))

    def blocks(self, kernel: str, commands: list[str]) -> int:
        """How many blocks of guest code QEMU translates from a snapshot to the end of a run."""
        with self._job(kernel, "virtual", commands) as job:
            log = job.run.path / "blocks"
            boot = replace(self._boot(job), more=("-d", "in_asm"), log=log)
            ended = launch.run(boot, LIMIT_S)
            if ended.how != "off":
                raise LabError(f"a guest of {kernel} came to no end: {ended.how} {ended.detail}")
            with log.open("rb") as lines:
                return sum(line.startswith(b"IN:") for line in lines)

    def cold(self, kernel: str) -> float:
        with self._job(kernel, "real", [_COMMAND]) as job:
            began = time.monotonic()
            boot = qemu.Boot(job.machine, job.vmlinuz, job.image, job.run)
            process = launch.start(replace(boot, append=qemu.PLAIN_APPEND))
            with launch.ended(process):
                return _until_first(job.run, began, lambda: process.poll() is not None)

    def virtme(self, kernel: str) -> float:
        return self._by_virtme(kernel, self._virtme)

    def virtme_lean(self, kernel: str) -> float:
        return self._by_virtme(kernel, self._lean)

    def _by_virtme(self, kernel: str, virtme: VirtmeBackend) -> float:
        enough = threading.Event()
        with self._job(kernel, "real", [_COMMAND]) as job, ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            booted = pool.submit(virtme.boot, job, enough.is_set)
            try:
                return _until_first(job.run, began, booted.done)
            except LabError:
                if booted.done():
                    booted.result()  # what it raised tells more
                raise
            finally:
                enough.set()

    def runs_per_min(self, kernel: str, guests: int) -> float:
        began = time.monotonic()
        with ThreadPoolExecutor(guests) as pool:
            list(pool.map(lambda _: self.whole_run(kernel), range(guests * RUNS)))
        return guests * RUNS * 60 / (time.monotonic() - began)

    def whole_run(self, kernel: str) -> None:
        """One run from its directory to its end. Raises LabError where it gives no result."""
        with self._job(kernel, "virtual", [_COMMAND]) as job:
            ended = launch.run(self._boot(job), LIMIT_S)
            if ended.how != "off" or not _FIRST.search(job.run.results.read_bytes()):
                raise LabError(f"a guest of {kernel} gave no result: {ended.how} {ended.detail}")

    def growth(self, kernel: str, runs: int) -> Growth:
        """What this process and its temporary files are more after `runs` runs than after one."""
        with _own_temporary():
            self.whole_run(kernel)
            first = _held()
            for _ in range(runs - 1):
                self.whole_run(kernel)
            more = {name: value - first[name] for name, value in _held().items()}
        return Growth(
            runs, more["descriptors"], more["processes"], more["files"],
            round(more["resident"] / _MB, 2),
        )  # fmt: skip

    def _boot(self, job: Job) -> qemu.Boot:
        boot = qemu.Boot(job.machine, job.vmlinuz, job.image, job.run)
        memory = self._snapshots.memory(boot)
        if memory is None:
            raise LabError(f"{job.kernel.id} has no snapshot to begin from; see what was said")
        return replace(boot, memory=memory)

    @contextlib.contextmanager
    def _job(self, kernel: str, clock: qemu.Clock, commands: list[str]) -> Iterator[Job]:
        one = self._kernels[kernel]
        machine = qemu.Machine(one.arch, clock=clock)
        with tempfile.TemporaryDirectory(prefix="vmlab-bench-") as folder:
            run = qemu.RunDirectory(Path(folder))
            steps = [program.step("run", command) for command in commands]
            run.program.write_bytes(program.archive(steps, {}))
            run.mode.write_text(program.mode(0, machine.seed))
            image, vmlinuz = self._artifacts.image(one.arch), self._artifacts.catalog.image(one)
            yield Job(one, machine, image, vmlinuz, run, LIMIT_S)


def host() -> dict[str, object]:
    """What the figures depend on besides the kernels."""
    said = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=False
    ).stdout
    return {"cores": os.cpu_count(), "qemu": said.partition("\n")[0], "accel": "tcg"}


def _until_first(run: qemu.RunDirectory, began: float, over: Callable[[], bool]) -> float:
    """Seconds from `began` to the first step's result line."""
    while time.monotonic() < began + LIMIT_S:
        ended = over()
        if run.results.exists() and _FIRST.search(run.results.read_bytes()):
            return time.monotonic() - began
        if ended:
            raise LabError(f"the guest ended before its first result; {_tail(run)}")
        time.sleep(_POLL_S)
    raise LabError(f"the guest gave no result in {LIMIT_S:g} s; {_tail(run)}")


def _tail(run: qemu.RunDirectory) -> str:
    console = run.console.read_text(errors="replace") if run.console.exists() else ""
    return f"the console ends with: {console[-200:].strip() or '(nothing)'}"


def _followed(boot: qemu.Boot) -> Timeline:
    """Starts the guest as `launch.start` does, and notes when it comes past each phase."""
    assert boot.memory
    at: dict[str, float] = {}
    began = time.monotonic()
    with begin.state(boot.memory) as state:
        process = launch.spawn(boot, state.fileno())
        with launch.ended(process):
            for command in launch.restore_commands(state.fileno()):
                _say(process, command)
            _follow(process, boot.run, at, began)
            process.send_signal(signal.SIGSTOP)  # so that it holds what it held at that time
            return Timeline(at, _memory(process.pid))


def _follow(
    process: launch.Process, run: qemu.RunDirectory, at: dict[str, float], began: float
) -> None:
    while "first result" not in at:
        now = time.monotonic() - began
        if now > LIMIT_S or process.poll() is not None:
            raise LabError(f"a restored guest gave no result in {now:.1f} s; {_tail(run)}")
        said = _said(process)
        port = run.results.read_bytes() if run.results.exists() else b""
        seen = {
            "greeting": b'"QMP"' in said,
            "state in": bool(launch.COMPLETED.search(said)),
            "running": b'"RESUME"' in said,
            "first byte": bool(port),
            "first result": bool(_FIRST.search(port)),
        }
        for phase in PHASES:
            if seen[phase] and phase not in at:
                at[phase] = time.monotonic() - began
                if phase == "state in":
                    _say(process, launch.command("cont"))


def _said(process: launch.Process) -> bytes:
    """What QEMU says within a moment."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _POLL_S)[0]:
        return b""
    return os.read(process.stdout.fileno(), 65536)


def _say(process: launch.Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _memory(pid: int) -> dict[str, int]:
    """A process' smaps_rollup, bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(kb) * 1024 for name, kb in re.findall(r"^(\w+): +(\d+) kB$", text, re.M)}


@contextlib.contextmanager
def _own_temporary() -> Iterator[None]:
    """Temporary files go into a directory of their own: what others leave is not ours."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="vmlab-bench-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def _held() -> dict[str, int]:
    """What this process holds now: it, its children, and its temporary files."""
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "processes": sum(
            len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children")
        ),
        "files": sum(1 for _ in Path(tempfile.gettempdir()).rglob("*")),
        "resident": _memory(os.getpid())["Rss"],
    }


def python_s() -> dict[str, float]:
    """Seconds that the lab's own side needs before a run: the interpreter, and its imports."""
    whole = "import vmlab.cli; from vmlab import executor, lab; from vmlab.report import table"
    took = {}
    for name, code in (("interpreter", "pass"), ("interpreter and imports", whole)):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True)
        took[name] = time.monotonic() - began
    return took
