"""What faults are put into, and what a run must be like whatever happened to it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import stand_in
from test_qemu import eventually

from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.guest import qemu
from vmlab.runner import Run
from vmlab.snapshots import KIND as SNAPSHOTS
from vmlab.snapshots import Snapshots
from vmlab.verdict import Verdict

BEFORE = "write: /dev/kmsg before the fault"
SPIN = "run: 'while :; do :; done'"
ALL = ("argv", "console", "mode", "program.tar", "results", "transcript", "verdict.json")
KERNEL = stand_in.KERNEL
MODULE = """\
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

static char *what = "";
module_param(what, charp, 0444);

/* Every page of the agent's text becomes int3. */
static void spoil_agent(void)
{
	struct task_struct *agent = pid_task(find_vpid(1), PIDTYPE_PID);
	struct mm_struct *mm = get_task_mm(agent);
	unsigned long size = mm->end_code - mm->start_code;
	void *junk = kvmalloc(size, GFP_KERNEL);

	memset(junk, 0xcc, size);
	access_process_vm(agent, mm->start_code, junk, size, FOLL_FORCE | FOLL_WRITE);
	kvfree(junk);
	mmput(mm);
}

static int __init faulty_init(void)
{
	pr_info("before the fault: %s\\n", what);
	if (!strcmp(what, "agent"))
		spoil_agent();
	if (!strcmp(what, "irqs"))
		local_irq_disable();
	while (!strcmp(what, "sleeps"))
		ssleep(1);
	while (!strcmp(what, "irqs") || !strcmp(what, "spins"))
		cpu_relax();
	return 0;
}
module_init(faulty_init);
MODULE_LICENSE("GPL");
"""


@dataclass
class Bench:
    """A project in a directory of its own, and guests of it that faults are put into."""

    folder: Path
    monkeypatch: object
    real_qemu: bool = True
    more: Callable[[str], object] = lambda name: None  # asks pytest for a fixture
    words: list[str] = field(default_factory=list)  # what the lab said meanwhile
    boot_s: float = 40.0

    def artifacts(self) -> Artifacts:
        cache = Cache.default()
        return Artifacts(cache, Catalog.open(cache))

    def cache(self) -> Cache:
        """The user's, but for snapshots, which are this test's own."""
        root = self.folder / "own-cache"
        root.mkdir(exist_ok=True)
        for kind in Cache.default().root.iterdir():
            if kind.name != SNAPSHOTS and not (root / kind.name).exists():
                (root / kind.name).symlink_to(kind)
        return Cache(root)

    def stub(self, fault: str, *steps: str, timeout_s: float = 20) -> Run:
        """In the stand-in for QEMU, which has the fault in it."""
        self.more("fake_qemu")
        self.monkeypatch.setenv("VMLAB_FAKE", fault)
        made = stand_in.artifacts(self.folder)
        text = text_of(*(steps or (BEFORE, "console: before")))
        return stand_in.run(self.folder, made, QemuBackend(None), timeout_s, text)

    def real(
        self,
        *steps: str,
        timeout_s: float = 8,
        during: "Callable[[Bench], object] | None" = None,
        backend: object = None,
        made: Artifacts | None = None,
        before: str = BEFORE,
        more: str = "",
    ) -> Run:
        """In a real guest; `during` acts on it, meanwhile."""
        made = made or self.artifacts()
        text = text_of(*((before,) if before else ()), *steps) + more
        backend = backend or QemuBackend(Snapshots(Cache.default(), self.words.append))
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(stand_in.run, self.folder, made, backend, timeout_s, text, KERNEL)
            if during:
                during(self)
            return run.result()

    def module(self) -> str:
        """The key of a scenario that needs the faulty module, which is put into the project."""
        folder = self.folder / "kmod" / "faulty"
        folder.mkdir(parents=True)
        (folder / "faulty.c").write_text(MODULE)
        (folder / "Kbuild").write_text("obj-m += faulty.o\n")
        return "\nmodules: [faulty]\n"

    def begun(self, step: int) -> None:
        """Waits until the guest is in a step."""
        mark = f"# begin {step}".encode()
        files = lambda: list(self.folder.rglob("results"))  # noqa: E731
        assert eventually(lambda: any(mark in one.read_bytes() for one in files()), self.boot_s)

    def qemu(self) -> int:
        """The guest's process."""
        pids: list[int] = []
        assert eventually(lambda: bool(pids.extend(self.guests()) or pids), self.boot_s)
        return pids[0]

    def guests(self) -> list[int]:
        return processes(f"{self.folder}/vmlab-out")

    def hit(self, number: int, step: int = 2) -> "Callable[[Bench], None]":
        """Sends QEMU a signal in a step."""

        def during(bench: "Bench") -> None:
            bench.begun(step)
            os.kill(bench.qemu(), number)

        return during

    @contextlib.contextmanager
    def lab(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """`vmlab` in the project, as a user begins it."""
        (self.folder / "vmlab.yaml").touch()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = subprocess.Popen(
            ["vmlab", *words],
            cwd=self.folder, env={**os.environ, "PATH": path, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


@dataclass(frozen=True)
class Fault:
    """One row: how a fault is put in, and what must come of it.

    A row whose `verdict` is None looks at its own outcome: the lab itself was ended.
    """

    name: str
    inject: Callable[[Bench], Run | None]
    verdict: Verdict | None
    reason: str = ""  # a pattern
    printed: str = "before the fault"  # what stands on the console, for QEMU had written it
    left: tuple[str, ...] = ALL  # in the run's directory
    whole: bool = True  # console and results are together what the transcript is
    slow: bool = False


def text_of(*steps: str) -> str:
    return "".join(f"\n  - {step}" for step in steps) + "\n"


def processes(marker: str) -> list[int]:
    """Those whose command names a directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
    return found


def check(fault: Fault, bench: Bench, run: Run) -> None:
    """What holds of a run, whatever happened: its verdict, its files, and that nothing is left."""
    assert run.judgement.verdict is fault.verdict, run.judgement
    assert re.search(fault.reason, run.judgement.reason), run.judgement
    directory = Path(run.dir)
    names = {path.name for path in directory.iterdir()} if directory.exists() else set()
    assert set(fault.left) <= names, names
    if "verdict.json" in fault.left:
        record = json.loads((directory / "verdict.json").read_text())
        assert record["verdict"] == run.judgement.verdict
        assert record["reason"] == run.judgement.reason
    if "console" in fault.left:
        _check_console(fault, qemu.RunDirectory(directory))


def _check_console(fault: Fault, files: qemu.RunDirectory) -> None:
    """QEMU writes each byte of both ports twice: to the port's own file, then to the transcript."""
    console = files.console.read_bytes()
    assert fault.printed.encode() in console
    if fault.whole and "transcript" in fault.left:
        both = len(console) + files.results.stat().st_size
        assert 0 <= both - files.transcript.stat().st_size <= 64, "bytes of the guest's are lost"


def half_made(cache: Cache) -> list[str]:
    """Snapshots that somebody had begun to make."""
    return [one.key for one in cache.unfinished() if one.kind == SNAPSHOTS]


def no_orphans(bench: Bench, seconds: float = 10) -> bool:
    return eventually(lambda: not bench.guests(), seconds)


def wait_for(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
