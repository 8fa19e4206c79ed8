"""Which steps hold tests, and where those are told."""

import re
from collections.abc import Sequence
from typing import Protocol

from vmlab.seen import console_lines
from vmlab.subtests import ktap, spoken
from vmlab.subtests.ktap import Folded

STEPS_THAT_FOLD = ("kunit",)
"""Verbs whose tests speak on the console; of other steps the output holds them."""
NO_TEST = "it told of no test"
# lib/kunit/test.c, where the parameter says so, or its default (CONFIG_KUNIT_DEFAULT_ENABLED)
_DISABLED = "kunit: disabled"
DISABLED = (
    "KUnit is disabled in this kernel: a step `modprobe: kunit enable=1` before this one enables "
    "it, or CONFIG_KUNIT_DEFAULT_ENABLED"
)
# What printk puts before a message: time, and who called it (CONFIG_PRINTK_CALLER).
_STAMP = re.compile(r"\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ")


class Result(Protocol):
    """What is needed of a step's result."""

    @property
    def output(self) -> str: ...

    @property
    def console(self) -> tuple[int, int]: ...


def of_step(verb: str, folds: bool, result: Result, console: bytes) -> Folded | None:
    """The tests in a step's result, None where it is none that holds any.

    That none is told of is a fault: absence of a result is no pass.
    """
    if verb in STEPS_THAT_FOLD:
        found = of_console([text for text, _ in console_lines(console, *result.console)])
    elif folds:
        found = ktap.parse(result.output.splitlines())
    else:
        return None
    return found if found.tests or found.faults else Folded((), (NO_TEST,))


def of_console(lines: Sequence[str]) -> Folded:
    """Tests as a kernel prints them: KTAP, else in words of its own."""
    plain = [_STAMP.sub("", line, count=1) for line in lines]
    found = ktap.parse(line for line in plain if spoken.is_ktap(line))
    if found.tests or found.faults:
        return found
    found = spoken.parse(plain)
    disabled = not found.tests and any(line.strip() == _DISABLED for line in plain)
    return Folded((), (DISABLED,)) if disabled else found
