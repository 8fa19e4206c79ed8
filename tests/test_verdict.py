from dataclasses import replace
from pathlib import Path

import pytest

from vmlab.guest.launch import Ended
from vmlab.guest.results import Results, StepResult
from vmlab.scenario import Known, expand, load
from vmlab.verdict import CRASH_LINES, Judgement, Verdict, judge

KERNEL = "6.1.0-50-686"
OFF = Ended("off")
BOOT = b"[    0.1] Linux version 6.1\r\n[    1.0] say hello early\r\n"


def expanded(tmp_path: Path, steps: str):
    path = tmp_path / "case.yaml"
    path.write_text(f"name: case\nabout: x\nmodules: [m]\nsteps:\n{steps}")
    return expand(load(path, Known(frozenset({"m"}))))[0]


def step(verb="run", outcome=0, state="passed", console=(0, 0), output="", values=None):
    return StepResult(verb, "", state, outcome, 1.0, 1, output, console, values or {})


def results(*steps: StepResult, kernel: str | None = KERNEL, begun=None, fault=None) -> Results:
    return Results(kernel, steps, len(steps) if begun is None else begun, fault)


def gave_up(why: str) -> Results:
    return replace(results(begun=1, fault=f"the agent gave up: {why}"), gave_up=why)


def judged(tmp_path, yaml, found, console=BOOT, ended=OFF) -> Judgement:
    return judge(expanded(tmp_path, yaml), KERNEL, found, console, ended)


RUN = "  - run: true\n"


def test_what_came_back_whole_and_as_wanted_passes(tmp_path):
    assert judged(tmp_path, RUN, results(step())).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("found", "ended", "verdict", "reason"),
    [
        (results(kernel=None, fault="no plan"), Ended("reset", "the guest reset itself"),
         Verdict.CRASHED, "never came to its first step"),
        (results(kernel=None, fault="no plan"), Ended("timeout", "still ran after 5 s"),
         Verdict.TIMEOUT, "still ran after 5 s"),
        (results(begun=1, fault="reported 0"), Ended("reset", "the guest reset itself"),
         Verdict.CRASHED, "reset itself"),
        (results(begun=1, fault="reported 0"), Ended("timeout", "still ran after 5 s"),
         Verdict.TIMEOUT, "still ran"),
        (gave_up("timeout of the steps: x"), OFF, Verdict.TIMEOUT, "timeout of guest time"),
        (results(begun=1, fault="line 'timeout of the steps: x' is none of the agent's"),
         Ended("reset", "the guest reset itself"), Verdict.CRASHED, "none of the agent's"),
        (gave_up("lab: more than 64 processes were spawned: x"), OFF,
         Verdict.BROKEN, "64 processes"),
        (replace(gave_up("lab: unpacking the program: x"), kernel=None, begun=0), OFF,
         Verdict.BROKEN, "unpacking"),
        (gave_up("fork: no memory"), OFF,
         Verdict.CRASHED, "fork: no memory"),
        (results(step(), fault="the results end in the middle of the line 'ok'"), OFF,
         Verdict.BROKEN, "middle of the line"),
        (results(step(), fault="the results end in the middle of the line 'ok'"),
         Ended("reset", "the guest reset itself"), Verdict.CRASHED, "middle of the line"),
        (results(), Ended("lost", "QEMU ended with signal 11: no message"),
         Verdict.BROKEN, "signal 11"),
        (results(step()), Ended("lost", "QEMU ended with status 1"), Verdict.BROKEN, "status 1"),
        (results(step(), kernel="6.1.0-49-686"), OFF, Verdict.BROKEN, "6.1.0-49-686"),
        (results(begun=1), Ended("flooded", "the console grew past 16 MiB"),
         Verdict.FAILED, "16 MiB"),
        (results(step(), kernel=None), OFF, Verdict.BROKEN, "do not say which kernel"),
        (results(step(state="skipped")), OFF, Verdict.BROKEN, "none before it had failed"),
        (results(step("sleep")), OFF, Verdict.BROKEN, "'sleep' came back in the place of 'run'"),
        (results(step(outcome=1)), OFF, Verdict.FAILED, "exit status 1, and success was wanted"),
        (results(step(), begun=2), OFF, Verdict.BROKEN, "2 steps began and 1 came back"),
        (results(step()), Ended("reset", "the guest reset itself"),
         Verdict.CRASHED, "after its last step: the guest reset itself"),
        (results(step()), Ended("timeout", "still ran after 5 s"), Verdict.TIMEOUT, "still ran"),
        (results(), OFF, Verdict.BROKEN, "0 came back, and 1 were sent"),
    ],
)  # fmt: skip
def test_absence_of_a_result_is_never_a_pass(tmp_path, found, ended, verdict, reason):
    judgement = judged(tmp_path, RUN, found, ended=ended)
    assert judgement.verdict is verdict
    assert reason in judgement.reason


def test_a_crash_of_another_kernel_than_wanted_counts_for_none(tmp_path):
    found = results(kernel="6.1.0-49-686", fault="x")
    judgement = judged(tmp_path, RUN, found, b"Kernel panic - not syncing: x\n")
    assert judgement.verdict is Verdict.BROKEN


def test_without_places_in_the_console_nothing_is_judged_by_it(tmp_path):
    found = Results(KERNEL, (step("console"),), 1, "its order cannot be told", placed=False)
    judgement = judged(tmp_path, "  - console: say hello\n", found)
    assert (judgement.verdict, judgement.reason) == (Verdict.BROKEN, "its order cannot be told")


def test_a_lost_guest_s_last_lines_are_shown(tmp_path):
    judgement = judged(tmp_path, RUN, results(begun=1, fault="x"), ended=Ended("lost", "signal 11"))
    assert (judgement.verdict, judgement.step) == (Verdict.BROKEN, 1)
    assert judgement.seen.endswith("say hello early")


@pytest.mark.parametrize(
    ("given", "verdict"), [("{r.nope}", Verdict.FAILED), ("5", Verdict.PASSED)]
)
def test_a_command_that_ran_with_a_reference_left_in_it_fails(tmp_path, given, verdict):
    yaml = "  - run: x\n    as: r\n  - run: test {r.nope} != 1\n"
    last = {"r.status": "0"}
    ran = StepResult("run", f"test {given} != 1", "passed", 0, 1.0, 1, "", (0, 0), last)
    judgement = judged(tmp_path, yaml, results(step(), ran))
    assert judgement.verdict is verdict
    if verdict is Verdict.FAILED:
        assert judgement.reason == "no step gave r.nope; the values at that time: r.status"


def test_a_sick_kernel_is_never_a_pass_and_the_running_step_is_named(tmp_path):
    console = BOOT + b"[    2.0] BUG: soft lockup - CPU#0 stuck for 22s!\r\n"
    assert judged(tmp_path, RUN, results(step()), console).verdict is Verdict.CRASHED
    judgement = judged(tmp_path, RUN, results(begun=1, fault="x"), console)
    assert (judgement.step, judgement.line, judgement.label) == (1, 5, "run: true")
    assert judgement.reason == (
        "soft lockup: BUG: soft lockup (BUG: soft lockup - CPU#0 stuck for 22s!)"
    )
    assert judgement.crash is not None
    assert judgement.crash.kind == "soft lockup"


def test_the_console_is_shown_from_the_crash_on(tmp_path):
    lines = ["------------[ cut here ]------------", "kernel BUG at frob.c:17!"]
    lines += ["RIP: 0010:frob_start+0x21/0x30 [frob]", "Call Trace:"]
    lines += [f" frob_{number}+0x1/0x2 [frob]" for number in range(40)]
    console = BOOT + "".join(f"[    2.0] {line}\r\n" for line in lines).encode()
    console += b"[    9.0] fine again\r\n" * 30
    judgement = judged(tmp_path, RUN, results(begun=1, fault="x"), console)
    assert judgement.reason == "BUG: kernel BUG in frob_start"
    seen = judgement.seen.split("\n")
    first = BOOT.count(b"\n") + 1
    assert seen[0] == f"[    2.0] {lines[0]}"
    assert len(seen) == CRASH_LINES + 1
    assert seen[-1] == f"... and on to line {first + len(lines) - 1} of the console"


@pytest.mark.parametrize(
    ("yaml", "result", "reason"),
    [
        (RUN, step(outcome=1, state="failed"), "exit status 1, and success was wanted"),
        (RUN, step(outcome=139, state="failed"), "death by SIGSEGV, and success was wanted"),
        ("  - insmod: m\n    errno: EINVAL\n", step("insmod", 8, "failed"),
         "ENOEXEC (exec format error), and EINVAL (invalid argument) was wanted"),
        ("  - insmod: m\n", step("insmod", 17, "failed"), "EEXIST (file exists), and success"),
        ("  - run: x\n    status: nonzero\n", step(state="failed"),
         "success, and an exit status that is not 0 was wanted"),
        ("  - insmod: m\n", step("insmod", 524, "failed"), "ENOTSUPP (of the kernel's own), and"),
        ("  - insmod: m\n", step("insmod", 137, "failed"), "death by SIGKILL, and success"),
        ("  - insmod: m\n    errno: EPROBE_DEFER\n", step("insmod", 999, "failed"),
         "errno 999, which has no name, and EPROBE_DEFER (of the kernel's own) was wanted"),
        ("  - spawn: x\n", step("spawn", 256 + 110, "failed"), "no line `ready` in time"),
        ("  - spawn: x\n", step("spawn", 256 + 61, "failed"),
         "the command ended with success before"),
        ("  - spawn: x\n", step("spawn", 110, "failed"), "exit status 110, and success"),
        ("  - spawn: x\n", step("spawn", 61, "failed"), "exit status 61, and success"),
    ],
)  # fmt: skip
def test_an_outcome_that_was_not_wanted_is_told_in_words(tmp_path, yaml, result, reason):
    judgement = judged(tmp_path, yaml, results(result))
    assert judgement.verdict is Verdict.FAILED
    assert judgement.reason.startswith(reason)


@pytest.mark.parametrize(
    ("key", "pattern", "output", "verdict"),
    [
        ("output", "^b$", "a\nb", Verdict.PASSED),
        ("output", "^b$", "ab", Verdict.FAILED),
        ("no_output", "b", "ab", Verdict.FAILED),
        ("no_output", "c", "ab", Verdict.PASSED),
    ],
)
def test_output_is_judged(tmp_path, key, pattern, output, verdict):
    yaml = f"  - run: x\n    {key}: '{pattern}'\n"
    assert judged(tmp_path, yaml, results(step(output=output))).verdict is verdict


CONSOLE = BOOT + b"[    2.0] say one\r\n[    2.1] say two\r\n[    2.2] say one\r\n"
B = len(BOOT)  # where the action began


@pytest.mark.parametrize(
    ("patterns", "verdict"),
    [
        (["say one"], Verdict.PASSED),
        (["say one", "say two", "say one"], Verdict.PASSED),
        (["say two", "say one"], Verdict.PASSED),
        (["say two", "say two"], Verdict.FAILED),
        (["say one", "say one", "say one"], Verdict.FAILED),
        (["say three"], Verdict.FAILED),
        (["hello early"], Verdict.FAILED),  # from before the action
        (["say one.*say two"], Verdict.FAILED),  # patterns match in one line
    ],
)
def test_console_steps_see_what_was_printed_since_the_action_in_order(tmp_path, patterns, verdict):
    yaml = RUN + "".join(f"  - console: '{pattern}'\n" for pattern in patterns)
    end = len(CONSOLE)
    steps = [step(console=(B, B + 5)), *(step("console", console=(end, end)) for _ in patterns)]
    assert judged(tmp_path, yaml, results(*steps), CONSOLE).verdict is verdict


def test_a_match_from_before_and_the_nearest_line_are_told(tmp_path):
    yaml = RUN + "  - console: 'say hello early'\n"
    steps = results(step(console=(B, B)), step("console", console=(B, len(CONSOLE))))
    judgement = judged(tmp_path, yaml, steps, CONSOLE)
    assert "line 2 of the console is one before" in judgement.reason
    assert judgement.seen == "say one"  # by letters in common: "say two" has fewer
    assert (judgement.step, judgement.line) == (2, 6)


def test_an_action_in_between_moves_the_start(tmp_path):
    yaml = RUN + "  - console: say one\n" + RUN + "  - console: say two\n"
    end = len(CONSOLE)
    found = results(
        step(console=(B, B)), step("console", console=(end, end)),
        step(console=(end, end)), step("console", console=(end, end)),
    )  # fmt: skip
    judgement = judged(tmp_path, yaml, found, CONSOLE)
    assert (judgement.verdict, judgement.step) == (Verdict.FAILED, 4)


@pytest.mark.parametrize(
    ("times", "verdict"), [(2, Verdict.PASSED), (1, Verdict.FAILED), (3, Verdict.FAILED)]
)
def test_matches_can_be_counted(tmp_path, times, verdict):
    yaml = RUN + f"  - console: say one\n    times: {times}\n"
    found = results(step(console=(B, B)), step("console", console=(B, len(CONSOLE))))
    assert judged(tmp_path, yaml, found, CONSOLE).verdict is verdict


@pytest.mark.parametrize(
    ("window", "verdict"),
    [((B, len(CONSOLE)), Verdict.FAILED), ((len(CONSOLE), len(CONSOLE)), Verdict.PASSED)],
)
def test_no_console_looks_at_its_own_window(tmp_path, window, verdict):
    yaml = "  - no_console: say one\n    for: 1s\n"
    found = results(step("no_console", console=window))
    assert judged(tmp_path, yaml, found, CONSOLE).verdict is verdict


@pytest.mark.parametrize(
    ("pid", "verdict"), [("1.", Verdict.FAILED), ("one", Verdict.PASSED), (None, Verdict.FAILED)]
)
def test_captures_go_into_patterns_literally(tmp_path, pid, verdict):
    yaml = "  - run: x\n    as: z\n  - console: 'say {z.pid}$'\n"
    values = {} if pid is None else {"z.pid": pid}
    found = results(step(console=(B, B)), step("console", console=(B, len(CONSOLE)), values=values))
    assert judged(tmp_path, yaml, found, CONSOLE).verdict is verdict


def test_a_line_of_ten_megabytes_is_judged(tmp_path):
    console = BOOT + b"\xff\0" * 5_000_000 + b"\r\nsay one\r\n"
    yaml = RUN + "  - console: say one\n"
    found = results(step(console=(B, B)), step("console", console=(B, len(console))))
    assert judged(tmp_path, yaml, found, console).verdict is Verdict.PASSED


def test_what_must_not_be_printed_is_found_however_far_in_a_line(tmp_path):
    console = b"x" * 50_000 + b" say one\n"
    found = results(step("no_console", console=(0, len(console))))
    judgement = judged(tmp_path, "  - no_console: say one\n    for: 1s\n", found, console)
    assert judgement.verdict is Verdict.FAILED


def test_a_module_that_found_nothing_to_work_with_is_skipped_where_its_step_says_so(tmp_path):
    yaml = "  - modprobe: m\n    or_skip: ENODEV\n"
    nodev, busy = (step("modprobe", outcome=n, state="failed") for n in (19, 16))
    skipped = judged(tmp_path, yaml, results(nodev))
    assert skipped.verdict is Verdict.SKIPPED
    assert skipped.reason == "modprobe: m: ENODEV (no such device)"
    words = BOOT + b"[    2.0] m: loading out-of-tree module taints kernel.\r\n"
    words += b"[    2.5] m: no \x1bsuch board\r\n"
    words += b"[    2.6] init (23) used greatest stack depth: 6960 bytes left\r\n"
    heard = step("modprobe", outcome=19, state="failed", console=(B, len(words)))
    told = judged(tmp_path, yaml, results(heard), words)
    assert told.reason.startswith("modprobe: m: ENODEV (no such device); m: no ")
    assert told.reason.endswith("such board")
    assert told.reason.isprintable()
    told = judged(tmp_path, yaml + "    because: it wants a hen\n", results(nodev))
    assert told.reason == "modprobe: m: ENODEV (no such device), for it wants a hen"
    assert judged(tmp_path, yaml, results(busy)).verdict is Verdict.FAILED
    assert judged(tmp_path, "  - modprobe: m\n", results(nodev)).verdict is Verdict.FAILED
    oops = BOOT + b"[    2.0] BUG: kernel NULL pointer dereference, address: 00000000\r\n"
    assert judged(tmp_path, yaml, results(nodev), oops).verdict is Verdict.CRASHED


@pytest.mark.parametrize(
    "said",
    ["platform duck: firmware: failed to load pond/a.bin (-2)",
     "duck: Direct firmware load for pond/a.bin failed with error -2"],
)  # fmt: skip
def test_of_a_module_that_is_refused_for_want_of_firmware_the_file_is_named(tmp_path, said):
    words = f"[    1.0] {said}\r\n".encode()
    refused, loaded = (
        step("modprobe", outcome, state, (0, len(words)))
        for outcome, state in ((2, "failed"), (0, "passed"))
    )
    told = judged(tmp_path, "  - modprobe: m\n", results(refused), words)
    assert "was wanted; the guest has no firmware pond/a.bin: put it below" in told.reason
    assert judged(tmp_path, "  - modprobe: m\n", results(loaded), words).verdict is Verdict.PASSED
    other = judged(tmp_path, "  - modprobe: m\n", results(refused), words.replace(b"-2", b"-12"))
    assert other.verdict is Verdict.FAILED
    assert "firmware" not in other.reason
