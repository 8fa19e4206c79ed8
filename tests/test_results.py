import re

import pytest

from vmlab.guest import results

M = results.MARK
WHOLE = f"""\
KTAP version 1
# kernel=6.1.0-50-686
1..3
{M}# begin 1
# | pid=57
# set z.pid=57
{M}# uptime=12.500000 printk=100 outcome=0
ok 1 - spawn zombie --count 2
{M}# begin 2
# | first
# |\x20
# | a\ttab
# cut=12
# set r.value=two\\nlines\\\\ \\x07
{M}# uptime=13.000001 printk=180 outcome=2
not ok 2 - run false \\n second
ok 3 - sleep # SKIP an earlier step failed
"""


def test_whole_results_are_read():
    found = results.parse(WHOLE)
    assert (found.kernel, found.begun, found.fault) == ("6.1.0-50-686", 2, None)
    spawn, run, sleep = found.steps
    assert (spawn.verb, spawn.argument, spawn.state) == ("spawn", "zombie --count 2", "passed")
    assert (spawn.outcome, spawn.uptime, spawn.printk_bytes) == (0, 12.5, 100)
    assert spawn.output == "pid=57"
    assert dict(spawn.values) == {"z.pid": "57"}
    assert (run.argument, run.state, run.outcome) == ("false \n second", "failed", 2)
    assert run.output == "first\n\na\ttab"
    assert dict(run.values) == {"z.pid": "57", "r.value": "two\nlines\\ \x07"}
    assert (sleep.verb, sleep.argument, sleep.state) == ("sleep", "", "skipped")


def test_the_kernel_s_health_belongs_to_the_step_that_it_was_told_in():
    sick = f"# tainted=512\n# leaked=81 My\\tTask\n# leaked=82 x\n{M}# uptime=12.5"
    text = WHOLE.replace(f"{M}# uptime=12.5", sick).replace("# begin 1", "# begin 1 at=11.250000")
    found = results.parse(text + "# tainted=128\n")
    assert found.fault is None
    spawn, run, _ = found.steps
    assert (spawn.began, run.began, spawn.uptime) == (11.25, None, 12.5)
    assert spawn.health == results.Health(512, ((81, "My\tTask"), (82, "x")))
    assert run.health == results.Health()
    assert found.health == results.Health(128)


def test_where_a_step_that_did_not_end_began_is_known():
    text = f"KTAP version 1\n1..2\n{M}# begin 1 at=3.5\n"
    found = results.parse(text, [40])
    assert (found.begun, found.began, found.began_at) == (1, 3.5, 40)


def test_the_words_of_a_skip_in_a_step_s_own_text_skip_nothing():
    said = f"KTAP version 1\n1..1\n{M}# begin 1\n{M}# uptime=1.0 printk=1 outcome=0\n"
    found = results.parse(said + "ok 1 - run echo # SKIP an earlier step failed\n")
    assert (found.fault, found.steps[0].state) == (None, "passed")
    assert found.steps[0].argument == "echo # SKIP an earlier step failed"


def test_a_note_in_the_middle_of_a_line_of_output_cuts_nothing():
    note = f"# set r.pid=1\n# s: hello\n# + | def\n{M}# uptime=12.5 printk=100 outcome=0\n"
    text = f"KTAP version 1\n1..1\n{M}# begin 1\n# | pid=1\n# | abc\n{note}ok 1 - run x\n"
    found = results.parse(text)
    assert (found.fault, found.steps[0].output) == (None, "pid=1\nabc| def")
    assert dict(found.steps[0].values) == {"r.pid": "1"}
    assert "goes on with no line" in str(results.parse(text.replace("# | ", "# s: ")).fault)


def test_places_in_the_console_come_from_the_marks():
    found = results.parse(WHOLE, [10, 25, 25, 90])
    assert [step.console for step in found.steps] == [(10, 25), (25, 90), (90, 90)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the agent announced no plan"),
        ("KTAP version 1\n", "the agent announced no plan"),
        (WHOLE[:-10], "the results end in the middle of the line"),
        (WHOLE[: WHOLE.index("ok 3")], "the agent announced 3 steps and reported 2"),
        (WHOLE.replace("ok 3 -", "ok 4 -"), "unexpected result line 'ok 4 - sleep"),
        (WHOLE.replace("ok 3", "rubbish\nok 3"), "line 'rubbish' is none of the agent's"),
        (WHOLE.replace("printk=180", "printk="), "line .* is none of the agent's"),
        (WHOLE.replace(f"{M}# uptime=13.000001", "# uptime"), "line .* is none of the agent's"),
        ("Bail out! /program: Input/output error\n", "the agent gave up: /program: Input"),
    ],
)
def test_what_is_not_whole_is_a_fault(text, fault):
    assert re.search(fault, results.parse(text).fault or "no fault")


def test_marks_beyond_the_transcript_are_a_fault():
    assert "fewer marks" in (results.parse(WHOLE, [1, 2]).fault or "")


def test_offsets_are_what_the_console_had_at_each_mark():
    transcript = b"boot\r\n\x1e# begin 1\nhello \x1e# upworld\r\ntime=1\n"
    port = b"\x1e# begin 1\n\x1e# uptime=1\n"
    assert results.console_offsets(transcript, port) == [6, 12]


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        (b"rub\x1ebish\x1e# begin 1\n", [8]),  # the same byte on the console is told apart
        (b"rub\x1e# \x1e# begin 1\n", None),  # here it is not
        (b"no mark", None),
    ],
)
def test_a_mark_on_the_console_is_told_apart_or_admitted(transcript, expected):
    assert results.console_offsets(transcript, b"\x1e# begin 1\n") == expected
