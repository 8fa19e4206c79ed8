"""The configuration `tiny`: nothing (allnoconfig), and what a guest needs, with reasons."""

from collections.abc import Iterable
from dataclasses import dataclass

from vmlab.arch import Arch

Number = tuple[int, ...]
_ALWAYS: Number = ()
_NEVER: Number = (99,)


@dataclass(frozen=True)
class Wanted:
    """Options with one reason, for kernels from `since` on and before `until`."""

    options: str  # names, NAME=VALUE where it is not y
    why: str
    arch: str = ""  # of this architecture alone
    since: Number = _ALWAYS
    until: Number = _NEVER

    def lines(self) -> list[str]:
        pairs = (one.partition("=") for one in self.options.split())
        return [f"CONFIG_{name}={value or 'y'}" for name, _, value in pairs]


TABLE = (
    # To boot, and to be judged.
    Wanted("64BIT", "what makes it x86_64", arch="x86_64"),
    Wanted("TTY SERIAL_8250 SERIAL_8250_CONSOLE", "the console is a serial port"),
    Wanted("PRINTK PRINTK_TIME", "what the kernel says, and when"),
    Wanted("LOG_BUF_SHIFT=18", "zombie-storm says a thousand lines at once"),
    Wanted("BUG", "a BUG must be seen; else it is no instruction at all"),
    Wanted("DEBUG_BUGVERBOSE", "a BUG names its file and line"),
    Wanted("KALLSYMS KALLSYMS_ALL", "a crash names functions; gdb's script finds variables"),
    Wanted("BLK_DEV_INITRD", "the guest's userland is an initramfs"),
    Wanted("RD_GZIP=n RD_BZIP2=n RD_LZMA=n RD_XZ=n RD_LZO=n RD_LZ4=n RD_ZSTD=n",
           "that initramfs is not compressed"),
    Wanted("BINFMT_ELF BINFMT_SCRIPT", "programs and scripts"),
    Wanted("IA32_EMULATION=n", "no 32-bit program runs in a 64-bit guest", arch="x86_64"),
    Wanted("X86_IOPL_IOPERM", "the agent speaks to ports of QEMU", since=(5, 5)),
    Wanted("X86_TSC M686", "a processor of QEMU's: with time stamps and cmpxchg8b", arch="i386"),
    Wanted("PROCESSOR_SELECT CPU_SUP_HYGON=n CPU_SUP_CENTAUR=n CPU_SUP_ZHAOXIN=n",
           "QEMU's processors are AMD's or Intel's"),
    Wanted("CPU_SUP_CYRIX_32=n CPU_SUP_TRANSMETA_32=n CPU_SUP_UMC_32=n CPU_SUP_VORTEX_32=n",
           "QEMU's processors are AMD's or Intel's", arch="i386"),
    # Time.
    Wanted("HIGH_RES_TIMERS NO_HZ_IDLE", "an idle guest's time leaps to the next timer"),
    Wanted("HZ_250", "as Debian's"),
    Wanted('CMDLINE_BOOL CMDLINE="noapictimer"', "to measure the processor's own timer is most "
           "of a boot under emulation (x86_64: 6 of 7 s); the PIT serves as well"),
    # Modules, and what is looked at when one is unloaded.
    Wanted("MODULES MODULE_UNLOAD", "modules are what is tested"),
    Wanted("PROC_FS SYSFS TMPFS DEVTMPFS SYSCTL PROC_SYSCTL SHMEM", "the agent and scenarios read "
           "and write files of these"),
    Wanted("DEBUG_FS", "debugfs, for modules that show things there"),
    Wanted("SLUB_DEBUG", "/proc/slabinfo counts what a module leaves"),
    Wanted("EXPERT", "else much of this cannot be chosen"),
    # Processors and processes.
    Wanted("SMP NR_CPUS=4", "a scenario may have several processors; RCU as Debian's is for them"),
    Wanted("COMPAT_32BIT_TIME", "programs of 32 bits wait so for signals", arch="i386"),
    Wanted("MULTIUSER FUTEX EPOLL SIGNALFD TIMERFD EVENTFD POSIX_TIMERS FILE_LOCKING "
           "ADVISE_SYSCALLS MEMBARRIER", "system calls of C libraries and workloads"),
    Wanted("UNIX98_PTYS", "`vmlab shell` has a terminal"),
    Wanted("NAMESPACES PID_NS UTS_NS", "pid-namespace"),
    # Looking.
    Wanted("FTRACE ENABLE_DEFAULT_TRACERS", "tracefs with events"),
    Wanted("STACKTRACE", "/proc/PID/stack"),
    # Whatever the kernel can find without being asked to, at no cost to speed.
    Wanted("DETECT_HUNG_TASK SOFTLOCKUP_DETECTOR", "what stands still is named"),
    Wanted("DEBUG_KERNEL DEBUG_LIST DEBUG_ATOMIC_SLEEP SCHED_STACK_END_CHECK",
           "broken lists, sleep where none is allowed, an overrun stack"),
    Wanted("PREEMPT_VOLUNTARY", "as Debian's; counts what is atomic with DEBUG_ATOMIC_SLEEP"),
    Wanted("STACKPROTECTOR STACKPROTECTOR_STRONG", "an overrun frame is found", since=(4, 18)),
    Wanted("VMAP_STACK", "a page guards the end of each stack", arch="x86_64", since=(4, 9)),
    Wanted("SLAB_FREELIST_HARDENED", "memory that is freed twice is found"),
)  # fmt: skip


def options(arch: Arch, number: Number) -> dict[str, str]:
    """What is wanted of a kernel of this release's numbers, by name with its value."""
    return dict(one.removeprefix("CONFIG_").split("=", 1) for one in _lines(_fitting(arch, number)))


def text(arch: Arch, number: Number) -> str:
    """The wanted options as a file for kconfig, each with its reason."""
    parts = [f"# {one.why}\n" + "\n".join(one.lines()) + "\n" for one in _fitting(arch, number)]
    return "\n".join(parts)


def _fitting(arch: Arch, number: Number) -> list[Wanted]:
    return [one for one in TABLE if one.arch in ("", arch.name) and one.since <= number < one.until]


def _lines(wanted: Iterable[Wanted]) -> list[str]:
    return [line for one in wanted for line in one.lines()]
