"""What `kernels check` makes of its runs."""

from dataclasses import replace

import pytest

from vmlab import selfcheck
from vmlab.arch import ARCHES
from vmlab.catalog import Kernel
from vmlab.runner import Run
from vmlab.selfcheck import Answer, Checked
from vmlab.tokens import How, Token
from vmlab.verdict import Judgement, Verdict

KERNEL = Kernel("2.6.8", ARCHES["i386"], False, (), ())


def token(output: str = "aa") -> Token:
    return Token(
        "features", 0, "2.6.8", 1, 3, How(True, True, False, False), {}, output, Verdict.PASSED
    )


GOOD = Run(
    "features", "2.6.8", "i386", "qemu", Judgement(Verdict.PASSED, ""), 2.0, 303.0, "run",
    token(), {}, "", (), {"began": "from a snapshot"},
)  # fmt: skip
COLD = replace(GOOD, environment={"began": "by a boot"})
SLOW = replace(GOOD, wall_s=250.0)
OTHER = replace(GOOD, token=token("bb"))
DEAD = replace(GOOD, judgement=Judgement(Verdict.CRASHED, "panic"), token=None)


@pytest.mark.parametrize(
    ("runs", "broken"),
    [
        ([GOOD] * 3, set()),
        ([COLD, GOOD, GOOD], set()),
        ([GOOD, COLD, COLD], {"snapshot"}),
        ([SLOW] * 3, {"virtual clock"}),
        ([GOOD, OTHER, GOOD], {"determinism"}),
        ([DEAD] * 3, {"agent", "snapshot", "virtual clock", "determinism"}),
    ],
)
def test_what_runs_show(runs, broken):
    answers = selfcheck.answers(runs)
    assert {name for name, one in answers.items() if not one.works} == broken


def test_runs_that_gave_no_output_repeat_nothing():
    lost = replace(GOOD, token=None)
    assert not selfcheck.answers([lost, lost, GOOD])["determinism"].works


def test_the_table_shows_every_kernel_and_explains_what_does_not_work():
    one = Checked(KERNEL, {"agent": Answer(True), "modules": Answer(True)}, {"tmpfs": True}, 2.0)
    other = Checked(
        replace(KERNEL, id="other"), {"agent": Answer(True), "modules": Answer(False, "no build/")},
        {"tmpfs": False, "tracefs": True}, 40.0,
    )  # fmt: skip
    rows = [line.split() for line in selfcheck.table([one, other]).splitlines()]
    assert ["modules", "yes", "no"] in rows
    assert ["tmpfs", "yes", "no"] in rows and ["tracefs", "-", "yes"] in rows
    assert rows[-1] == ["other:", "modules:", "no", "build/"]
