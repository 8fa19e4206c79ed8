import pytest

from vmlab.guest import results

HEAD = "KTAP version 1\n# kernel=6.1.0-50-amd64\n1..2\n"
FIRST = "# | ready\n# uptime=3.22 printk=24457 outcome=0\nok 1 - run /program/zombie\n"
SECOND = "# uptime=3.30 printk=24460 outcome=2\nnot ok 2 - rmmod nothing\n"


def test_a_whole_port_gives_every_step_with_its_output() -> None:
    found = results.parse(HEAD + FIRST + SECOND)
    assert found.fault is None
    assert found.kernel == "6.1.0-50-amd64"
    assert [step.passed for step in found.steps] == [True, False]
    assert found.steps[0].output == "ready"
    assert found.steps[1].outcome == 2
    assert not found.passed


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no plan"),
        (HEAD + FIRST, "announced 2 steps and reported 1"),
        (HEAD + FIRST + SECOND[:-9], "in the middle of the line"),
        (HEAD + FIRST + FIRST, "unexpected result line"),
        (HEAD + "rubbish\n" + FIRST + SECOND, "none of the agent's"),
        ("Bail out! opt/vmlab/program: No such file\n", "the agent gave up"),
    ],
)
def test_a_port_that_is_not_whole_is_never_a_pass(text: str, fault: str) -> None:
    found = results.parse(text)
    assert found.fault is not None
    assert fault in found.fault
    assert not found.passed
