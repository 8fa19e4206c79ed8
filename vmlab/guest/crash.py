"""What on a console says that the kernel is sick: one table, specific before general.

Formats of i386 and x86_64, 2.6 to 7.x; each entry names where the kernel prints it.
"""

import re
from dataclasses import dataclass

_PREFIX = re.compile(r"^(?:<\d+>)?(?:\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? ?)?")
_LONGEST = 1000  # characters of a line that are looked at


@dataclass(frozen=True)
class Kind:
    """One kind of trouble; `pattern` is matched at the start of a line, after its timestamp."""

    name: str
    pattern: "re.Pattern[str]"


@dataclass(frozen=True)
class Crash:
    """The first trouble on a console."""

    kind: str
    title: str  # the line, without its timestamp
    line: int  # counted from 1


def _kind(name: str, pattern: str) -> Kind:
    return Kind(name, re.compile(pattern))


KINDS = (
    # mm/kasan, mm/kmsan, kernel/kcsan, lib/ubsan.c, mm/kmemleak.c
    _kind("KASAN", r"BUG: KASAN: "),
    _kind("KMSAN", r"BUG: KMSAN: "),
    _kind("KCSAN", r"BUG: KCSAN: "),
    _kind("KFENCE", r"BUG: KFENCE: "),
    _kind("UBSAN", r"UBSAN: "),
    _kind("kmemleak", r"kmemleak: \d+ new suspected memory leaks"),
    # kernel/locking/lockdep.c; before 4.x between brackets, with INFO:
    _kind(
        "lockdep",
        r"(?:\[ INFO: |INFO: |WARNING: )(?:possible (?:circular|recursive|irq lock inversion)"
        r"|inconsistent lock state|suspicious RCU usage|bad unlock balance"
        r"|(?:HARD|SOFT)IRQ-(?:safe|READ-safe))",
    ),
    # kernel/watchdog.c
    _kind("soft lockup", r"(?:watchdog: )?BUG: soft lockup"),
    _kind("hard lockup", r"(?:NMI watchdog: |watchdog: )?(?:BUG: )?Watchdog detected hard LOCKUP"),
    _kind("hard lockup", r"Kernel panic - not syncing: (?:Hard LOCKUP|softlockup)"),
    # kernel/hung_task.c, kernel/rcu
    _kind("hung task", r"INFO: task .* blocked for more than \d+ seconds"),
    _kind("RCU stall", r"(?:rcu: )?INFO: \S+ (?:self-)?detected (?:expedited )?stalls?"),
    _kind("RCU stall", r"(?:rcu: )?INFO: \S+ detected stall on CPU"),
    _kind("RCU stall", r"rcu: .*kthread starved for \d+ jiffies"),
    # kernel/sched
    _kind("scheduling while atomic", r"BUG: (?:scheduling while atomic|atomic scheduling)"),
    _kind("sleeping function", r"(?:BUG|Debug): sleeping function called from (?:invalid|illegal)"),
    _kind("workqueue leak", r"BUG: workqueue leaked (?:lock|atomic)"),
    # mm
    _kind("bad page", r"BUG: Bad (?:page|rss-counter)|Bad page state"),
    _kind("slab corruption", r"BUG \S+ (?:\(.*\))?: .*(?:overwritten|Poison|Redzone|[Oo]bject)"),
    _kind("slab corruption", r"[Ss]lab (?:corruption|error)"),
    _kind("out of memory", r"(?:Out of memory|Memory cgroup out of memory)"),
    # lib/list_debug.c, lib/refcount.c
    _kind("list corruption", r"list_(?:add|del) corruption"),
    _kind("refcount", r"refcount_t: (?:underflow|overflow|saturated|addition|decrement)"),
    # arch/x86/mm/fault.c, arch/x86/kernel/traps.c
    _kind("NULL dereference", r"(?:BUG: )?[Uu]nable to handle kernel NULL pointer"),
    _kind("NULL dereference", r"BUG: kernel NULL pointer dereference"),
    _kind("page fault", r"(?:BUG: )?[Uu]nable to handle (?:kernel )?(?:paging|page fault)"),
    _kind("page fault", r"BUG: unable to handle "),
    _kind("stack overflow", r"BUG: (?:\S+ )?stack guard page was hit|.*kernel stack overflow"),
    _kind("stack overflow", r"Kernel panic - not syncing: (?:stack-protector|corrupted stack end)"),
    _kind("double fault", r"(?:PANIC: )?double fault|traps: PANIC: double fault"),
    _kind("general protection fault", r"(?:Oops: )?general protection fault"),
    _kind("divide error", r"(?:Oops: )?divide error: \d+"),
    _kind("BUG", r"kernel BUG at |Kernel BUG at |(?:Oops: )?invalid opcode: \d+"),
    _kind(
        "machine check", r"(?:mce: \[Hardware Error\]: )?Machine check events? logged|CPU.* Machine"
    ),
    # init/main.c, kernel/exit.c, kernel/panic.c
    _kind("init killed", r"Kernel panic - not syncing: Attempted to kill init"),
    _kind("no root", r"(?:Kernel panic - not syncing: )?VFS: Unable to mount root fs"),
    _kind("no init", r"Kernel panic - not syncing: (?:No working init|No init found)"),
    _kind("panic", r"Kernel panic"),
    _kind("oops", r"Oops: [0-9a-f]{4}|Oops: \d+|Oops: "),
    _kind("warning", r"WARNING: (?:CPU: \d+ PID: \d+ )?at |WARNING: CPU: \d+ PID: \d+|Badness in "),
    _kind("netdevice hang", r"unregister_netdevice: waiting for "),
    _kind("BUG", r"BUG: "),
)


def find(console: str) -> Crash | None:
    """The first line that says the kernel is sick, None where none does."""
    for number, line in enumerate(console.splitlines(), start=1):
        text = _PREFIX.sub("", line[:_LONGEST])
        for kind in KINDS:
            if kind.pattern.match(text):
                return Crash(kind.name, text.rstrip(), number)
    return None
