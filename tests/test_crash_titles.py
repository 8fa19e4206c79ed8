"""What reports are filed under: the families of functions, and the forms, that have no log here."""

import pytest
from test_crash_command import LOGS, run

from vmlab import crash


def title(log: str) -> str:
    found = crash.find(log)
    assert found is not None
    return found.title


def stack(*functions: str) -> str:
    return "Call Trace:\n" + "".join(f" {one}+0x10/0x40\n" for one in functions)


KASAN = "BUG: KASAN: use-after-free in {0}+0x10/0x40\nRead of size 4 at addr ffff888003a1c010\n"


@pytest.mark.parametrize(
    "helper",
    [
        "usb_kill_anchored_urbs", "usb_poison_urb", "init_timer_key", "sk_stop_timer_sync",
        "rollback_registered_many", "unregister_netdevice_queue", "unregister_netdev",
        "__phys_addr", "__virt_to_phys", "free_large_kmalloc", "prepare_alloc_pages",
        "cpus_read_lock", "mmap_write_unlock", "folio_unlock", "iput", "dput", "mntput",
        "proc_register", "proc_create_data", "__kobject_del",
    ],
)  # fmt: skip
def test_of_a_helper_of_everybody_s_its_caller_is_meant(helper):
    log = KASAN.format(helper) + stack("kasan_report", helper, "frob_close", "__fput")
    assert title(log) == "KASAN: use-after-free Read in frob_close"


@pytest.mark.parametrize(
    ("printed", "filed"),
    [
        ("__x64_sys_frob", "sys_frob"),
        ("__ia32_compat_sys_frob", "sys_frob"),
        ("__arm64_sys_frob", "sys_frob"),
        ("__se_sys_frob", "sys_frob"),
        ("___sys_frob", "sys_frob"),
        ("SyS_frob", "frob"),
        ("SYSC_frob", "frob"),
        ("ksys_frob", "frob"),
        ("__do_sys_frob", "frob"),
        ("sys_frob", "sys_frob"),
        ("frob_sys_call", "frob_sys_call"),
    ],
)
def test_a_system_call_has_the_name_that_all_kernels_share(printed, filed):
    assert title("WARNING: CPU: 0 PID: 1 at a.c:1\n" + stack(printed)) == f"WARNING in {filed}"
    stalled = "BUG: soft lockup - CPU#0 stuck for 22s! [sh:80]\n"
    assert title(stalled + stack(printed, "do_syscall_64")) == f"BUG: soft lockup in {filed}"


@pytest.mark.parametrize(
    ("entered", "function"),
    [
        (("frob_copy", "___sys_sendmsg", "__sys_sendmsg", "__x64_sys_sendmsg"), "sys_sendmsg"),
        (("frob_map", "SyS_execve", "stub_execve"), "execve"),
    ],
)
def test_of_a_stall_the_system_call_is_meant(entered, function):
    begin = "BUG: soft lockup - CPU#0 stuck for 22s! [sh:80]\nCall Trace:\n"
    timer = " hrtimer_interrupt+0x1/0x2\n trace_apic_timer_interrupt+0x1/0x2\n"
    log = begin + timer + stack(*entered).removeprefix("Call Trace:\n")
    assert title(log) == f"BUG: soft lockup in {function}"


@pytest.mark.parametrize(
    ("waits", "function"),
    [("frob_ldisc_lock_pair", "frob_hangup"), ("frob_lock", "frob_hangup"), ("rtnl_lock", None)],
)
def test_who_waits_for_a_lock_is_its_caller_but_for_the_one_of_all_the_network(waits, function):
    begin = "INFO: task sh:80 blocked for more than 120 seconds.\n"
    log = begin + stack("__schedule", "schedule", waits, "frob_hangup")
    assert title(log) == f"INFO: task hung in {function or waits}"


@pytest.mark.parametrize(
    "lock", ["blk_queue_enter", "__bio_queue_enter", "blk_mq_unfreeze_queue", "lock_sync"]
)
def test_a_block_queue_is_a_lock_to_lockdep(lock):
    begin = "WARNING: possible circular locking dependency detected\n"
    log = begin + stack("print_circular_bug", "lock_acquire", lock, "frob_submit")
    assert title(log) == "possible deadlock in frob_submit"


POWERPC = """\
INFO: task frob:80 blocked for more than 120 seconds.
Call Trace:
[c000000049a87530] [c000000049a875a0] 0xc000000049a875a0 (unreliable)
[c000000049a87780] [c000000001385b4c] __schedule+0x3cc/0xed0
[c000000049a87a10] [c0000000005f7dc8] frob_exit+0x188/0x2a0
"""
ARM_STALL = """\
INFO: rcu_sched detected stalls on CPUs/tasks:
Backtrace:
[<80101a0c>] (__irq_svc) from [<803b18e8>] (frob_wait+0x4c/0x84)
[<803b18e8>] (frob_wait) from [<80292a90>] (sys_frob+0x9c/0x100)
[<80292a90>] (sys_frob) from [<80101000>] (ret_fast_syscall+0x0/0x54)
RCU grace-period kthread stack dump:
rcu_sched       R  running task        0     9      2 0x00000000
[<80b2ad34>] (__schedule) from [<80b2b144>] (schedule+0x40/0xa0)
[<80b2e4d4>] (schedule_timeout) from [<8018c188>] (rcu_gp_kthread+0x588/0x8c0)
[<8018c188>] (rcu_gp_kthread) from [<801010e8>] (ret_from_fork+0x14/0x2c)
"""
DENTRY = "BUG: Dentry ffff888003a1c010{i=12,n=frob}  still in use (1) [unmount of tmpfs tmpfs]\n"
FREED = """\
WARNING: held lock freed!
-------------------------
sh/80 is freeing memory ffff888003a1c000-ffff888003a1c7ff, with a lock still held there!
ffff888003a1c010 (&frob->lock){+.+.}-{3:3}, at: frob_open+0x3b5/0x7b0
1 lock held by sh/80:
 #0: ffff888003a1c110 (&other->lock){+.+.}-{3:3}, at: other_open+0x3b5/0x7b0
stack backtrace:
"""
LEAKED = """\
BUG: workqueue leaked atomic, lock or RCU: kworker/0:2[80]
     preempt=0x00000000 lock=0->1 RCU=0->0 workfn=frob_work
"""
KMSAN = "BUG: KMSAN: uninit-value in frob_probe+0xd19/0x1310\n"
RACE = "BUG: KCSAN: data-race in {0} / {1}\n"
SEGMENT = "Oops: stack segment: 0000 [#1] SMP\nRIP: 0010:frob_read+0x10/0x40\n"
CHECKED = "WARNING: CPU: 0 PID: 1 at a.c:1 f\nRIP: 0010:frob_check+0x10/0x40\n"
PROMPT = "debian login: Unable to handle kernel paging request at virtual address fc14ef08\n"
ROOT = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(8,1)\n"


@pytest.mark.parametrize(
    ("log", "kind", "filed"),
    [
        (POWERPC, "hung task", "INFO: task hung in frob_exit"),
        (ARM_STALL, "RCU stall", "INFO: rcu detected stall in sys_frob"),
        (DENTRY, "refcount", "BUG: Dentry still in use in unmount"),
        ("VFS: Busy inodes after unmount of sda1. Self-destruct in 5 seconds.\n", "refcount",
         "VFS: Busy inodes after unmount (use-after-free)"),
        ("VFS: Close: file count is 0\n", "refcount",
         "VFS: Close: file count is zero (use-after-free)"),
        (ROOT, "no root", "kernel panic: VFS: Unable to mount root fs on unknown-block(NUM,NUM)"),
        (FREED + stack("kfree", "frob_free"), "lockdep", "WARNING: held lock freed in frob_open"),
        (LEAKED, "workqueue leak", "BUG: workqueue leaked lock or atomic in frob_work"),
        (KMSAN + stack("kmsan_report", "frob_inlined", "frob_probe"), "KMSAN",
         "KMSAN: uninit-value in frob_inlined"),
        (RACE.format("frob_read", "tick_irq"), "KCSAN",
         "KCSAN: data-race in frob_read / tick_irq"),
        (RACE.format("frob_irq [frob]", "frob_read [frob]"), "KCSAN",
         "KCSAN: data-race in frob_irq / frob_read"),
        (SEGMENT, "oops", "stack segment fault in frob_read"),
        (CHECKED + "Call Trace:\n ? frob_check+0x1/0x40\n frob_read+0x1/0x2\n", "warning",
         "WARNING in frob_check"),
        (PROMPT + "PC is at frob_read+0x58/0xa8\n", "page fault",
         "BUG: unable to handle kernel paging request in frob_read"),
        ("PANIC: double fault, error_code: 0x0\nBooting from Hard Disk 0...\n", "double fault",
         "PANIC: double fault"),
    ],
)  # fmt: skip
def test_a_form_of_report_is_filed_by_its_own_words(log, kind, filed):
    found = crash.find(log)
    assert found is not None
    assert (found.kind, found.title) == (kind, filed)


def test_the_new_form_of_a_leak_names_its_task():
    found = crash.find(LEAKED)
    assert found is not None
    assert (found.task, found.pid) == ("kworker/0:2", 80)


@pytest.mark.parametrize("path", sorted(LOGS.glob("*-*")), ids=lambda path: path.name)
def test_no_title_names_a_function_that_was_not_found(path):
    lines = path.read_text().partition("\n\n")[2].split("\n")
    for last in range(1, min(len(lines), 40)):
        found = crash.find("\n".join(lines[:last]))
        assert found is None or " in corrupted" not in found.named


def test_where_no_function_is_found_the_log_s_own_line_is_shown():
    for line, named in (
        ("PANIC: double fault, error_code: 0x0", "double fault: PANIC: double fault ({line})"),
        ("Kernel panic - not syncing: frob", "panic: kernel panic: frob"),
    ):
        found = crash.find(line)
        assert found is not None
        assert found.named == named.format(line=line)


@pytest.mark.parametrize(
    "line",
    [
        "INFO: RCU detected CPU 0 stall (t=2502 jiffies)",
        "INFO: RCU detected CPU stalls: 1 (detected by 0, t=2502 jiffies)",
        "INFO: rcu_sched self-detected stall on CPU { 0}  (t=5250 jiffies g=1 c=0 q=3)",
    ],
)
def test_a_stall_that_rcu_of_2_6_29_to_2_6_36_tells_is_one_too(line):
    found = crash.find(f"{line}\n{stack('frob_poll', 'sys_frob')}")
    assert found is not None
    assert (found.kind, found.title) == ("RCU stall", "INFO: rcu detected stall in sys_frob")


class TestOwnWords:
    """A kernel's `WARNING: text`, without file and line."""

    def test_are_a_warning(self):
        found = crash.find("[    1.000000] WARNING: frob 12 lost its queue\n", running=True)
        assert found is not None
        assert (found.kind, found.title) == ("warning", "WARNING: frob NUM lost its queue")

    def test_are_none_in_a_run_that_boots(self):
        assert crash.find("[    1.000000] WARNING: frob 12 lost its queue\n") is None

    def test_without_the_kernel_s_time_are_a_program_s(self):
        assert crash.find("WARNING: frob 12 lost its queue\n", running=True) is None

    def test_belong_to_a_report_that_is_open(self):
        found = crash.find(
            "[    1.0] BUG: frob\n[    1.0] WARNING: can't access registers at f\n", True
        )
        assert found is not None
        assert not found.followers

    @pytest.mark.parametrize(
        "line",
        [
            "BIOS bug: frob is at 0",
            "strange, CPU MTRRs all blank?",
            "bogus zero IO-APIC address found in MPTABLE, disabling IO/APIC support!",
            "MP table in the EBDA can be UNSAFE, contact the list",
            "NR_CPUS limit of 1 reached. Processor ignored.",
            "bootconfig found on the kernel command line but it is not built in.",
            "the mand mount option is being deprecated and",
            "This combination of AMD processors is not suitable for SMP.",
            "SMP operation may be unreliable with B stepping processors.",
            "LFENCE mitigation is not recommended for this CPU",
            "Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
            "polling idle and HT enabled, performance may degrade",
            "Domain 'frob' has too many ACLs to hold. Stopped learning mode.",
            "fbcon: Driver 'frob' missed to adjust virtual screen size",
            "workqueue cpumask: online intersect > possible intersect",
        ],
    )
    def test_on_firmware_settings_and_advice_are_none(self, line):
        assert crash.find(f"[    1.000000] WARNING: {line}\n", running=True) is None


class TestRunning:
    LOG = (
        "frob: done\nSeaBIOS (version 1.8.2)\nBooting the kernel.\n[    0.000000] Linux version 6\n"
    )

    def test_a_boot_is_none_where_the_log_may_begin_with_it(self):
        assert crash.find(self.LOG) is None

    def test_a_boot_of_a_machine_that_ran_is_a_crash(self):
        found = crash.find(self.LOG, running=True)
        assert found is not None
        assert (found.kind, found.first_line) == ("reboot", 3)

    def test_is_asked_for_on_the_command_line(self):
        assert "unexpected kernel reboot" in run("--running", "-", given=self.LOG).stdout
        assert "unexpected kernel reboot" not in run("-", given=self.LOG).stdout

    def test_is_how_a_folder_is_measured(self, tmp_path):
        (tmp_path / "1").write_text(f"TITLE: unexpected kernel reboot\nTYPE: REBOOT\n\n{self.LOG}")
        (tmp_path / "2").write_text("TITLE: WARNING in corrupted\n\nWARNING: at a.c:1\n")
        (tmp_path / "3").write_text("TITLE: WARNING in frob\n\nWARNING: at a.c:1\n")
        assert run("--score", str(tmp_path)).stdout.split("\n")[-2] == (
            "detected 100.0 %, kind 100.0 %, title 66.7 %, false alarms 0"
        )
