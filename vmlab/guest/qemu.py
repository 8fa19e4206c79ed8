"""Boots one guest in QEMU: argv is built purely, one place starts the process."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vmlab import bootable
from vmlab.arch import Arch
from vmlab.guest import devices
from vmlab.guest.emulator import Emulator, host
from vmlab.perturb import Perturbation

ICOUNT_SHIFT = {"i386": 3, "x86_64": 1}  # these boot about as fast as without icount
PLAIN_APPEND = "console=ttyS0 panic=-1 oops=panic printk.devkmsg=on"
# Self-tests of public-key algorithms and a look for ISA cards are most of an i386 5.10 boot.
# A cache of objects that is merged with another of their size can be destroyed with objects in it,
# and nothing is said.
APPEND = f"{PLAIN_APPEND} cryptomgr.notests noisapnp slab_nomerge"
# Else AMD's processors of family 6 are taken for ones whose time stamp counters differ.
APPEND_SMP = "tsc=reliable"
# Such a processor of another stepping was never sold for machines with two, of which 32-bit
# kernels warn. (Linux: arch/x86/kernel/cpu/amd.c, init_amd_k7)
CPU_SMP = "family=6,model=6,stepping=0"
# RAM in a shared file is not in the state (migration capability x-ignore-shared).
IGNORE_SHARED = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}
SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
_MONITOR = ("-chardev", "stdio,id=restore,signal=off", "-mon", "chardev=restore,mode=control")
_RESTORE = ("-incoming", "defer", *_MONITOR)
Clock = Literal["virtual", "real"]
Role = Literal["", "a", "b"]
_ROLES: tuple[Role, ...] = ("", "a", "b")


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
    devices: tuple[str, ...] = ()  # of the table in devices.py
    role: Role = ""  # which of two guests on one wire it is, if it is one

    @property
    def several(self) -> bool:
        """Whether several processors share the virtual clock."""
        return self.clock == "virtual" and self.cpus > 1

    @property
    def is_paced(self) -> bool:
        """Whether idle time passes as the host's does: what the guest waits for is done there, by
        another guest or by a device. If it leapt, a busy host would look like a dead device."""
        waits = bool(self.role) or not devices.exact(self.devices)
        return self.clock == "virtual" and waits

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

    def disk(self, number: int) -> Path:
        """What the device of this number stores."""
        return self.path / f"disk-{number}"

    def began(self) -> bool:
        """Whether the agent has said anything."""
        return self.results.exists() and self.results.stat().st_size > 0

    def told(self, console: bytes) -> None:
        """Takes over what a boot printed that came to no program."""
        self.console.write_bytes(console)
        self.transcript.write_bytes(console)
        self.results.write_bytes(b"")

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
class Wire:
    """Open sockets to the other one of two guests: its network, and the third port of its agent."""

    network: int
    port: int


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
    tape: Path | None = None  # QEMU's record of the run: written, or followed by a debugged guest
    debugged: bool = False  # it waits, stopped, for what speaks gdb's protocol
    wire: Wire | None = None
    paced: bool = False  # an idle guest's time passes as the host's does
    kept: bool = False  # QEMU holds it when it dies, until it is told to leave
    append: str = APPEND  # the kernel's command line
    more: tuple[str, ...] = ()  # options that show what QEMU does and change nothing in the guest
    log: Path | None = None  # where it shows that
    emulator: Emulator | None = None  # the host's where none is given

    @property
    def runs_in(self) -> Emulator:
        return self.emulator or host(self.machine.arch)

    @property
    def restored(self) -> bool:
        """Whether it begins from a snapshot."""
        return self.memory is not None and self.memory.state is not None

    @property
    def port_socket(self) -> Path:
        return (self.control or self.run.path) / "port"

    @property
    def qmp_socket(self) -> Path:
        return (self.control or self.run.path) / "qmp"

    @property
    def gdb_socket(self) -> Path:
        return (self.control or self.run.path) / "gdb"


def serial_args(run: RunDirectory, port_socket: Path | None = None) -> list[str]:
    """The two ports, each into its file (or the second to a socket), both into the transcript."""
    results = f"file,path={escaped(run.results)}"
    if port_socket:
        results = f"socket,path={escaped(port_socket)},server=on,wait=off"
    args = []
    for name, where in (("console", f"file,path={escaped(run.console)}"), ("results", results)):
        log = f"logfile={escaped(run.transcript)},logappend=on"
        args += ["-chardev", f"{where},id=vmlab-{name},{log}", "-serial", f"chardev:vmlab-{name}"]
    return args


def contract_args(run: RunDirectory) -> list[str]:
    """What the agent needs of QEMU besides its ports."""
    return [
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
        "-device", "pvpanic", "-action", "panic=pause",
        "-fw_cfg", f"name=opt/vmlab/program,file={escaped(run.program)}",
        "-fw_cfg", f"name=opt/vmlab/mode,file={escaped(run.mode)}",
    ]  # fmt: skip


def argv(boot: Boot, dropped: Sequence[str] = ()) -> list[str]:
    """The command that boots this guest; it dies with the process that starts it.

    `dropped` are setpriv's words for the rights that QEMU begins without.
    """
    machine = boot.machine
    return [
        "setpriv", "--pdeathsig", "KILL", *dropped, "--",
        *boot.runs_in.words, "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot",
        *_kept_args(boot),
        *_machine_args(boot),
        *_clock_args(machine, _tape_option(boot), boot.paced),
        *SANDBOX,
        *serial_args(boot.run, boot.port_socket if boot.port else None),
        *_control_args(boot),
        *_gdb_args(boot),
        *contract_args(boot.run),
        *devices.arguments(machine.devices, boot.run.disk, _ROLES.index(machine.role)),
        *_wire_args(boot),
        *_kernel_args(boot),
        *(["-D", str(boot.log)] if boot.log else []),
        *boot.more,
    ]  # fmt: skip


def recipe(machine: Machine, emulator: Emulator | None = None) -> list[str]:
    """What of the command a snapshot depends on: all but the files of a run."""
    nowhere, memory = RunDirectory(Path("run")), Memory(Path("ram"))
    kernel, initramfs = Path("kernel"), Path("initramfs")
    return argv(Boot(machine, kernel, initramfs, nowhere, memory=memory, emulator=emulator))


def _machine_args(boot: Boot) -> list[str]:
    """Machine and memory; a guest that begins from a snapshot waits for the state's file."""
    machine, memory = boot.machine, boot.memory
    size = f"{machine.memory_mib}M"
    common = ["-m", size, "-smp", str(machine.cpus)]
    if memory is None:
        return ["-machine", "pc", *common]
    share = "off" if memory.state else "on"
    ram = f"memory-backend-file,id=ram,size={size},mem-path={escaped(memory.ram)},share={share}"
    args = ["-object", ram, "-machine", "pc,memory-backend=ram", *common]
    return [*args, *(_RESTORE if memory.state else ["-S"])]


def _kept_args(boot: Boot) -> list[str]:
    """A reset ends the guest, and it stands there; a restored one has its monitor already."""
    if not boot.kept:
        return []
    return ["-action", "shutdown=pause", *(() if boot.restored else _MONITOR)]


def _wire_args(boot: Boot) -> list[str]:
    """While its snapshot is made nobody is at the other end."""
    if not boot.machine.role:
        return []
    wire = boot.wire
    port = f"socket,fd={wire.port}" if wire else "null"
    return [
        "-chardev", f"{port},id=vmlab-peer", "-serial", "chardev:vmlab-peer",
        *(devices.wire(wire.network) if wire else ()),
    ]  # fmt: skip


def _kernel_args(boot: Boot) -> list[str]:
    """A snapshot's RAM holds the kernel; its state knows the ROM that QEMU adds for -kernel."""
    if boot.memory and boot.memory.state:
        return ["-option-rom", "linuxboot_dma.bin"]
    return ["-kernel", str(boot.kernel), "-initrd", str(boot.initramfs), "-append", append(boot)]


def append(boot: Boot) -> str:
    """The kernel's command line. How it resets at a panic hangs on the release in its header."""
    words = f"{boot.append} {APPEND_SMP}" if boot.machine.several else boot.append
    return words.replace("panic=-1", f"panic={bootable.panic_word(boot.kernel)}")


def _tape_option(boot: Boot) -> str:
    """A stop at an instruction lets the guest's clock jump, unless the guest follows a tape.

    (QEMU 7.2: softmmu/icount.c, icount_start_warp_timer: a processor that a breakpoint has stopped
    is taken for idle.)
    """
    if boot.tape is None:
        return ""
    return f",rr={'replay' if boot.debugged else 'record'},rrfile={escaped(boot.tape)}"


def _clock_args(machine: Machine, tape: str, paced: bool) -> list[str]:
    if machine.accel == "kvm":
        return ["-accel", "kvm", "-cpu", "host", "-seed", "1"]
    cpu = "max,-rdrand,-rdseed" + (f",{CPU_SMP}" if machine.cpus > 1 else "")
    common = ["-accel", "tcg", "-cpu", cpu, "-seed", "1"]
    if machine.clock == "real":
        return common
    return [*common, *icount_args(machine, tape, paced)]


def icount_args(machine: Machine, tape: str = "", paced: bool = False) -> list[str]:
    """The virtual clock: time passes with instructions, and an idle guest's at once, or `paced` by
    the host's clock."""
    icount = f"shift={machine.shift},sleep={'on' if paced else 'off'}{tape}"
    return ["-icount", icount, "-rtc", "base=2020-01-01,clock=vm"]


def _control_args(boot: Boot) -> list[str]:
    """A guest that stops itself (by pvpanic) is gone on with through QMP."""
    if boot.control is None:
        return []
    qmp = f"socket,id=qmp,path={escaped(boot.qmp_socket)},server=on,wait=off"
    return ["-chardev", qmp, "-mon", "chardev=qmp,mode=control"]


def _gdb_args(boot: Boot) -> list[str]:
    if not boot.debugged:
        return []
    return ["-chardev", f"socket,id=gdb,path={escaped(boot.gdb_socket)},server=on,wait=off",
            "-gdb", "chardev:gdb"]  # fmt: skip


def escaped(path: Path) -> str:
    """A path in a QEMU option list, where a comma is written twice."""
    return str(path).replace(",", ",,")


def pasted(command: list[str]) -> str:
    """A command as a line that can be pasted into a shell."""
    return shlex.join(command) + "\n"
