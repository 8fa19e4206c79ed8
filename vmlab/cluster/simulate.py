"""Measures what a cluster costs: a real scheduler, client and workers, and guests that are none.

    python -m vmlab.cluster.simulate --runs 5000 --workers 2 --threads 8

The figures are of this machine while it did all of that at once; docs/scaling.md says what follows.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import ARCHES
from vmlab.backend import Job
from vmlab.catalog import Kernel
from vmlab.cluster.backend import ClusterBackend
from vmlab.cluster.crew import connect
from vmlab.cluster.order import Done, Order
from vmlab.errors import LabError
from vmlab.executor import each
from vmlab.guest import qemu
from vmlab.guest.emulator import Emulator

DAY_S = 86400
_PROGRAM = 300_000  # bytes, as a scenario's with a module or two
_LINE = b"[%12.6f] a line of a kernel's console, of usual length\r\n"
_CONSOLE = b"".join(_LINE % number for number in range(90))
_START_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def guest(order: Order) -> Done:
    """In a guest's place: takes the time that its order names, and gives files of usual size."""
    time.sleep(order.timeout_s)
    files = {"console": _CONSOLE, "results": _CONSOLE[:3000], "transcript": _CONSOLE}
    packed = {name: zlib.compress(data, 1) for name, data in files.items()}
    return Done("off", "", True, packed, str(os.getpid()), "", 0.0)


@dataclass(frozen=True)
class Used:
    """What a process took: seconds of CPU, and bytes of memory now."""

    cpu_s: float
    memory: int


def used(pid: int) -> Used:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return Used((int(fields[11]) + int(fields[12])) / _TICKS, memory)


@contextlib.contextmanager
def cluster(folder: Path, workers: int, threads: int) -> Iterator[tuple[str, dict[str, int]]]:
    """The scheduler's address, and the processes by name."""
    file = folder / "scheduler.json"
    words = ["--no-dashboard", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
    processes = {"scheduler": _start(folder, "dask_scheduler", *words)}
    try:
        address = _address(file)
        for number in range(workers):
            options = ["--no-dashboard", "--no-nanny", "--nthreads", str(threads)]
            made = _start(folder, "dask_worker", address, *options, "--memory-limit", "0")
            processes[f"worker {number + 1}"] = made
        yield address, {name: process.pid for name, process in processes.items()}
    finally:
        for process in reversed(processes.values()):
            process.kill()
            process.wait()


def _start(folder: Path, module: str, *words: str) -> "subprocess.Popen[bytes]":
    with (folder / f"{module}.log").open("ab") as log:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *words]
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def _address(file: Path) -> str:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if file.exists() and '"address": "' in (text := file.read_text()):
            return text.split('"address": "')[1].split('"')[0]
        time.sleep(0.05)
    raise LabError(f"the scheduler did not come up in {_START_S:.0f} s")


def job(folder: Path, number: int, guest_s: float) -> Job:
    """A run as `Runner.prepare` leaves it, with files of usual size that nobody boots."""
    path = folder / f"run-{number}"
    path.mkdir()
    files = qemu.RunDirectory(path)
    files.program.write_bytes(number.to_bytes(8, "big") * (_PROGRAM // 8))
    files.mode.write_text("steps\n")
    kernel = Kernel("6.1.0-50-686", ARCHES["i386"], False, (), ())
    machine = qemu.Machine(kernel.arch, seed=number)
    nothing = folder / "vmlinuz"
    return Job(kernel, machine, nothing, nothing, files, guest_s, Emulator("no-such-qemu"))


def measure(runs: int, workers: int, threads: int, guest_s: float) -> list[str]:
    """The figures, a line each."""
    with tempfile.TemporaryDirectory(prefix="vmlab-scale-") as name:
        folder = Path(name)
        (folder / "vmlinuz").write_bytes(b"no kernel")
        with cluster(folder, workers, threads) as (address, pids):
            crew = connect(address, print)
            crew.client.wait_for_workers(workers, timeout=_START_S)
            backend = ClusterBackend(crew, True, guest)
            pids |= {"lab": os.getpid()}
            at_once = backend.at_once
            _run(backend, folder, range(200), guest_s)  # until all is imported
            before, began = {name: used(pid) for name, pid in pids.items()}, time.monotonic()
            _run(backend, folder, range(200, 200 + runs), guest_s)
            took = time.monotonic() - began
            after = {name: used(pid) for name, pid in pids.items()}
            backend.close()
    return [*_rates(runs, took, at_once, guest_s), *_shares(before, after, runs)]


def _run(backend: ClusterBackend, folder: Path, numbers: range, guest_s: float) -> None:
    def one(number: int) -> str:
        made = job(folder, number, guest_s)
        ended = backend.boot(made, lambda: False)
        for path in made.run.path.iterdir():
            path.unlink()
        made.run.path.rmdir()
        return ended.how

    ends = list(each(one, numbers, backend.at_once, lambda number: None, lambda: None))
    if ends != ["off"] * len(numbers):
        raise LabError(f"{len(numbers) - ends.count('off')} of {len(numbers)} runs got lost")


def _rates(runs: int, took: float, at_once: int, guest_s: float) -> Iterator[str]:
    rate = runs / took
    yield f"{runs} runs of {guest_s:g} s, {at_once} at once: {took:.1f} s, {rate:.0f} a second"
    yield f"a day would have {rate * DAY_S / 1e6:.1f} million of them"


def _shares(before: dict[str, Used], after: dict[str, Used], runs: int) -> Iterator[str]:
    for name, now in after.items():
        spent, grown = now.cpu_s - before[name].cpu_s, now.memory - before[name].memory
        cores = spent / runs * 1e6 / DAY_S
        yield (
            f"{name}: {spent / runs * 1e3:.2f} ms of CPU a run, {cores:.2f} cores at a million a "
            f"day; {now.memory / 1e6:.0f} MB, {grown / runs:+.0f} bytes a run"
        )


def main() -> None:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m vmlab.cluster.simulate", description=about)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8, help="guests at once, of each worker")
    parser.add_argument("--guest", type=float, default=0.0, help="seconds that a guest takes")
    wanted = parser.parse_args()
    print("\n".join(measure(wanted.runs, wanted.workers, wanted.threads, wanted.guest)))


if __name__ == "__main__":
    main()
