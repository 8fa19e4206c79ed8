import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmlab import crash
from vmlab.crash.assemble import MOST
from vmlab.crash.lines import LONGEST


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100", "init killed"),
        ("Kernel panic - not syncing: Fatal exception in interrupt", "panic"),
        ("VFS: Unable to mount root fs on unknown-block(0,0)", "no root"),
        ("BUG: kernel NULL pointer dereference, address: 00000008", "NULL dereference"),
        ("BUG: unable to handle kernel NULL pointer dereference at virtual address 00000004",
         "NULL dereference"),
        ("Unable to handle kernel paging request at virtual address 6b6b6b6b", "page fault"),
        ("BUG: unable to handle page fault for address: ffffc90000000000", "page fault"),
        ("Oops: 0002 [#1] PREEMPT SMP", "oops"),
        ("general protection fault, probably for non-canonical address 0x1: 0000 [#1]",
         "general protection fault"),
        ("kernel BUG at mm/slub.c:305!", "BUG"),
        ("divide error: 0000 [#1] SMP", "divide error"),
        ("WARNING: CPU: 0 PID: 80 at hello/hello.c:4 hello_init+0x30/0x1000 [hello]", "warning"),
        ("WARNING: at kernel/softirq.c:143 local_bh_enable+0x53/0x90()", "warning"),
        ("WARNING: fs/buffer.c:1183 at mark_buffer_dirty+0x299/0x3f0, CPU#1: sh/61", "warning"),
        ("BUG: warning at kernel/softirq.c:141/local_bh_enable()", "warning"),
        ("BUG: at mm/slab.c:777 kmem_find_general_cachep()", "warning"),
        ("[ BUG: bad unlock balance detected! ]", "lockdep"),
        ("/tmp/k/hangs.c:75: spin_unlock(/tmp/k/hangs.c:cc8071ec) not locked", "lockdep"),
        ("drivers/char/vt.c:7: spin_lock(kernel/printk.c:c024e600) already locked by a.c/9",
         "lockdep"),
        ("fs/inode.c:90: spin_is_locked on uninitialized spinlock cab7e000.", "lockdep"),
        ("[ BUG: held lock freed! ]", "lockdep"),
        ("WARNING: insmod/80 still has locks held!", "lockdep"),
        ("INFO: trying to register non-static key.", "lockdep"),
        ("INFO: task udevd:5612 blocked in I/O wait for more than 143 seconds.", "hung task"),
        ("bad: scheduling while atomic!", "scheduling while atomic"),
        ("Debug: sleeping function called from invalid context at mm/slab.c:2000",
         "sleeping function"),
        ("NMI Watchdog detected LOCKUP on CPU0, eip c0100000, registers:", "hard lockup"),
        ("rcu_sched kthread starved for 2100 jiffies! g1 c0", "RCU stall"),
        ("BUG: workqueue lockup - pool cpus=0 stuck for 31s!", "workqueue lockup"),
        ("BUG kmalloc-64: Poison overwritten", "slab corruption"),
        ("sh invoked oom-killer: gfp_mask=0x100cca, order=0, oom_score_adj=0", "out of memory"),
        ("stack segment: 0000 [#1]", "oops"),
        ("do_IRQ: stack overflow: 300", "stack overflow"),
        ("CPU 0: Machine Check Exception: 0000000000000004", "machine check"),
        ("VFS: Close: file count is 0", "refcount"),
        ("Badness in kobject_get at lib/kobject.c:397", "warning"),
        ("BUG: soft lockup - CPU#0 stuck for 22s! [MyTask:81]", "soft lockup"),
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [sh:80]", "soft lockup"),
        ("NMI watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:80]", "soft lockup"),
        ("watchdog: CPU3: Watchdog detected hard LOCKUP on cpu 3", "hard lockup"),
        ("INFO: task MyTask:92 blocked for more than 120 seconds.", "hung task"),
        ("rcu: INFO: rcu_preempt self-detected stall on CPU", "RCU stall"),
        ("INFO: rcu_sched detected stalls on CPUs/tasks: { 0} (detected by 1)", "RCU stall"),
        ("BUG: scheduling while atomic: insmod/80/0x00000002", "scheduling while atomic"),
        ("BUG: sleeping function called from invalid context at mm/slab.h:494",
         "sleeping function"),
        ("BUG: KASAN: slab-out-of-bounds in f+0x1/0x2", "KASAN"),
        ("UBSAN: shift-out-of-bounds in a.c:1:2", "UBSAN"),
        ("WARNING: possible circular locking dependency detected", "lockdep"),
        ("[ INFO: possible recursive locking detected ]", "lockdep"),
        ("list_add corruption. next->prev should be prev", "list corruption"),
        ("refcount_t: underflow; use-after-free.", "refcount"),
        ("BUG: Bad page state in process sh  pfn:00123", "bad page"),
        ("Out of memory: Killed process 80 (sh)", "out of memory"),
        ("BUG: workqueue leaked lock or atomic: kworker/0:1/0x1/12", "workqueue leak"),
        ("kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", "kmemleak"),
        ('irq 16: nobody cared (try booting with the "irqpoll" option)', "unhandled interrupt"),
        ("irq 10: nobody cared!", "unhandled interrupt"),
        ("kobject (ffff888003a1c010): tried to init an initialized object, something is seriously"
         " wrong.", "warning"),
        ("kobject '(null)' (c8822010): tried to add an uninitialized object, something is"
         " seriously wrong.", "warning"),
        ("sysfs: cannot create duplicate filename '/class/misc/frob'", "warning"),
        ("int3: 0000 [#1] PREEMPT SMP", "int3"),
        ("Oops: int3: 0000 [#1] SMP NOPTI", "int3"),
        ("BUG: Bad rss-counter state mm:(____ptrval____) type:MM_ANONPAGES val:3", "bad page"),
        ("BUG frob_cache (Tainted: G           O): Objects remaining in frob_cache on"
         " __kmem_cache_shutdown()", "slab corruption"),
        ("BUG frob (Not tainted): Objects remaining on __kmem_cache_shutdown()",
         "slab corruption"),
        ("kmem_cache_destroy frob: Slab cache still has objects", "slab corruption"),
        ("invalid opcode: 0000 [#1] SMP", "invalid opcode"),
        ("Oops: general protection fault, probably for non-canonical address 0x1: 0000 [#1]",
         "general protection fault"),
        ("usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-32'", "BUG"),
        ("Internal error: Oops: 96000004 [#1] SMP", "oops"),
        ("CFI failure at frob_call+0x10/0x20 [frob] (target: frob_f+0x0/0x10; expected type: 0x1)",
         "CFI failure"),
        ("INFO: task sh:80 can't die for more than 143 seconds.", "hung task"),
        ("BUG: using smp_processor_id() in preemptible [00000000] code: sh/80", "lockdep"),
        ("BUG: spinlock bad magic on CPU#0, sh/80", "lockdep"),
        ("DEBUG_LOCKS_WARN_ON(lock->magic != lock)", "warning"),
        ("kernel BUG at lib/list_debug.c:53!", "list corruption"),
        ("sh: Corrupted page table at address 80f1c08", "page fault"),
        ("NEIGH: BUG, double timer add, state is 1", "BUG"),
        ("detected buffer overflow in memcpy", "BUG"),
        ("memcpy: detected buffer overflow: 40 byte write of buffer size 32", "BUG"),
        ("Fixing recursive fault but reboot is needed!", "oops"),
        ("Bad mode in Error handler detected on CPU0, code 0x34000001 -- BTI", "oops"),
        ("smp: csd: Detected non-responsive CSD lock (#1) on CPU#1, waiting 5000000042 ns for"
         " CPU#00 do_nothing+0x0/0x10(0x0).", "soft lockup"),
        ("WARNING: bad contention detected!", "lockdep"),
        ("DEBUG_RWSEMS_WARN_ON(sem->magic != sem): count = 0x1, magic = 0x0", "warning"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "[   36.106465] ", "<4>[    1.0] ", "[    2.5][   T81] "])
def test_trouble_is_named(line, kind, prefix):
    found = crash.find(f"Linux version 6.1\r\n{prefix}{line}\r\nmore\r\n")
    assert found is not None
    assert (found.kind, found.line_text, found.first_line) == (kind, line, 2)


@pytest.mark.parametrize(
    "line",
    [
        "Warning: unable to open an initial console.",
        "hello: loading out-of-tree module taints kernel.",
        "hello: module verification failed: signature and/or required key missing - tainting",
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
        "DEBUG: no crash",
        "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
        "rcu: \tRCU event tracing is enabled.",
        "Task List::Process PID = 1,::PPID = 0,::State = 1 ::Zombie=NON-ZOMBIE",
        "Intel machine check architecture supported.",
        "CPU: Intel Machine check reporting enabled on CPU#0.",
        "traps: workload[80] general protection fault ip:8048000 sp:bf000000 error:0",
        "WARNING: Spectre v2 mitigation leaves CPU vulnerable to RSB attacks",
        "This is not a bug; warning: none of it is.",
        "INFO: lockdep is turned off.",
        "mce: CPU supports 10 MCE banks",
        "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 2.277 msecs",
        "perf: interrupt took too long (2512 > 2500), lowering kernel.perf_event_max_sample_rate",
        "irq 9: Affinity broken due to vector space exhaustion.",
        "kobject: 'frob' (c8822010): kobject_add_internal: parent: 'misc', set: 'devices'",
        "xfs: Unknown parameter '      Booting the kernel.      '",
        "ACPI: BIOS BUGs are worked around",
        "kthread_monitor: parameter report: \"BUG: x\" is none of all, zombies, summary",
        "WARNING! power/level is deprecated; use power/control instead",
    ],
)  # fmt: skip
def test_harmless_lines_are_no_trouble(line):
    assert crash.find(f"[    1.000000] {line}\n") is None


@pytest.mark.parametrize(
    "before",
    [
        "Freeing memory: ",
        "\x00\ufffd\x1b[2J",
        "** 44 printk messages dropped ** [   50.750742] ",
        "hello[    1.000000] ",
    ],
)
def test_trouble_after_what_was_not_ended_is_found(before):
    found = crash.find(f"{before}Kernel panic - not syncing: Fatal exception\n")
    assert found is not None
    assert (found.kind, found.first_line) == ("panic", 1)
    assert found.line_text == "Kernel panic - not syncing: Fatal exception"


def test_a_weak_word_in_mid_line_is_none():
    assert crash.find("hello: says WARNING: CPU: 0 PID: 1 and BUG: x\n") is None


def test_the_first_trouble_counts():
    found = crash.find("fine\nBUG: soft lockup - CPU#0 stuck\nKernel panic - not syncing: x\n")
    assert found is not None
    assert (found.kind, found.first_line) == ("soft lockup", 2)


@pytest.mark.parametrize(
    "log",
    [
        "\0\x1b[2J\ufffd" * 3_000_000,
        "BUG: KASAN: " + "a" * 10_000_000,
        "[    1.5]" * 1_000_000,
        "[<" * 2_000_000,
        "f+0x1/0x2 " * 1_000_000,
        "INFO: task " * 1_000_000,
        "\r" * 10_000_000,
        "\x1b[" * 2_000_000,
        "(" * 1_000_000 + " from " * 100_000,
        "_" * 5_000_000 + "lock",
    ],
    ids=lambda log: repr(log[:12]),
)
def test_a_line_of_megabytes_is_looked_at_quickly(log):
    began = time.process_time()
    crash.find(log)
    assert time.process_time() - began < 2


def test_no_more_is_kept_of_a_line_than_the_kernel_prints():
    found = crash.find("BUG: KASAN: " + "a" * 10_000_000)
    assert found is not None
    assert len(found.line_text) == LONGEST


def test_of_a_kernel_that_does_nothing_but_crash_the_first_reports_are_read():
    found = crash.find("BUG: x\n" * 10_000)
    assert found is not None
    assert len(found.followers) == MOST - 1


@pytest.mark.parametrize(
    "line",
    [
        "BUG: x",
        "Oops: ",
        "BUG: KASAN: use-after-free in f",
        "WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2",
        " [<c0100000>] ? " + "_" * 200 + "lock+0x1/0x2",
        " _" + "a_" * 60 + "+0x1/0x2",
        "RAX: 0000000000000000 " * 40,
        "(((((((((((((((" * 60,
        "[    1.000000] Linux version 6.1.0 (x",
    ],
)
def test_the_time_grows_with_the_lines_and_not_faster(line):
    """Twice the lines take about twice as long: nothing is looked at again and again."""

    def cost(lines: int) -> float:
        log = "Kernel panic - not syncing: x\n" + f"{line}\n" * lines
        began = time.process_time()
        crash.find(log)
        return time.process_time() - began

    few, many = min(cost(2_000) for _ in range(3)), min(cost(16_000) for _ in range(2))
    assert many < 0.2 + 24 * few


def test_a_megabyte_of_console_takes_a_third_of_a_second():
    """Of the processor's time, in a log as dense with reports as none is."""
    report = "\n".join(
        log.read_text() for log in sorted((Path(__file__).parent / "crash-logs").iterdir())
    )
    boot = "".join(f"[{number / 100:12.6f}] frob {number}: ready\n" for number in range(1_000))
    log = (report + boot * 5) * 20
    log = log[:1_000_000]
    took = []
    for _ in range(3):
        began = time.process_time()
        crash.parse(log)
        took.append(time.process_time() - began)
    assert len(log) == 1_000_000
    assert min(took) < 0.6  # twice what it takes: another machine may be slower


_TEXT = st.text(
    st.sampled_from("\n\r\x1b\0[]<>{}()#:?+-=/. x0aBUGKASANOopsRIPCPU\ufffd"), max_size=400
)
_LINES = st.sampled_from(
    [
        line
        for log in sorted((Path(__file__).parent / "crash-logs").iterdir())
        for line in log.read_text().split("\n")
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_LINES, _TEXT), max_size=60))
def test_no_log_is_too_odd(lines):
    """Lines of true reports in any order and cut anywhere, with rubbish between them."""
    log = "\n".join(lines)
    found = crash.parse(log)
    count = log.count("\n") + 1
    for one in found:
        assert 1 <= one.first_line <= one.last_line <= count
        assert one.title
        assert json.loads(json.dumps(one.as_dict()))["title"] == one.title
    assert [one.first_line for one in found] == sorted(one.first_line for one in found)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=4000))
def test_bytes_that_are_no_text_are_read(raw):
    crash.parse(raw.decode(errors="replace"))


@pytest.mark.parametrize(
    "line",
    ["do_IRQ: stack overflow: 300", "Oops: 0002 [#1] SMP", "Internal error: Oops: 5 [#1]"],
)
@pytest.mark.parametrize("between", [0, 300])
def test_a_trap_after_a_report_s_end_is_not_that_report_s(line, between):
    warning = "WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2\n---[ end trace 0 ]---\n"
    log = warning + "eth0: link is up\n" * between + line + "\n"
    assert [one.kind for one in crash.parse(log)][:1] == ["warning"]
    assert len(crash.parse(log)) == 2
    died = warning.replace("---[ end trace 0 ]---\n", "") + line + "\n"
    assert len(crash.parse(died)) == 1
