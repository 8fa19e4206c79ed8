"""A crash that is wanted: nothing else is a pass, and what was seen instead is said."""

from dataclasses import replace

import pytest
from test_verdict import KERNEL, OFF, results

from vmlab.guest.launch import RESET, Ended
from vmlab.guest.results import Health, Results, StepResult
from vmlab.scenario import Known, expand, load
from vmlab.verdict import Judgement, Verdict, judge

GONE = Ended("reset", RESET)
HANGS = Ended("timeout", "the guest still ran after 20 s of the host's time")
BEGIN = b"[    1.0] hello\n"
BUG = b"[    2.0] kernel BUG at m.c:5!\n"
LATE = b"[    9.0] kernel BUG at m.c:5!\n"
PANIC = b"[    2.5] Kernel panic - not syncing: Fatal exception\n"
OTHER = b"[    1.9] WARNING: CPU: 0 PID: 1 at y.c:3 g+0x1/0x2\n"
B = len(BEGIN)
STEPS = """  - run: first
  - insmod: m
  - expect_crash: {kind: BUG, title: 'm\\.c:\\d', within: 5s}
"""


def judged(tmp_path, found: Results, console: bytes, ended=GONE, steps=STEPS, head="") -> Judgement:
    path = tmp_path / "case.yaml"
    path.write_text(f"name: case\nabout: x\nmodules: [m]\n{head}steps:\n{steps}")
    expanded = expand(load(path, Known(frozenset({"m"}))))[0]
    return judge(expanded, KERNEL, found, console, ended)


def step(verb, begin, end, outcome=0, state="passed", began=1.0, told=None) -> StepResult:
    return StepResult(
        verb, "", state, outcome, 1.0, 1, "", (begin, end), {}, began, told or Health()
    )  # fmt: skip


FIRST = step("run", 0, B)


def dies(begin=B) -> Results:
    """In its second step."""
    return Results(KERNEL, (FIRST,), 2, "announced 3 and reported 1", True, 1.5, begin)


def lives(size: int, told: Health | None = None, first: StepResult = FIRST) -> Results:
    """To its end, with a console of so many bytes in its second step."""
    end = B + size
    last = step("expect_crash", end, end)
    return results(first, step("insmod", B, end, told=told), last)


def test_the_crash_that_was_wanted_is_a_pass(tmp_path):
    judgement = judged(tmp_path, dies(), BEGIN + BUG + PANIC)
    assert judgement.verdict is Verdict.PASSED
    assert judgement.crash is not None and judgement.crash.kind == "BUG"


def test_also_where_the_kernel_goes_on_or_hangs_afterwards(tmp_path):
    size = len(BUG)
    assert judged(tmp_path, lives(size), BEGIN + BUG, OFF).verdict is Verdict.PASSED
    assert judged(tmp_path, dies(), BEGIN + BUG, HANGS).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("console", "reason"),
    [
        (BEGIN + PANIC, "the kernel crashed otherwise: panic: kernel panic: Fatal"),
        (BEGIN + OTHER + BUG + PANIC, "the kernel crashed otherwise: warning: "),
        (BEGIN + BUG.replace(b"m.c", b"n.c"), "in this way, with another title: BUG: kernel BUG"),
        (BEGIN + LATE, "the kernel crashed 7.5 s after the last action began: BUG"),
        (BUG + BEGIN, "the kernel crashed before the last action: BUG"),
    ],
)
def test_another_crash_is_a_failure_that_says_what_was_wanted_and_seen(tmp_path, console, reason):
    judgement = judged(tmp_path, dies(len(BUG) if console.startswith(BUG) else B), console)
    assert judgement.verdict is Verdict.FAILED
    assert reason in judgement.reason
    assert judgement.wanted == r"BUG: m\.c:\d"
    assert judgement.seen


@pytest.mark.parametrize(
    ("found", "ended", "reason"),
    [
        (lives(0), OFF, "the kernel did not crash: all steps came to their end"),
        (dies(), HANGS, "the kernel did not crash: the guest still ran after 20 s"),
        (dies(), GONE, "did not crash: announced 3 and reported 1; the guest powered off or reset"),
    ],
)
def test_no_crash_or_a_hang_is_a_failure_too(tmp_path, found, ended, reason):
    judgement = judged(tmp_path, found, BEGIN, ended)
    assert judgement.verdict is Verdict.FAILED
    assert reason in judgement.reason
    assert judgement.wanted == r"BUG: m\.c:\d"
    assert judgement.seen.startswith("no crash\n")


def test_a_crash_after_the_time_for_it_is_over_is_none_in_time(tmp_path):
    found = lives(0)
    judgement = judged(tmp_path, found, BEGIN + BUG, OFF)
    assert judgement.verdict is Verdict.FAILED
    assert "after the time for it was over" in judgement.reason


def test_steps_before_it_must_come_out_as_they_say(tmp_path):
    failed = step("run", 0, B, outcome=1, state="failed")
    found = Results(KERNEL, (failed,), 2, "x", True, 1.5, B)
    judgement = judged(tmp_path, found, BEGIN + BUG)
    assert (judgement.verdict, judgement.step) == (Verdict.FAILED, 1)
    assert "exit status 1" in judgement.reason


def test_how_the_action_itself_came_out_does_not_matter(tmp_path):
    """A process that an oops or the lack of memory kills has a status of its own."""
    end = B + len(BUG)
    killed = step("insmod", B, end, outcome=137, state="failed")
    skipped = step("expect_crash", end, end, state="skipped")
    found = results(FIRST, killed, skipped, begun=2)
    assert judged(tmp_path, found, BEGIN + BUG, OFF).verdict is Verdict.PASSED


def test_a_module_that_is_refused_did_not_crash_the_kernel(tmp_path):
    refused = step("insmod", B, B, outcome=22, state="failed")
    found = results(FIRST, refused, step("expect_crash", B, B, state="skipped"), begun=2)
    judgement = judged(tmp_path, found, BEGIN, OFF)
    assert (judgement.verdict, judgement.step) == (Verdict.FAILED, 2)
    assert judgement.reason.startswith("EINVAL (invalid argument), and success was wanted")


def test_what_is_allowed_comes_before_it_unharmed(tmp_path):
    head = "allow: [warning, {title: nothing}]\n"
    judgement = judged(tmp_path, dies(), BEGIN + OTHER + BUG, head=head)
    assert judgement.verdict is Verdict.PASSED


def test_a_lost_guest_is_the_lab_s_fault_whatever_was_wanted(tmp_path):
    ended = Ended("lost", "QEMU ended with signal 11")
    assert judged(tmp_path, dies(), BEGIN + BUG, ended).verdict is Verdict.BROKEN


def test_what_the_agent_finds_can_be_wanted(tmp_path):
    steps = "  - run: first\n  - insmod: m\n  - expect_crash: {kind: [BUG, leaked thread]}\n"
    told = Health(leaked=((81, "MyTask"),))
    assert judged(tmp_path, lives(0, told), BEGIN, OFF, steps).verdict is Verdict.PASSED
    assert judged(tmp_path, lives(0, told), BEGIN, OFF).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (Health(tainted=1 << 9), "taint: the kernel became tainted: W, a warning"),
        (Health(leaked=((81, "MyTask"),)), "leaked thread: kernel thread MyTask (pid 81) is still"),
    ],
)
def test_what_the_agent_finds_is_a_crash_where_none_was_wanted(tmp_path, told, reason):
    found = results(FIRST, step("insmod", B, B, told=told))
    steps = "  - run: first\n  - insmod: m\n"
    judgement = judged(tmp_path, found, BEGIN, OFF, steps)
    assert (judgement.verdict, judgement.step) == (Verdict.CRASHED, 2)
    assert judgement.reason.startswith(reason)
    allowed = judged(tmp_path, found, BEGIN, OFF, steps, "allow: [taint, leaked thread]\n")
    assert allowed.verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("ends", "waits", "at", "reason"),
    [
        (6.0, 6.0, 1, None),
        (9.0, 9.0, 1, "8.0 s after the last action began, by the steps' time, for its console"),
        (4.0, 4.0, 2, None),
        (4.0, 8.5, 2, "7.5 s after the last action began, by the steps' time"),
    ],
)
def test_a_crash_without_a_time_came_at_the_end_of_its_step(tmp_path, ends, waits, at, reason):
    bug = BUG.partition(b"] ")[2]
    end = B + (len(bug) if at == 1 else 0)
    acted = replace(step("insmod", B, end), uptime=ends)
    waited = replace(step("expect_crash", end, B + len(bug), began=waits), uptime=waits + 5)
    judgement = judged(tmp_path, results(FIRST, acted, waited), BEGIN + bug, OFF)
    assert judgement.verdict is (Verdict.FAILED if reason else Verdict.PASSED)
    assert (reason or "") in judgement.reason


@pytest.mark.parametrize(("began", "late"), [(5.0, False), (9.0, True)])
def test_a_crash_without_a_time_in_a_step_that_did_not_end_came_at_its_beginning(
    tmp_path, began, late
):
    bug = BUG.partition(b"] ")[2]
    acted = step("insmod", B, B)
    found = Results(KERNEL, (FIRST, acted), 3, "announced 3 and reported 2", True, began, B)
    judgement = judged(tmp_path, found, BEGIN + bug)
    assert judgement.verdict is (Verdict.FAILED if late else Verdict.PASSED)
