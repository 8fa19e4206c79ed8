"""What on a console says that the kernel is sick: one table, specific before general.

Formats of i386 and x86_64, 2.6 to 7.x; each entry names where the kernel prints it.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of trouble; `pattern` is matched at the start of a line, after its timestamp."""

    name: str
    pattern: "re.Pattern[str]"


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
    # kernel/locking/lockdep.c; before 4.12 between brackets, with INFO: or BUG:
    _kind(
        "lockdep",
        r"(?:\[ (?:INFO|BUG): |INFO: |WARNING: )(?:possible (?:circular|recursive|irq lock inv)"
        r"|inconsistent lock state|suspicious RCU usage|bad (?:unlock|contention) balance"
        r"|held lock freed|lock held (?:when returning|at task exit)|.{1,40} still has locks held"
        r"|Invalid wait context|Nested lock was not taken|trying to register non-static key"
        r"|(?:HARD|SOFT)IRQ-(?:safe|READ-safe))",
    ),
    # kernel/watchdog.c; "NMI watchdog" in 4.x, a CPU first in the newest; 2.6: x86's nmi.c
    _kind("soft lockup", r"(?:(?:NMI )?watchdog: )?BUG: soft lockup"),
    _kind(
        "hard lockup",
        r"(?:(?:NMI )?watchdog: )?(?:CPU\d+: )?(?:BUG: )?(?:NMI )?Watchdog detected (?:hard )?"
        r"LOCKUP",
    ),
    _kind("hard lockup", r"Kernel panic - not syncing: (?:Hard LOCKUP|softlockup)"),
    # kernel/hung_task.c, kernel/rcu
    _kind("hung task", r"INFO: task .* blocked (?:in I/O wait )?for more than \d+ seconds"),
    _kind("RCU stall", r"(?:rcu: )?INFO: \S+ (?:self-)?detected (?:expedited )?stalls?"),
    _kind("RCU stall", r"(?:rcu: )?\S+ kthread starved for \d+ jiffies"),
    # kernel/sched; "bad:" and nothing before 2.6.13
    _kind("scheduling while atomic", r"(?:BUG: |bad: )?(?:scheduling while atomic|atomic schedul)"),
    _kind("sleeping function", r"(?:BUG|Debug): sleeping function called from (?:invalid|illegal)"),
    _kind("workqueue leak", r"BUG: workqueue leaked (?:lock|atomic)"),
    _kind("workqueue lockup", r"BUG: workqueue lockup"),
    # mm
    _kind("bad page", r"BUG: Bad (?:page|rss-counter)|Bad page state"),
    _kind("slab corruption", r"BUG \S+(?: \(.*?\))?: .*(?:overwritten|Poison|Redzone|[Oo]bject)"),
    _kind("slab corruption", r"[Ss]lab (?:corruption|error)"),
    _kind(
        "out of memory",
        r"(?:Out of memory|Memory cgroup out of memory)|.{1,16} invoked oom-killer: ",
    ),
    # lib/list_debug.c, lib/refcount.c
    _kind("list corruption", r"list_(?:add|del) corruption"),
    _kind("refcount", r"refcount_t: (?:underflow|overflow|saturated|addition|decrement)"),
    # arch/x86/mm/fault.c, arch/x86/kernel/traps.c
    _kind("NULL dereference", r"(?:BUG: )?[Uu]nable to handle kernel NULL pointer"),
    _kind("NULL dereference", r"BUG: kernel NULL pointer dereference"),
    _kind("page fault", r"(?:BUG: )?[Uu]nable to handle (?:kernel )?(?:paging|page fault)"),
    _kind("page fault", r"BUG: unable to handle "),
    _kind("stack overflow", r"BUG: (?:\S+ )?stack guard page was hit"),
    _kind("stack overflow", r".{0,80}kernel stack overflow|do_IRQ: stack overflow"),
    _kind("stack overflow", r"Kernel panic - not syncing: (?:stack-protector|corrupted stack end)"),
    _kind("double fault", r"(?:PANIC: )?double fault|traps: PANIC: double fault"),
    _kind("general protection fault", r"(?:Oops: )?general protection fault"),
    _kind("divide error", r"(?:Oops: )?divide error: \d+"),
    _kind("BUG", r"[Kk]ernel BUG at |(?:Oops: )?invalid opcode: \d+"),
    _kind(
        "machine check",
        r"mce: \[Hardware Error\]: Machine check events? logged"
        r"|(?:mce: )?(?:\[Hardware Error\]: )?CPU ?\d+: Machine Check",
    ),
    # init/main.c, kernel/exit.c, kernel/panic.c
    _kind("init killed", r"Kernel panic - not syncing: Attempted to kill init"),
    _kind("no root", r"(?:Kernel panic - not syncing: )?VFS: Unable to mount root fs"),
    _kind("no init", r"Kernel panic - not syncing: (?:No working init|No init found)"),
    _kind("panic", r"Kernel panic"),
    # any other trap: its name, an error code, the count of oopses
    _kind("oops", r"Oops: |[A-Za-z ,-]{1,60}: [0-9a-f]{4} \[#\d+\]"),
    # kernel/panic.c __warn: from 6.18 on the file comes first; BUG: until 2.6.20
    _kind(
        "warning",
        r"WARNING: (?:CPU: \d+ PID: \d+ )?at |WARNING: CPU: \d+ PID: \d+"
        r"|WARNING: \S+:\d+ at |WARNING: kernel stack (?:regs|frame)"
        r"|Badness in |BUG: (?:warning )?at ",
    ),
    _kind("refcount", r"VFS: Close: file count is (?:0|zero)"),
    _kind("netdevice hang", r"unregister_netdevice: waiting for "),
    _kind("BUG", r"BUG: |\[ BUG: "),
)

# Words that no healthy kernel prints: also in the middle of a line, after one that was not ended.
LOUD = (
    _kind("init killed", r"Kernel panic - not syncing: Attempted to kill init"),
    _kind("panic", r"Kernel panic - not syncing"),
    _kind("page fault", r"BUG: unable to handle "),
    _kind("oops", r"Oops: [0-9a-f]{4} \[#\d+\]"),
)

ANY = re.compile("|".join(f"(?:{kind.pattern.pattern})" for kind in KINDS))
ANY_LOUD = re.compile("|".join(f"(?:{kind.pattern.pattern})" for kind in LOUD))
