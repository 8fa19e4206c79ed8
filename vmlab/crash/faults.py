"""What the kernel prints of memory, traps, panics and warnings; patterns as in `checkers`."""

from vmlab.crash.rules import ANY_KIND, rule

_WARNED_OF = (
    "refcount", "warning", "list corruption", "stack overflow", "lockdep", "slab corruption",
    "netdevice hang", "bad page",
)  # fmt: skip

_BUG_OF = ("BUG", "list corruption", "slab corruption", "KASAN", "bad page")

FAULTS = (
    # mm: page_alloc.c and debug.c, memory.c, fork.c (check_mm), slub.c and slab.c, oom_kill.c
    rule(
        "bad page",
        "BUG: Bad page (?P<what>state|map|cache) in process (?P<task>.{1,40}?)  (?:pfn|pte|pmd)",
        "BUG: Bad page {what} in {function}",
    ),
    rule("bad page", r"BUG: Bad page (?P<what>\w{1,20})", "BUG: Bad page {what} in {function}"),
    rule("bad page", "BUG: Bad rss-counter", "BUG: Bad rss-counter state"),
    rule(
        "bad page",
        "BUG: non-zero (?:nr_ptes|nr_pmds|pgtables_bytes)",
        "BUG: non-zero pgtables_bytes on freeing mm",
    ),
    rule("bad page", "Bad page state", "BUG: Bad page state in {function}"),
    rule(
        "slab corruption",
        r"(?:=+ )?BUG (?P<cache>\S+)(?: \(.*?\))?: (?P<what>.*(?:overwritten|Poison|Redzone"
        "|[Oo]bject|bad access|padding|Freepointer|Freechain|Left|Right|Invalid|Wrong"
        "|Not a valid|Attempt).{0,80})",
        "BUG {cache}: {what}",
    ),
    rule(
        "slab corruption",
        "INFO: (?:Slab 0x|Object 0x|Allocated in |Freed in )",
        "slab corruption in {function}",
        after=("slab corruption", "KASAN"),
    ),
    rule("slab corruption", "[Ss]lab (?:corruption|error)", "slab corruption in {function}"),
    rule(
        "slab corruption",
        "slab: double free detected|(?:kfree_debugcheck|verify_redzone_free): ",
        "slab corruption in {function}",
    ),
    rule("out of memory", "(?:.{1,16} invoked )?oom-killer: ", "out of memory"),  # alone in 2.6.8
    rule(
        "out of memory",
        "Out of [Mm]emory|Memory cgroup out of memory",
        "out of memory",
        after=("out of memory",),
    ),
    # arch/x86/mm/fault.c pgtable_bad; net/core/neighbour.c; lib/string_helpers.c before its BUG
    rule(
        "page fault",
        r"[^:]{1,20}: Corrupted page table at address [0-9a-f]+",
        "BUG: corrupted page table in {function}",
    ),
    rule("BUG", "NEIGH: BUG, double timer add", "NEIGH: BUG, double timer add in {function}"),
    rule(
        "BUG",
        "detected buffer overflow in |.{1,40}: detected buffer overflow: ",
        "kernel BUG in {function}",
    ),
    # mm/usercopy.c
    rule(
        "BUG",
        "usercopy: (?:Kernel memory (?:exposure|overwrite) attempt"
        "|kernel memory (?:exposure|overwrite) attempt)",
        "BUG: bad usercopy in {function}",
    ),
    rule(
        "warning",
        r"Bad or missing usercopy whitelist\?",
        "WARNING: bad usercopy in {function}",
    ),
    # lib/list_debug.c, lib/refcount.c, include/linux/kref.h
    rule(
        "list corruption",
        "list_(?P<what>add|del) (?:corruption|double add)",
        "BUG: corrupted list in {function}",
    ),
    rule(
        "refcount",
        "refcount_t: (?:underflow|overflow|saturated|addition|decrement)",
        "WARNING: refcount bug in {function}",
    ),
    # arch/x86/mm/fault.c, arch/arm/mm/fault.c, arch/arm64/mm/fault.c
    rule(
        "NULL dereference",
        "(?:BUG: )?[Uu]nable to handle kernel NULL pointer",
        "BUG: unable to handle kernel NULL pointer dereference in {function}",
    ),
    rule(
        "NULL dereference",
        "BUG: kernel NULL pointer dereference",
        "BUG: unable to handle kernel NULL pointer dereference in {function}",
    ),
    rule(
        "page fault",
        "(?:BUG: )?[Uu]nable to handle (?:kernel )?(?:paging|page fault)"
        r"|CPU \d+ Unable to handle kernel paging",
        "BUG: unable to handle kernel paging request in {function}",
    ),
    rule(
        "page fault",
        r"(?:BUG: )?[Uu]nable to handle kernel (?P<what>[\w -]{1,60}?)(?: at|,|$)",
        "BUG: unable to handle kernel {what} in {function}",
    ),
    rule(
        "page fault",
        "BUG: unable to handle ",
        "BUG: unable to handle kernel paging request in {function}",
    ),
    rule("page fault", "Unhandled (?:prefetch abort|fault): ", "Unhandled fault in {function}"),
    # arch/x86/kernel/traps.c, dumpstack_64.c, irq_32.c; kernel/fork.c, kernel/sched/core.c
    rule(
        "stack overflow",
        r"BUG: (?:\S+ )?stack guard page was hit",
        "BUG: stack guard page was hit in {function}",
        stalls=True,
    ),
    rule(
        "stack overflow",
        ".{0,80}kernel stack overflow|do_IRQ: stack overflow",
        "kernel stack overflow in {function}",
        after=ANY_KIND,
        stalls=True,
    ),
    rule(
        "stack overflow",
        r"do_IRQ\(\): .{1,40} has overflown the kernel stack",
        "kernel stack overflow in {function}",
        stalls=True,
    ),
    rule(
        "stack overflow",
        "Insufficient stack space to handle exception",
        "kernel stack overflow in {function}",
        stalls=True,
    ),
    rule(
        "stack overflow",
        "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in:"
        r" (?P<f>[\w.$]{1,120})",
        "kernel panic: stack is corrupted in {function}",
    ),
    rule(
        "stack overflow",
        "Kernel panic - not syncing: (?:stack-protector|corrupted stack end)",
        "kernel panic: corrupted stack end in {function}",
        stalls=True,
    ),
    rule(
        "double fault",
        "(?:traps: )?(?:PANIC: )?double fault",
        "PANIC: double fault in {function}",
    ),
    rule(
        "general protection fault",
        "(?:Oops: )?general protection fault",
        "general protection fault in {function}",
    ),
    rule("divide error", r"(?:Oops: )?divide error: \d+", "divide error in {function}"),
    rule("divide error", "Division by zero in kernel", "divide error in {function}"),
    rule(
        "list corruption",
        r"[Kk]ernel BUG at lib/list_debug\.c",
        "BUG: corrupted list in {function}",
        after=("list corruption",),
    ),
    rule(
        "BUG",
        r"[Kk]ernel BUG at mm/usercopy\.c",
        "BUG: bad usercopy in {function}",
        after=_BUG_OF,
    ),
    rule(
        "BUG",
        "[Kk]ernel BUG at ",
        "kernel BUG in {function}",
        after=_BUG_OF,
    ),
    rule("BUG", r"BUG: Entry point to a function \w+|PAX: ", "{line}"),
    rule(
        "invalid opcode",
        r"(?:Oops: )?invalid op(?:code|erand): \d+",  # operand: i386 of 2.6.8
        "invalid opcode in {function}",
        after=_BUG_OF,
    ),
    rule(
        "invalid opcode",
        "(?:Internal error: )?Oops - undefined instruction",
        "invalid opcode in {function}",
        after=_BUG_OF,
    ),
    rule("int3", r"(?:Oops: )?int3: \d+", "int3 in {function}"),
    rule(
        "control protection",
        "(?:traps: )?(?:Missing ENDBR: |control protection: )",
        "missing ENDBR in {function}",
    ),
    rule("CFI failure", r"CFI failure (?:at|\()", "CFI failure in {function}"),
    rule(
        "machine check",
        r"mce: \[Hardware Error\]: Machine check events? logged"
        r"|(?:mce: )?(?:\[Hardware Error\]: )?CPU ?\d+: Machine Check",
        "machine check",
    ),
    # drivers/trusty/trusty-log.c of Android: what the secure world says as it ends
    rule(
        "panic",
        r"trusty: panic .{1,80}ASSERT FAILED at \(.{1,120}\): (?P<said>.{1,120})",
        "trusty: ASSERT FAILED: {said}",
    ),
    # init/main.c, kernel/exit.c, kernel/panic.c
    rule(
        "init killed",
        "Kernel panic - not syncing: Attempted to kill init",
        "kernel panic: Attempted to kill init!",
    ),
    rule(
        "no root",
        r"(?:Kernel panic - not syncing: )?(?P<said>VFS: Unable to mount root fs.{0,100})",
        "kernel panic: {said}",
    ),
    rule(
        "no init",
        "Kernel panic - not syncing: (?:No working init|No init found)",
        "kernel panic: No working init found",
    ),
    rule(
        "panic",
        "Kernel panic - not syncing: (?P<said>Fatal exception(?: in interrupt)?"
        r"|panic_on_warn set|KASAN: panic_on_warn.{0,40}|panic_on_\w+"
        r"|\S{0,20}\.?(?:fault|warn|panic)\S{0,10} set.{0,20}|kfence\.fault=panic)",
        "kernel panic: {said}",
        after=ANY_KIND,
    ),
    rule("panic", "Kernel panic - not syncing: (?P<said>.{0,200})", "kernel panic: {said}"),
    rule("panic", "Kernel panic", "kernel panic"),
    # arch/arm64/kernel/{traps,entry-common}.c, arch/arm/mm/alignment.c, riscv, mips, powerpc, s390
    rule(
        "oops",
        r"Unhandled (?:\S+ ){1,4}(?:exception|entry) on CPU(?P<cpu>\d+)"
        r"|SError Interrupt on CPU(?P<core>\d+)",
        "kernel panic: unhandled exception",
    ),
    rule("oops", "Alignment trap: not handling|Alignment trap: ", "Alignment trap in {function}"),
    rule("BUG", r"Kernel (?:BUG|bug detected) ?\[#\d+\]", "kernel BUG in {function}"),
    rule(
        "oops",
        r"Oops \[#\d+\]|Oops: Kernel access of bad area|Unexpected kernel "
        "|Reserved instruction in kernel code",
        "Oops in {function}",
        after=ANY_KIND,
    ),
    rule(
        "oops",
        "PANIC: early exception 0x(?P<trap>[0-9a-f]{2})",
        "PANIC: early exception in {function}",
    ),
    rule(
        "oops",
        r"Bad mode in .{1,60} detected(?: on CPU(?P<cpu>\d+))?",
        "kernel panic: bad mode",
    ),
    # kernel/exit.c, make_task_dead
    rule(
        "oops",
        "Fixing recursive fault but reboot is needed",
        "recursive fault in {function}",
        after=ANY_KIND,
    ),
    # any other trap: its name, an error code, the count of oopses
    rule("oops", r"(?:Oops: )?stack segment: [0-9a-f]{4} \[#", "stack segment fault in {function}"),
    rule("oops", "Internal error: ", "Internal error in {function}", after=ANY_KIND),
    rule("oops", "Oops: ", "Oops in {function}", after=ANY_KIND),
    rule(
        "oops",
        r"(?P<what>[A-Za-z][A-Za-z ,-]{1,60}): [0-9a-f]{4} \[#\d+\]",
        "{what} in {function}",
    ),
    # lib/kobject.c, fs/sysfs, lib/debugobjects.c, mm/vmalloc.c, mm/slab_common.c: before a WARNING
    rule(
        "warning",
        r"kobject:? (?:'.{0,80}' )?\(.{1,20}\): (?:tried to (?:init|add)|is not initialized)",
        "WARNING: kobject bug in {function}",
    ),
    rule("warning", "kobject_add_internal failed for ", "WARNING: kobject bug in {function}"),
    rule(
        "warning",
        "sysfs: cannot create duplicate filename",
        "WARNING: sysfs: cannot create duplicate filename in {function}",
    ),
    rule("warning", "ODEBUG: ", "WARNING: ODEBUG bug in {function}"),
    rule(
        "slab corruption",
        r"(?:BUG \S+(?: \(.*?\))?: )?Objects remaining (?:in"
        r"|on) \S+ on __kmem_cache_shutdown"
        r"|kmem_cache_destroy \S+: Slab cache still has objects",
        "WARNING: slab objects remaining",
    ),
    # init/main.c: do_one_initcall, before a WARNING that names only itself
    rule(
        "warning",
        r"initcall (?P<guilty>[\w.$]{1,120})\+0x\S+(?: \[[\w-]{1,60}\])? returned with ",
        "WARNING in {function}",
    ),
    # kernel/irq/spurious.c
    rule("unhandled interrupt", r"irq \d+: nobody cared", "irq nobody cared"),
    # kernel/panic.c __warn: from 6.18 on the file comes first; BUG: until 2.6.20
    rule(
        "warning",
        r"WARNING: (?:CPU: (?P<cpu>\d+) PID: (?P<pid>\d+) )?at"
        r" (?P<file>\S{1,200}?):(?P<lineno>\d+)(?: (?P<f>[A-Za-z_][\w.$]{0,119}))?",
        "WARNING in {function}",
        after=_WARNED_OF,
    ),
    rule(
        "warning",
        r"WARNING: CPU: (?P<cpu>\d+) PID: (?P<pid>\d+)",
        "WARNING in {function}",
        after=_WARNED_OF,
    ),
    rule(
        "warning",
        r"WARNING: (?P<file>\S{1,200}?):(?P<lineno>\d+) at (?:(?P<f>[A-Za-z_][\w.$]{0,119})"
        r"|0x)(?:\S*, CPU#(?P<cpu>\d+): (?P<task>.{1,40})/(?P<pid>\d+))?",
        "WARNING in {function}",
        after=_WARNED_OF,
    ),
    rule(
        "warning",
        "WARNING: kernel stack (?P<what>regs|frame pointer)",
        "WARNING: kernel stack {what} has bad value",
    ),
    rule("warning", "WARNING: at |Badness in |BUG: (?:warning )?at ", "WARNING in {function}"),
    # fs/open.c filp_close, fs/super.c generic_shutdown_super, fs/dcache.c umount_check
    rule(
        "refcount",
        "VFS: Close: file count is (?:0|zero)",
        "VFS: Close: file count is zero (use-after-free)",
    ),
    rule(
        "refcount",
        "VFS: Busy inodes after unmount",
        "VFS: Busy inodes after unmount (use-after-free)",
    ),
    rule(
        "refcount",
        r"BUG: Dentry .{1,300} still in use \(\d+\) \[unmount of ",
        "BUG: Dentry still in use in unmount",
    ),
    rule(
        "netdevice hang",
        r"unregister_netdevice: waiting for (?P<what>\S{1,16})",
        "unregister_netdevice: waiting for DEV to become free",
    ),
    rule("BUG", "BUG: (?P<said>.{1,200})", "BUG: {said}"),
    rule("BUG", r"\[ BUG: (?P<said>.{1,200}?)!? \]", "BUG: {said}"),
)
