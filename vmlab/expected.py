"""A crash that a scenario wants, and the one that came: in what they differ."""

import re

from vmlab.guest.results import Results
from vmlab.health import Finding
from vmlab.scenario.expand import Expanded, RunStep
from vmlab.scenario.model import ExpectCrash

# The clock of the kernel's messages and the one of the steps are not the same.
_CLOCKS_S = 1.0


def last_action(expanded: Expanded) -> int:
    """The index of the last step that acts; a crash that is expected belongs to it."""
    actions = (number for number, one in enumerate(expanded.steps) if one.step.action)
    return max(actions, default=0)


def otherwise(
    last: RunStep, results: Results, sick: Finding, action: int, title: "re.Pattern[str]"
) -> str | None:
    """In what a crash is not the one that the last step wants; None where it is."""
    assert isinstance(last.step, ExpectCrash)
    wanted = last.step.expect_crash
    if sick.kind not in wanted.kind:
        return f"the kernel crashed otherwise: {sick}"
    if not any(title.search(text) for text in sick.texts):
        return f"the kernel crashed in this way, with another title: {sick}"
    if sick.step < action:
        return f"the kernel crashed before the last action: {sick}"
    after_s = _after_s(results, sick, action)
    if after_s is not None and after_s > wanted.within / 1000 + _CLOCKS_S:
        told = "" if sick.time_s is not None else ", by the steps' time, for its console tells none"
        return f"the kernel crashed {after_s:.1f} s after the last action began{told}: {sick}"
    if results.fault is None and sick.step >= len(results.steps):
        return f"the kernel crashed after the time for it was over: {sick}"
    return None


def _after_s(results: Results, sick: Finding, action: int) -> float | None:
    """Guest seconds from the beginning of a step to a crash, None where one is not known."""
    known = action < len(results.steps)
    began = results.steps[action].began if known else results.began
    at = _by_steps(results, sick.step) if sick.time_s is None else sick.time_s
    return None if began is None or at is None else at - began


def _by_steps(results: Results, index: int) -> float | None:
    """When a crash of no time of its own came, by its step, in guest seconds: at its end.

    The step that waits for it lasts as long as the crash may take: there its beginning counts. Of
    one that did not end nothing else is known either.
    """
    if index >= len(results.steps):
        return results.began
    step = results.steps[index]
    return step.began if step.verb == "expect_crash" else step.uptime
