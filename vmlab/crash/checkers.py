"""What the kernel's checkers and watchdogs print: sanitizers, lockdep, stalls, atomic sleeps.

A pattern is matched at the start of a message. Its named groups are facts: `f` (a function),
`task`, `pid`, `cpu`, and words of the title. Each group of rules names where the kernel prints it.
"""

from vmlab.crash.rules import rule

_CUT = "WARNING: {said}"
_LOCKDEP = r"(?:\[ (?:INFO|BUG): |INFO: |WARNING: |BUG: )"

CHECKERS = (
    # mm/kasan/report.c; until 4.1 "BUG: AddressSanitizer", 4.x "on address" and "at addr"
    rule(
        "KASAN",
        "BUG: KASAN: (?P<what>double-free or invalid-free|double-free"
        r"|invalid-free) in (?P<f>[\w.$]{1,120})",
        "KASAN: invalid-free in {function}",
    ),
    rule(
        "KASAN",
        r"BUG: KASAN: (?P<what>[\w-]{1,40}) in (?:(?P<f>[\w.$]{1,120})\+0x|\w)",
        "KASAN: {what} {access} in {function}",
        bare="KASAN: {what} {access}",
    ),
    rule(
        "KASAN",
        r"BUG: KASAN: (?P<what>[\w-]{1,40})",
        "KASAN: {what} {access} in {function}",
        bare="KASAN: {what} {access}",
    ),
    rule(
        "KASAN",
        r"BUG: AddressSanitizer: (?P<what>[\w-]{1,40})",
        "KASAN: {what} {access} in {function}",
        bare="KASAN: {what} {access}",
    ),
    rule("KASAN", "BUG: KASAN: ", "KASAN: {line}"),
    # mm/kmsan/report.c, kernel/kcsan/report.c, mm/kfence/report.c
    rule(
        "KMSAN",
        r"BUG: KMSAN: (?P<what>[\w -]{1,60}?) in (?:(?P<f>[\w.$]{1,120})\+0x|\w)",
        "KMSAN: {what} in {function}",
    ),
    rule("KMSAN", "BUG: KMSAN: ", "KMSAN: bug in {function}"),
    rule(
        "KCSAN",
        r"BUG: KCSAN: (?P<what>[\w -]{1,60}?) in (?P<one>[\w.$]{1,120})(?: \[\w+\])? /"
        r" (?P<two>[\w.$]{1,120})",
        "KCSAN: {what} in {one} / {two}",
    ),
    rule(
        "KCSAN",
        r"BUG: KCSAN: (?P<what>[\w -]{1,60}?) in (?P<f>[\w.$]{1,120})",
        "KCSAN: {what} in {function}",
    ),
    rule("KCSAN", "BUG: KCSAN: ", "KCSAN: bug in {function}"),
    rule(
        "KFENCE",
        r"BUG: KFENCE: (?P<what>[\w -]{1,60}?) in (?:(?P<f>[\w.$]{1,120})\+0x|\w)",
        "KFENCE: {what} in {function}",
    ),
    rule("KFENCE", "BUG: KFENCE: ", "KFENCE: bug in {function}"),
    # lib/ubsan.c
    rule("UBSAN", "UBSAN: Undefined behaviour in ", "UBSAN: undefined-behaviour in {function}"),
    rule("UBSAN", r"UBSAN: (?P<what>[\w-]{1,60}) in ", "UBSAN: {what} in {function}"),
    rule("UBSAN", "UBSAN: ", "UBSAN: undefined-behaviour in {function}"),
    # mm/kmemleak.c, and who reads its list
    rule("kmemleak", "BUG: memory leak", "memory leak in {function}"),
    rule(
        "kmemleak",
        r"(?:kmemleak: )?unreferenced object 0x[0-9a-f]+ \(size ",
        "memory leak in {function}",
        after=("kmemleak",),
    ),
    rule("kmemleak", r"kmemleak: \d+ new suspected memory leaks", "memory leak"),
    # kernel/locking/lockdep.c; until 4.12 between brackets, with INFO: or BUG:
    rule(
        "lockdep",
        _LOCKDEP + r"(?P<said>possible (?:circular|recursive|irq lock inv)[\w ]{0,60})",
        "possible deadlock in {function}",
        bare=_CUT,
    ),
    rule(
        "lockdep",
        _LOCKDEP + ".{1,16}-(?:safe|READ-safe) -> .{1,16}-unsafe lock order",
        "possible deadlock in {became}",
    ),
    rule(
        "lockdep",
        _LOCKDEP + "inconsistent lock state",
        "inconsistent lock state in {function}",
    ),
    rule(
        "lockdep",
        _LOCKDEP + "(?P<said>suspicious (?:RCU usage|rcu_dereference_check))",
        "WARNING: suspicious RCU usage in {function}",
        bare=_CUT,
    ),
    rule("lockdep", "WARNING: bad unlock balance", "WARNING: bad unlock balance in {function}"),
    rule(
        "lockdep",
        _LOCKDEP + "bad (?P<what>unlock balance|contention)",
        "BUG: bad {what} in {function}",
    ),
    rule("lockdep", "WARNING: held lock freed", "WARNING: held lock freed in {taken}"),
    rule(
        "lockdep",
        _LOCKDEP + "held lock freed",
        "BUG: held lock freed in {taken}",
    ),
    rule(
        "lockdep",
        "WARNING: lock held (?P<what>when returning to user space|at task exit)",
        "WARNING: lock held {what} in {held}",
    ),
    rule(
        "lockdep",
        _LOCKDEP + "lock held (?P<what>when returning to user space|at task exit)",
        "BUG: lock held {what} in {held}",
    ),
    rule(
        "lockdep",
        "WARNING: .{1,40} still has locks held",
        "WARNING: still has locks held in {held}",
    ),
    rule(
        "lockdep",
        r"(?:BUG: |\[ BUG: ).{1,40} still has locks held",
        "BUG: still has locks held in {held}",
    ),
    rule(
        "lockdep",
        _LOCKDEP + "Invalid wait context",
        "WARNING: locking bug in {function}",
    ),
    rule(
        "lockdep",
        _LOCKDEP + "Nested lock was not taken",
        "WARNING: nested lock was not taken in {function}",
    ),
    rule(
        "lockdep",
        _LOCKDEP + "trying to register non-static key",
        "INFO: trying to register non-static key in {function}",
    ),
    rule(
        "lockdep",
        r"BUG: key .{1,40} (?:not in \.data|has not been registered)",
        "BUG: key has not been registered in {function}",
    ),
    rule(
        "lockdep",
        r"BUG: MAX_(?P<what>LOCK_DEPTH|LOCKDEP_\w+|STACK_TRACE_ENTRIES) too low",
        "BUG: MAX_{what} too low",
    ),
    rule("warning", r"DEBUG_(?:LOCKS|RWSEMS)_WARN_ON\(", "WARNING in {function}"),
    # kernel/locking/spinlock_debug.c, rtmutex-debug; lib/smp_processor_id.c
    rule(
        "lockdep",
        "BUG: (?P<what>spinlock|rwlock|rwsem"
        r"|mutex) (?P<which>[\w -]{1,40}?) on CPU#(?P<cpu>\d+),"
        r" (?P<task>.{1,40}?)/(?P<pid>\d+)",
        "BUG: {what} {which} in {function}",
    ),
    rule(
        "lockdep",
        r"BUG: (?P<what>spinlock|rwlock)[- ](?P<which>[\w -]{1,40}?)(?: on CPU|,|$)",
        "BUG: {what} {which} in {function}",
    ),
    # include/linux/spinlock.h, up to 2.6.13: the file that asked comes first
    rule(
        "lockdep",
        r"(?:[\w.+-]{0,60}/){0,20}(?P<place>[\w.+-]{1,60}):\d{1,6}: spin_\w{4,11}(?:\(.{1,300}\))? "
        r"(?P<which>already locked|not locked|owned|on uninitialized spinlock)",
        "BUG: spinlock {which} at {place}",
    ),
    rule(
        "lockdep",
        r"BUG: using (?P<what>[\w]{1,60}\(\)) in preemptible (?:\[[0-9a-f]*\] )?code:"
        r" (?P<task>.{1,40}?)/(?P<pid>\d+)",
        "BUG: using {what} in preemptible code in {function}",
    ),
    rule(
        "lockdep",
        r"BUG: using (?P<what>[\w]{1,60}(?:\(\))?) in preemptible",
        "BUG: using {what} in preemptible code in {function}",
    ),
    # kernel/watchdog.c; "NMI watchdog" in 4.x, a CPU first in the newest; 2.6: x86's nmi.c
    rule(
        "soft lockup",
        r"(?:(?:NMI )?watchdog: )?BUG: soft lockup - CPU#(?P<cpu>\d+) stuck for \S+"
        r" \[(?P<task>.{1,60}):(?P<pid>\d+)\]",
        "BUG: soft lockup in {function}",
        stalls=True,
    ),
    rule(
        "soft lockup",
        "(?:(?:NMI )?watchdog: )?BUG: soft lockup",
        "BUG: soft lockup in {function}",
        stalls=True,
    ),
    rule(
        "hard lockup",
        r"(?:(?:NMI )?watchdog: )?(?:CPU\d+: )?(?:BUG: )?(?:NMI )?Watchdog detected (?:hard"
        " )?LOCKUP(?: on (?:cpu "
        r"|CPU)(?P<cpu>\d+))?",
        "BUG: hard lockup in {function}",
        stalls=True,
    ),
    rule(
        "hard lockup",
        "Kernel panic - not syncing: Hard LOCKUP",
        "BUG: hard lockup in {function}",
        after=("hard lockup",),
        stalls=True,
    ),
    rule(
        "hard lockup",
        "Kernel panic - not syncing: softlockup",
        "BUG: soft lockup in {function}",
        after=("soft lockup",),
        stalls=True,
    ),
    # kernel/hung_task.c, kernel/rcu
    rule(
        "hung task",
        r"INFO: task (?P<task>.{1,60}):(?P<pid>\d+) (?:<.{1,40}> )?blocked (?:in I/O wait"
        r" )?(?:on .{1,40} )?for more than \d+ seconds",
        "INFO: task hung in {function}",
    ),
    rule(
        "hung task",
        r"INFO: task .* blocked (?:in I/O wait )?for more than \d+ seconds",
        "INFO: task hung in {function}",
    ),
    rule(
        "hung task",
        "INFO: task .{1,60} can't die for more than",
        "INFO: task can't die in {function}",
    ),
    rule(
        "hung task",
        "Kernel panic - not syncing: hung_task: blocked tasks",
        "INFO: task hung",
        after=("hung task",),
    ),
    rule(
        "RCU stall",
        r"(?:rcu: )?INFO: \S+ (?:self-)?detected (?:expedited |CPU (?:\d+ )?)?stalls?",
        "INFO: rcu detected stall in {function}",
        stalls=True,
    ),
    rule(
        "RCU stall",
        r"(?:rcu: )?INFO: \S+ state|INFO: rcu_\w+ detected stall",
        "INFO: rcu detected stall in {function}",
        stalls=True,
    ),
    rule(
        "RCU stall",
        r"(?:rcu: )?\S+ kthread (?:starved for|timer wakeup didn't happen for) \d+ jiffies",
        "INFO: rcu detected stall in {function}",
        after=("RCU stall",),
        stalls=True,
    ),
    rule(
        "RCU stall",
        "Kernel panic - not syncing: RCU Stall",
        "INFO: rcu detected stall in {function}",
        after=("RCU stall",),
        stalls=True,
    ),
    # kernel/sched; "bad:" and nothing before 2.6.13, the process id last in 2.6.20
    rule(
        "scheduling while atomic",
        "(?:BUG: |bad: )?(?:scheduling while atomic"
        r"|atomic schedul)(?:: (?P<task>.{1,40}?)/(?:0x[0-9a-f]+/)?(?P<pid>\d+)(?:/0x|$))?",
        "BUG: scheduling while atomic in {function}",
    ),
    rule(
        "sleeping function",
        "(?:BUG|Debug): sleeping function called from (?:invalid|illegal)",
        "BUG: sleeping function called from invalid context in {function}",
    ),
    rule(
        "sleeping function",
        r"BUG: assuming (?P<what>atomic|non migratable) context at (?P<place>[\w./-]{1,120}):\d+",
        "BUG: assuming {what} context at {place}:LINE",
    ),
    # kernel/smp.c: a processor that does not answer
    rule(
        "soft lockup",
        r"(?:smp: )?csd: .{1,40} non-responsive CSD lock .{1,20} on CPU#(?P<cpu>\d+)",
        "csd: non-responsive CSD lock in {function}",
        stalls=True,
    ),
    # kernel/workqueue.c
    rule(
        "workqueue leak",
        "BUG: workqueue leaked (?:lock|atomic)"
        r"(?:.{0,40}?: (?P<task>.{1,40}?)(?:/0x[0-9a-f]+/|\[)(?P<pid>\d+))?",
        "BUG: workqueue leaked lock or atomic in {function}",
    ),
    rule("workqueue lockup", "BUG: workqueue lockup", "BUG: workqueue lockup"),
)
