"""What differs between eras of kernels and has a name: `{fact.NAME}` in a scenario is its value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

NAME = "fact"
Number = tuple[int, ...]
_FIRST: Number = (2, 6)
_REFERENCE = re.compile(r"(?<!\$)\{fact\.([a-z0-9_]+)\}")


@dataclass(frozen=True)
class Fact:
    """A value by era: each holds from a release on, until the next one's."""

    about: str
    values: tuple[tuple[Number, str], ...]
    source: str

    def value(self, number: Number) -> str:
        held = [text for since, text in self.values if number >= since]
        return held[-1] if held else self.values[0][1]


FACTS: Mapping[str, Fact] = MappingProxyType(
    {
        "zombie_state": Fact(
            "a zombie's State in kthread_monitor's lines",
            ((_FIRST, "8"), ((2, 6, 9), "16"), ((3, 15), "32")),
            "include/linux/sched.h: TASK_ZOMBIE 8, 16 in 2.6.9; EXIT_ZOMBIE, in a field of its own "
            "(exit_state), from 2.6.11 on; EXIT_ZOMBIE and EXIT_DEAD changed places in 3.15",
        ),
        "thread_parent": Fact(
            "the name of a kernel thread's parent",
            ((_FIRST, "events/0"), ((2, 6, 11), "kthread"), ((2, 6, 22), "kthreadd")),
            "kernel/kthread.c: a work of keventd, then of a queue of its own, then kthreadd",
        ),
        "daemonized_parent": Fact(
            "the name of the parent of a thread that called daemonize()",
            ((_FIRST, "init"), ((2, 6, 22), "kthreadd")),
            "kernel/exit.c: reparent_to_init(), then reparent_to_kthreadd()",
        ),
        "thirty_s": Fact(
            "a pattern for what schedule_timeout() makes of 30 s, in seconds",
            ((_FIRST, r"(29\.9\d*|30(\.[01]\d*)?)"),
             ((4, 8), r"(29\.9\d*|3[01](\.\d+)?|32(\.0[0-4]\d*)?)")),
            "kernel/timer.c is exact to a tick or two; since 4.8 kernel/time/timer.c goes in steps "
            "at that distance, of 512 jiffies, 2.048 s at 250 Hz",
        ),
    }
)  # fmt: skip


def number_of(release: str) -> Number:
    """The numbers that a release begins with: (6, 1, 0) of 6.1.0-50-686."""
    found = re.match(r"\d+(\.\d+)*", release)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def put_in(text: str, release: str) -> str:
    """The text with a kernel's facts in the place of their names."""
    number = number_of(release)
    return _REFERENCE.sub(lambda found: FACTS[found[1]].value(number), text)
