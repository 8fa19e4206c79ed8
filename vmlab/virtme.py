"""The virtme backend: virtme-ng boots the kernel over 9p, the same agent runs the same program.

virtme-run's exit status says nothing of the script's, nor of QEMU's; the verdict comes from the
agent's results, as ever, and QEMU's status from the wrapper that starts it.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.catalog import Kernel
from vmlab.errors import LabError
from vmlab.guest import confine, launch, qemu
from vmlab.guest.emulator import Emulator
from vmlab.virtme_trees import debian_tree, kernel_tree, packaged_tree, root_tree

_CONSOLE = "console"  # virtme-run's name for the chardev of the first port
_STATUS = "ret"  # and for the file that takes the script's status, which QEMU's user cannot write
_HUNG_TASK = "kernel.hung_task_timeout_secs"
_KERNEL_OPTIONS = (
    "oops=panic", "printk.devkmsg=on",
    # While the guest waits for 9p its clock may leap by minutes: no task is hung for that.
    f"sysctl.{_HUNG_TASK}=0",
    # The self-tests of ciphers and the search for ISA cards are most of an i386 boot.
    "cryptomgr.notests", "noisapnp",
    "slab_nomerge",  # else objects that are left in a destroyed cache are not told
)  # fmt: skip
_SCRIPT = f"echo 120 > /proc/sys/{_HUNG_TASK.replace('.', '/')}; exec /init"
_VIRTME_ARCH = {"i386": "i386", "x86_64": "x86_64"}
_NEEDS = {
    "virtme-run": "install virtme-ng into the lab's environment (./lab does)",
    "modprobe": "install kmod; virtme-run asks it for the modules that it boots with",
}


@dataclass(frozen=True)
class Way:
    """What virtme-run is given to boot."""

    kernel: Callable[[Artifacts, Kernel], Path]
    root: Callable[[Artifacts, Arch], Path]
    options: Sequence[str]  # the kernel's
    script: str  # begins the agent
    bash_init: Sequence[str]  # where virtme's init is its bash script: names of architectures


LEAN = Way(kernel_tree, root_tree, _KERNEL_OPTIONS, _SCRIPT, ("i386", "x86_64"))
"""The lab's own: no slower than it must be, on either clock."""
CUSTOMARY = Way(packaged_tree, debian_tree, (), "exec /init", ("i386",))
"""What its users have: the kernel as it was packaged, a Debian root on 9p, no option added; where
the faster init that comes with virtme-ng runs (it is an x86_64 program), that one."""


class VirtmeBackend:
    """Boots jobs with virtme-run. Slower than direct boot; shows that the contract holds there."""

    name = "virtme"

    def __init__(self, artifacts: Artifacts, way: Way = LEAN) -> None:
        self._artifacts = artifacts
        self._way = way

    def boot(self, job: Job, stopped: Callable[[], bool]) -> launch.Ended:
        """Raises LabError without virtme-run or what it needs of the host."""
        for program, remedy in _NEEDS.items():
            if shutil.which(program, path=_path()) is None:
                raise LabError(f"booting with virtme-ng: {program} was not found; {remedy}")
        files = Files(job.run)
        words = confine.shares(files.written, memory_mib(job))
        files.write_wrapper(job.runs_in, words)
        kernel, root = self.kernel(job.kernel), self.root(job.machine.arch)
        command = argv(job, kernel, root, self._way)
        job.run.argv.write_text(qemu.pasted(command))
        with files.log.open("wb") as log, _held(command, log.fileno()) as process:
            ended = launch.supervise(process, job.run, job.timeout_s, stopped, job.flood)
            status = process.poll()
        for path in files.written:
            confine.taken_back(path)
        return told(ended, status, files)

    def forget(self) -> None:
        """Every guest boots: there is nothing to forget."""

    def kernel(self, kernel: Kernel) -> Path:
        """The kernel's image as virtme-run wants it: beside its modules and their indexes."""
        return self._way.kernel(self._artifacts, kernel)

    def root(self, arch: Arch) -> Path:
        """The root directory; nothing in it is changed by guests."""
        return self._way.root(self._artifacts, arch)


class Files:
    """What a run directory holds besides, with this backend."""

    def __init__(self, run: qemu.RunDirectory) -> None:
        self.run = run
        self.log = run.path / "virtme.log"  # what virtme-run and QEMU said
        self.wrapper = run.path / "qemu"
        self.status = run.path / "qemu-status"
        self.began = run.path / "qemu-began"
        self.written = (run.console, run.results, run.transcript, self.log)  # by QEMU

    def write_wrapper(self, emulator: Emulator, words: Sequence[str] = ()) -> None:
        """The program that virtme-run takes for QEMU: QEMU ends with it, and it with virtme-run.

        `words` stand before QEMU's command.
        """
        command = shlex.join(emulator.words)
        began = shlex.quote(str(self.began))
        held = f': > {began}; {shlex.join(words)} "$@"; echo $? > "$0"'
        self.wrapper.write_text(
            "#!/bin/sh\n"
            f'[ "$1" = --version ] && exec {command} --version\n'
            f"exec setpriv --pdeathsig KILL -- sh -c {shlex.quote(held)}"
            f' {shlex.quote(str(self.status))} {command} "$@"\n'
        )
        self.wrapper.chmod(0o755)
        for path in (self.status, self.began):
            path.unlink(missing_ok=True)

    def said(self) -> str:
        """The end of what virtme-run and QEMU said."""
        return self.log.read_text(errors="replace").strip()[-400:] or "no message"


def argv(job: Job, kernel: Path, root: Path, way: Way = LEAN) -> list[str]:
    """virtme-run's command. What follows --qemu-opts is ours: ports, program, clock."""
    machine = job.machine
    return [
        "setpriv", "--pdeathsig", "KILL", "--", "virtme-run",
        "--kimg", str(kernel), "--mods", "auto", "--root", str(root),
        "--arch", _VIRTME_ARCH[machine.arch.name], "--qemu-bin", str(Files(job.run).wrapper),
        "--memory", f"{memory_mib(job)}M", "--cpus", str(machine.cpus),
        # Without it virtme-run waits six seconds for a virtiofsd that does not fit its options.
        "--force-9p",
        *(["--no-virtme-ng-init"] if machine.arch.name in way.bash_init else []),
        "--show-boot-console", "--verbose", "--disable-monitor",
        *([] if machine.accel == "kvm" else ["--disable-kvm"]),
        *(word for option in way.options for word in ("-a", option)),
        "--script-sh", way.script,
        "--qemu-opts", *qemu.SANDBOX, *_ports(job.run), *qemu.contract_args(job.run),
        *([] if machine.clock == "real" else qemu.icount_args(machine)),
    ]  # fmt: skip


def memory_mib(job: Job) -> int:
    """What virtme's userland needs besides is there."""
    return max(job.machine.memory_mib, 256)


def told(ended: launch.Ended, status: int | None, files: Files) -> launch.Ended:
    """How the guest ended, by QEMU's own status. `status` is virtme-run's, None where it runs yet.

    Where QEMU was not begun there was no guest, and that is virtme-run's fault.
    """
    began = files.began.exists()
    if began and (status is None or ended.how in ("timeout", "flooded")):
        return ended
    if files.status.exists():
        return _of_qemu(files.status.read_text().strip(), files)
    if began:
        what = f"virtme-run ended with status {status} before its guest did"
    elif status is not None:
        what = f"virtme-run ended with status {status} and started no guest"
    elif ended.how == "timeout":
        what = f"virtme-run started no guest, and {ended.detail.replace('the guest', 'it')}"
    else:
        return ended
    return launch.Ended("lost", f"{what}: {files.said()}")


def _of_qemu(status: str, files: Files) -> launch.Ended:
    known = {
        str(launch.LEFT): launch.Ended("off"),
        "0": launch.Ended("reset", launch.RESET),
    }
    return known.get(status) or launch.Ended(
        "lost", f"QEMU ended with {_named(status)}: {files.said()}"
    )


def _named(status: str) -> str:
    """A shell's word for a status: above 128 it is a signal's."""
    if status.isdigit() and int(status) > 128:
        return f"signal {int(status) - 128}"
    return f"status {status or 'unknown'}"


@contextlib.contextmanager
def _held(command: list[str], log: int) -> Iterator[launch.Process]:
    """The command, in a session of its own, all of which ends with the block.

    Ctrl-C at the terminal reaches the lab alone.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        env={**os.environ, "PATH": _path()},
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ports(run: qemu.RunDirectory) -> list[str]:
    """The second port is ours; virtme's own first one is led into our files, and what nobody reads
    nowhere."""
    options = {"path": run.console, "logfile": run.transcript, "logappend": "on"}
    sets = [
        word
        for option, value in options.items()
        for word in ("-set", f"chardev.{_CONSOLE}.{option}={value}")
    ]
    return [*qemu.serial_args(run)[4:], *sets, "-set", f"chardev.{_STATUS}.path=/dev/null"]


def _path() -> str:
    """Where virtme-run is, and what it runs (modprobe is not in a user's PATH on Debian)."""
    return f"{os.environ.get('PATH', '')}:{Path(sys.executable).parent}:/usr/sbin:/sbin"
