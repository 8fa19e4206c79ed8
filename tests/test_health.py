"""What makes a kernel sick, in the order of the steps, and what is accepted."""

import pytest

from vmlab import crash, health
from vmlab.guest.launch import Ended
from vmlab.guest.results import Health, Results, StepResult
from vmlab.scenario.crashes import Allowed

WARNING = b"[    3.5] WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2\n"
FINE = b"[    1.0] all is well\n"


def step(begin: int, end: int, told: Health | None = None, state="passed") -> StepResult:
    return StepResult(
        "run", "", state, 0, 1.0, 1, "", (begin, end), {}, 0.5, told or Health()
    )  # fmt: skip


def results(*steps: StepResult, running_at: int | None = None, told: Health | None = None):
    begun = len([one for one in steps if one.state != "skipped"]) + (running_at is not None)
    return Results("6.1", steps, begun, None, True, 0.5, running_at or 0, told or Health())


def found(result, console: bytes = FINE, ended: Ended | None = None):
    return [(one.kind, one.step) for one in health.findings(result, console, ended)]


def test_a_healthy_kernel_has_no_finding():
    assert found(results(step(0, 5), step(5, len(FINE)))) == []


L = len(FINE)
TWO = (step(L, L + 5), step(L + 200, L + 300))


@pytest.mark.parametrize(
    ("result", "console", "where"),
    [
        (results(step(L, L + 200)), FINE + WARNING, 0),
        (results(*TWO), FINE + WARNING, 0),
        (results(*TWO), FINE + b"x" * 100 + b"\n" + WARNING, 0),  # before the second begins
        (results(*TWO), FINE + b"x" * 210 + b"\n" + WARNING, 1),
        (results(*TWO), FINE + b"x" * 400 + b"\n" + WARNING, 2),
        (results(step(L, L), running_at=L + 5), FINE + b"x" * 10 + b"\n" + WARNING, 1),
        (results(step(0, L)), WARNING, 0),
        (results(step(5, L)), WARNING, -1),
        (results(step(0, 9, state="failed"), step(9, 9, state="skipped")), FINE + WARNING, 1),
        (results(), WARNING, -1),
    ],
)
def test_a_crash_on_the_console_belongs_to_the_step_in_which_it_came(result, console, where):
    assert found(result, console) == [("warning", where)]


@pytest.mark.parametrize(
    ("bits", "letters"),
    [
        (0, ""), (1 << 0 | 1 << 12 | 1 << 13, ""), (1 << 9, "W"), (1 << 7 | 1 << 14, "DL"),
        (1 << 4 | 1 << 5, "MB"), (1 << 40, ""),
    ],
)  # fmt: skip
def test_bits_of_the_taint_that_a_sick_kernel_sets_are_told(bits, letters):
    told = health.findings(results(step(0, 5), step(5, 9, Health(tainted=bits))), FINE)
    assert [one.title.split(": ")[1][0] for one in told] == list(letters)
    assert {(one.kind, one.step) for one in told} <= {("taint", 1)}


@pytest.mark.parametrize(
    ("line", "left"),
    [(WARNING, []), (b"x invoked oom-killer: gfp_mask=0\n", [("taint", 1)])],
)
def test_a_taint_that_the_console_explains_is_not_told_again(line, left):
    result = results(step(0, len(line)), step(len(line), 999, Health(tainted=1 << 9)))
    assert found(result, line)[1:] == left


def test_what_the_console_says_later_explains_no_taint():
    result = results(step(0, L, Health(tainted=1 << 9)), step(L, 999))
    assert found(result, FINE + WARNING) == [("taint", 0), ("warning", 1)]


def test_threads_that_stay_are_told_by_name_also_after_the_last_step():
    told = Health(leaked=((81, "MyTask"), (82, "other one")))
    (first, second) = health.findings(results(step(0, 5), told=told), FINE)
    assert (first.kind, first.step) == ("leaked thread", 1)
    assert "MyTask (pid 81)" in first.title and "other one (pid 82)" in second.title


def test_a_flood_comes_after_what_the_console_said():
    ended = Ended("flooded", "the console grew past 16 MiB")
    kinds = found(results(running_at=0), WARNING + FINE, ended)
    assert kinds == [("warning", 0), ("flood", 0)]


@pytest.mark.parametrize(
    ("allow", "left"),
    [
        ([], "warning"),
        ([Allowed(kind="warning")], "leaked thread"),
        ([Allowed(title=r"x\.c:1")], "leaked thread"),
        ([Allowed(kind="warning", title=r"y\.c")], "warning"),
        ([Allowed(kind="BUG", title=r"x\.c")], "warning"),
        ([Allowed(kind="warning"), Allowed(kind="leaked thread", title="MyTask")], None),
    ],
)
def test_the_first_that_is_not_allowed_counts(allow, left):
    told = Health(leaked=((81, "MyTask"),))
    everything = health.findings(results(step(0, 999, told)), FINE + WARNING)
    first = health.first(everything, allow)
    assert (first.kind if first else None) == left


def test_the_time_of_a_crash_is_the_kernel_s():
    (first,) = health.findings(results(step(0, 999)), FINE + WARNING)
    assert first.time_s == 3.5
    (first,) = health.findings(results(step(0, 999)), WARNING[10:])
    assert first.time_s is None


@pytest.mark.parametrize(
    ("line", "bits", "left"),
    [
        (WARNING, 1 << 9 | 1 << 7 | 1 << 5, [("taint", 1), ("taint", 1)]),
        (b"watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]\n", 1 << 14, []),
        (b"watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]\n", 1 << 9, [("taint", 1)]),
    ],
)
def test_a_console_explains_the_bits_that_its_kind_leaves_alone(line, bits, left):
    result = results(step(0, len(line)), step(len(line), 999, Health(tainted=bits)))
    assert found(result, line)[1:] == left


def test_reports_past_those_that_are_looked_at_are_not_taken_for_allowed():
    one = WARNING + b"[    3.5] ---[ end trace 0 ]---\n"
    console = one * crash.MOST + b"[    4.0] BUG: KASAN: use-after-free in f+0x1/0x2\n"
    allowed = [Allowed(kind="warning")]
    sick = health.first(health.findings(results(step(0, 9)), console), allowed)
    assert sick and sick.kind == "flood" and "not looked at" in sick.title
    few = one * (crash.MOST - 1)
    assert health.first(health.findings(results(step(0, 9)), few), allowed) is None


def test_a_line_of_an_old_console_begins_after_the_return_that_follows_the_newline():
    """Up to 2.6.8 lines end in newline and return; the return is still the step's before."""
    one = b"crash_lab: what=thread\n\r"
    second = step(len(one), len(one) + 200)
    both = results(step(0, len(one)), second)
    assert found(both, one + WARNING) == [("warning", 1)]
