"""Boots one guest in QEMU: argv is built purely, one place starts the process."""

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmlab.arch import Arch
from vmlab.errors import LabError
from vmlab.perturb import Perturbation

ICOUNT_SHIFT = {"i386": 3, "x86_64": 1}  # these boot about as fast as without icount
APPEND = "console=ttyS0 panic=-1 oops=panic printk.devkmsg=on"
CONSOLE_LIMIT = 16 << 20  # bytes; a guest that prints more is ended
LEFT = 67  # QEMU's exit status when the agent leaves through isa-debug-exit: 0x21 << 1 | 1
RESTORE_S = 30.0
"""How long QEMU may take to read a snapshot's state, host seconds, with many guests at once."""
_LOOK_S = 0.05
"""How often a guest's time, its console and the wish to stop are looked at, seconds."""

# RAM in a shared file is not in the state (migration capability x-ignore-shared).
IGNORE_SHARED = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}
RESTORE_CAPABILITIES = {
    "capabilities": [
        {"capability": "x-ignore-shared", "state": True},
        {"capability": "events", "state": True},
    ]
}
# QEMU's threads share one heap, which grows by large steps: one for each grows page by page, with
# two system calls for each page. (glibc: manual, "Memory Allocation Tunables".)
_MALLOC = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in (("arena_max", 1), ("top_pad", 16 << 20), ("trim_threshold", 1 << 30))
)
COMPLETED = re.compile(rb'"MIGRATION".*"completed"')
_RESTORE = ("-incoming", "defer", "-chardev", "stdio,id=restore,signal=off",
            "-mon", "chardev=restore,mode=control")  # fmt: skip

Clock = Literal["virtual", "real"]
Process = subprocess.Popen[bytes]
How = Literal["off", "reset", "timeout", "flooded", "lost"]


@dataclass(frozen=True)
class Ended:
    """How a guest's process ended.

    off: the agent left; reset: the guest reset itself (a panic does); timeout and flooded: the
    lab ended it; lost: QEMU failed.
    """

    how: How
    detail: str = ""
    restored: bool = False  # it began from a snapshot: its kernel has booted once


class StuckError(LabError):
    """QEMU was started from a snapshot and did not come to run."""


@dataclass(frozen=True)
class Machine:
    """What a guest runs on; all of it is in the name of a run's inputs."""

    arch: Arch
    memory_mib: int = 192
    cpus: int = 1
    clock: Clock = "virtual"
    accel: Literal["tcg", "kvm"] = "tcg"
    seed: int = 1  # for the guest's entropy; the agent takes it in when it begins its program
    perturbation: Perturbation | None = None  # of an explored run; a plain one has none

    @property
    def shift(self) -> int:
        """An instruction takes 2^shift ns on the virtual clock."""
        dilation = self.perturbation.dilation if self.perturbation else 0
        return ICOUNT_SHIFT[self.arch.name] + dilation


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run."""

    path: Path

    @property
    def console(self) -> Path:
        return self.path / "console"

    @property
    def results(self) -> Path:
        return self.path / "results"

    @property
    def transcript(self) -> Path:
        """Both ports' bytes in the order QEMU took them."""
        return self.path / "transcript"

    @property
    def program(self) -> Path:
        return self.path / "program.tar"

    @property
    def mode(self) -> Path:
        return self.path / "mode"

    @property
    def argv(self) -> Path:
        return self.path / "argv"

    def began(self) -> bool:
        """Whether the agent has said anything."""
        return self.results.exists() and self.results.stat().st_size > 0

    def clear(self) -> None:
        """Takes away what a guest left, for another to begin."""
        for path in (self.console, self.results, self.transcript):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Memory:
    """A guest's RAM in a file: shared while a snapshot is made, else a private copy of one."""

    ram: Path
    state: Path | None = None  # the rest of a snapshot's state, to begin from
    made: int = 0  # tells a snapshot from one made later under the same name


@dataclass(frozen=True)
class Boot:
    """All that a guest is started from."""

    machine: Machine
    kernel: Path
    initramfs: Path
    run: RunDirectory
    control: Path | None = None  # where the sockets are, for who talks to the guest or to QEMU
    memory: "Memory | None" = None
    port: bool = False  # the results port is a socket too: an interactive guest

    @property
    def port_socket(self) -> Path:
        return (self.control or self.run.path) / "port"

    @property
    def qmp_socket(self) -> Path:
        return (self.control or self.run.path) / "qmp"


def serial_args(run: RunDirectory, port_socket: Path | None = None) -> list[str]:
    """The two ports, each into its file (or the second to a socket), both into the transcript."""
    results = f"file,path={_escaped(run.results)}"
    if port_socket:
        results = f"socket,path={_escaped(port_socket)},server=on,wait=off"
    args = []
    for name, where in (("console", f"file,path={_escaped(run.console)}"), ("results", results)):
        log = f"logfile={_escaped(run.transcript)},logappend=on"
        args += ["-chardev", f"{where},id=vmlab-{name},{log}", "-serial", f"chardev:vmlab-{name}"]
    return args


def contract_args(run: RunDirectory) -> list[str]:
    """What the agent needs of QEMU besides its ports."""
    return [
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
        "-device", "pvpanic", "-action", "panic=pause",
        "-fw_cfg", f"name=opt/vmlab/program,file={_escaped(run.program)}",
        "-fw_cfg", f"name=opt/vmlab/mode,file={_escaped(run.mode)}",
    ]  # fmt: skip


def argv(boot: Boot) -> list[str]:
    """The command that boots this guest; it dies with the process that starts it."""
    machine = boot.machine
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        f"qemu-system-{machine.arch.qemu}",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        *_machine_args(boot),
        *_clock_args(machine),
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        *serial_args(boot.run, boot.port_socket if boot.port else None),
        *_control_args(boot),
        *contract_args(boot.run),
        *_kernel_args(boot),
    ]  # fmt: skip


def recipe(machine: Machine) -> list[str]:
    """What of the command a snapshot depends on: all but the files of a run."""
    nowhere = RunDirectory(Path("run"))
    boot = Boot(machine, Path("kernel"), Path("initramfs"), nowhere, memory=Memory(Path("ram")))
    return argv(boot)


def _machine_args(boot: Boot) -> list[str]:
    """Machine and memory; a guest that begins from a snapshot waits for the state's file."""
    machine, memory = boot.machine, boot.memory
    size = f"{machine.memory_mib}M"
    common = ["-m", size, "-smp", str(machine.cpus)]
    if memory is None:
        return ["-machine", "pc", *common]
    share = "off" if memory.state else "on"
    ram = f"memory-backend-file,id=ram,size={size},mem-path={_escaped(memory.ram)},share={share}"
    args = ["-object", ram, "-machine", "pc,memory-backend=ram", *common]
    return [*args, *(_RESTORE if memory.state else ["-S"])]


def _kernel_args(boot: Boot) -> list[str]:
    """A snapshot's RAM holds the kernel; its state knows the ROM that QEMU adds for -kernel."""
    if boot.memory and boot.memory.state:
        return ["-option-rom", "linuxboot_dma.bin"]
    return ["-kernel", str(boot.kernel), "-initrd", str(boot.initramfs), "-append", APPEND]


def _clock_args(machine: Machine) -> list[str]:
    if machine.accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host", "-seed", "1"]
    common = ["-accel", "tcg", "-cpu", "max,-rdrand,-rdseed", "-seed", "1"]
    if machine.clock == "real":
        return common
    return [*common, *icount_args(machine)]


def icount_args(machine: Machine) -> list[str]:
    """The virtual clock: time passes with instructions, and an idle guest's at once."""
    return ["-icount", f"shift={machine.shift},sleep=off", "-rtc", "base=2020-01-01,clock=vm"]


def _control_args(boot: Boot) -> list[str]:
    """A guest that stops itself (by pvpanic) is gone on with through QMP."""
    if boot.control is None:
        return []
    qmp = f"socket,id=qmp,path={_escaped(boot.qmp_socket)},server=on,wait=off"
    return ["-chardev", qmp, "-mon", "chardev=qmp,mode=control"]


def _escaped(path: Path) -> str:
    """A path in a QEMU option list, where a comma is written twice."""
    return str(path).replace(",", ",,")


def run(boot: Boot, timeout_s: float, stopped: Callable[[], bool] = lambda: False) -> Ended:
    """Boots the guest and waits for its end; `stopped` is asked now and then.

    The run directory holds program and mode before. A guest that outlives `timeout_s` (host
    seconds) or prints more than CONSOLE_LIMIT bytes is ended. Raises LabError without QEMU.
    """
    try:
        process = start(boot)
    except StuckError as error:
        return Ended("lost", str(error))
    with ended(process):
        return supervise(process, boot.run, timeout_s, stopped)


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """The process does not outlive the block."""
    try:
        yield
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def pasted(command: list[str]) -> str:
    """A command as a line that can be pasted into a shell."""
    return shlex.join(command) + "\n"


def start(boot: Boot) -> Process:
    """Starts the guest's process and records its command. Raises LabError without QEMU.

    It has a process group of its own: Ctrl-C reaches the lab alone, which then ends it.
    """
    command = argv(boot)
    boot.run.argv.write_text(pasted(command))
    for needed in ("setpriv", f"qemu-system-{boot.machine.arch.qemu}"):
        if shutil.which(needed) is None:
            raise LabError(
                f"starting a guest: {needed} was not found; install the packages of "
                "packages.txt (./lab does), or see `vmlab doctor`"
            )
    if boot.memory and boot.memory.state:
        return _restored(command, boot.memory.state, go=not boot.port)
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        process_group=0, env=environment(),
    )  # fmt: skip


def environment() -> dict[str, str]:
    """QEMU's environment; it changes no guest, only how fast QEMU is."""
    return {"GLIBC_TUNABLES": _MALLOC, **os.environ}


def _restored(argv: list[str], state: Path, go: bool) -> Process:
    """Starts from a snapshot, and lets the guest go on once its state is in.

    An interactive guest is gone on with by its session, once that can hear it. Raises StuckError
    where the state does not come in.
    """
    with state.open("rb") as file:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(file.fileno(),), process_group=0, env=environment(),
        )  # fmt: skip
        for line in restore_commands(file.fileno()):
            _say(process, line)
    if not _came_in(process, time.monotonic() + RESTORE_S):
        with ended(process):
            raise StuckError(f"QEMU did not read the snapshot's state in {RESTORE_S:g} s")
    if go:
        _say(process, command("cont"))
    return process


def _came_in(process: Process, deadline: float) -> bool:
    """Whether QEMU said in time that the migration is complete, or ended."""
    said = b""
    assert process.stdout is not None
    while not COMPLETED.search(said):
        left = deadline - time.monotonic()
        if not select.select([process.stdout], [], [], max(0.0, left))[0]:
            return False
        block = os.read(process.stdout.fileno(), 65536)
        if not block:
            return True  # it is gone already: its status says why
        said += block
    return True


def restore_commands(state: int) -> list[bytes]:
    """What QEMU is told to begin from a state, given as an open file that it inherited."""
    return [
        command("qmp_capabilities"),
        command("migrate-set-capabilities", RESTORE_CAPABILITIES),
        command("migrate-incoming", {"uri": f"fd:{state}"}),
    ]


def command(name: str, arguments: "Mapping[str, object] | None" = None) -> bytes:
    """A QMP command's line; short, for QEMU reads it byte by byte."""
    content = {"execute": name, **({"arguments": arguments} if arguments else {})}
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _say(process: Process, line: bytes) -> None:
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):  # it is gone already: its status says why
            process.stdin.write(line)
            process.stdin.flush()


def supervise(
    process: "subprocess.Popen[bytes]",
    run: RunDirectory,
    timeout_s: float,
    stopped: Callable[[], bool] = lambda: False,
) -> Ended:
    """Waits for the process' end, its time, its flood or a stop, whichever comes first."""
    deadline = time.monotonic() + timeout_s
    while not _ends(process, _LOOK_S):
        if stopped():
            return Ended("lost", "the lab was stopped")
        if time.monotonic() > deadline:
            return Ended("timeout", f"the guest still ran after {timeout_s:g} s of the host's time")
        if run.console.exists() and run.console.stat().st_size > CONSOLE_LIMIT:
            return FLOODED
    return of_status(process.wait(), process)


def _ends(process: Process, within_s: float) -> bool:
    """Whether the process ends within so many seconds; its end is known at once."""
    if process.poll() is not None:
        return True
    end = os.pidfd_open(process.pid)
    try:
        return bool(select.select([end], [], [], within_s)[0])
    finally:
        os.close(end)


FLOODED = Ended("flooded", f"the console grew past {CONSOLE_LIMIT >> 20} MiB")


def of_status(status: int, process: "subprocess.Popen[bytes]") -> Ended:
    """What a guest's exit status says of its end."""
    if status == LEFT:
        return Ended("off")
    if status == 0:
        return Ended("reset", "the guest reset itself")
    said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    return Ended("lost", f"QEMU ended with {ended}: {said[-400:] or 'no message'}")
