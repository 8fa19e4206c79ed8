"""Whether a kernel is well: what its console says, and what the agent found beside it."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from vmlab import crash
from vmlab.crash import Crash
from vmlab.guest.launch import Ended
from vmlab.guest.results import Health, Results
from vmlab.scenario.crashes import Allowed
from vmlab.scenario.values import FLOOD, LEAKED_THREAD, TAINT

# Bits of /proc/sys/kernel/tainted that a sick kernel sets. (Linux: include/linux/panic.h)
_SICK = {
    4: ("M", "a machine check"), 5: ("B", "a bad page"), 7: ("D", "an oops"),
    9: ("W", "a warning"), 14: ("L", "a soft lockup"),
}  # fmt: skip
# What a console shows of these leaves that bit in the kernel's taint, or none; of others any.
_LEAVES: dict[str, Collection[int]] = {
    "warning": {9}, "refcount": {9}, "soft lockup": {14}, "machine check": {4},
    **dict.fromkeys(("out of memory", "RCU stall", "hung task", "netdevice hang"), frozenset()),
}  # fmt: skip
_STAMP = re.compile(rb"[^\n]{0,20}?\[\s*(\d+\.\d+)\]")


@dataclass(frozen=True)
class Finding:
    """One thing that a kernel is sick of.

    `step` is the index of the step in which it came: -1 before the first, one more than the last
    that began after its end. `time_s` is the guest's, where the kernel printed it.
    """

    kind: str
    title: str
    step: int
    crash: Crash | None = None
    time_s: float | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """What patterns are tried on."""
        return (self.title, self.crash.line_text) if self.crash else (self.title,)

    def __str__(self) -> str:
        return self.crash.named if self.crash else f"{self.kind}: {self.title}"


def findings(results: Results, console: bytes, ended: Ended | None = None) -> list[Finding]:
    """All of a run, in the order of its steps; in a step the console's come first."""
    parsed = crash.parse(console.decode(errors="replace"))
    shown = [_of_console(one, results, console) for one in parsed]
    found = [*shown, *_of_agent(results, shown), *unread(shown)]
    if ended and ended.how == "flooded":
        found.append(Finding(FLOOD, ended.detail, len(results.steps)))
    return sorted(found, key=lambda one: one.step)


def first(found: Sequence[Finding], allow: Sequence[Allowed]) -> Finding | None:
    """The first that is not allowed, None where all are."""
    left = (one for one in found if not any(some.accepts(one.kind, one.texts) for some in allow))
    return next(left, None)


def unread(shown: Sequence[Finding]) -> Iterator[Finding]:
    """Reports that are not looked at, however many are allowed: nobody knows what they tell."""
    if len(shown) >= crash.MOST:
        title = f"more than {crash.MOST - 1} crash reports; the others were not looked at"
        yield Finding(FLOOD, title, shown[-1].step)


def explained(shown: Iterable[Finding]) -> frozenset[int]:
    """The bits of a taint that a console tells of: the agent's telling is nothing new."""
    return frozenset(bit for one in shown for bit in _LEAVES.get(one.kind, _SICK))


def of_agent(health: Health, step: int, known: Collection[int]) -> Iterator[Finding]:
    """What the agent found in a step, but for the bits of a taint that are `known`."""
    for bit in _SICK:
        if health.tainted >> bit & 1 and bit not in known:
            letter, why = _SICK[bit]
            yield Finding(TAINT, f"the kernel became tainted: {letter}, {why}", step)
    for pid, name in health.leaked:
        title = f"kernel thread {name} (pid {pid}) is still there, and the modules are gone"
        yield Finding(LEAKED_THREAD, title, step)


def _of_agent(results: Results, shown: Sequence[Finding]) -> Iterator[Finding]:
    parts = [one.health for one in results.steps]
    for step, health in enumerate([*parts, results.health]):
        known = explained(one for one in shown if one.step <= step)
        yield from of_agent(health, step, known)


def _of_console(found: Crash, results: Results, console: bytes) -> Finding:
    at = _line_begin(console, found.first_line)
    stamp = _STAMP.match(console, at)
    time_s = float(stamp[1]) if stamp else None
    return Finding(found.kind, found.title, step_of(results, at), found, time_s)


def step_of(results: Results, at: int) -> int:
    """The index of the step that a place in the console belongs to, see `Finding`."""
    ran = [one for one in results.steps if one.state != "skipped"]
    if not results.placed:
        return len(ran)
    if results.begun > len(results.steps) and at >= results.began_at:
        return len(results.steps)
    if ran and at >= ran[-1].console[1] and results.begun <= len(results.steps):
        return len(ran)
    return max((step for step, one in enumerate(ran) if one.console[0] <= at), default=-1)


def _line_begin(console: bytes, number: int) -> int:
    """Where a line begins; lines count from 1. Up to 2.6.8 the return comes after the newline."""
    at = 0
    for _ in range(number - 1):
        at = console.find(b"\n", at) + 1
    return at + 1 if console[at : at + 1] == b"\r" else at
