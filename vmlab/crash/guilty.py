"""Which function of a stack a crash is about."""

import functools
import re
from collections.abc import Iterable

from vmlab.crash.helpers import DISPATCHERS, IN_INTERRUPT, PRIMITIVES, REPORTING, WAITING
from vmlab.crash.model import Frame

_SUFFIX = re.compile(r"\.(?:isra|constprop|part|cold|llvm|lto_priv|__uniq)\b.*|\.\d+$")
# What SYSCALL_DEFINEx makes: names of the table's entry, and of the code that was written.
_ENTRY = re.compile(r"_{2,3}(?:(?:x64|ia32|arm64|riscv|s390x?|se)_)?(?:compat_)?sys_(?=\w)")
_WRITTEN = re.compile(r"(?:__do_(?:compat_)?sys|(?:compat_)?SyS|(?:C_)?SYSC|ksys)_(?=\w)")


@functools.cache
def _table(*tables: tuple[str, ...]) -> "re.Pattern[str]":
    return re.compile("|".join(f"(?:{entry})" for table in tables for entry in table))


_skipped = functools.partial(_table, REPORTING, PRIMITIVES, WAITING)
_skipped_in_stall = functools.partial(_table, REPORTING, PRIMITIVES, WAITING, IN_INTERRUPT)
_dispatcher = functools.partial(_table, DISPATCHERS)
_TIMER = re.compile(r"(?:asm_sysvec_|sysvec_|smp_)?(?:trace_)?apic_timer_interrupt")
_STANDS_FOR = (
    # whole families that wait for all processors, by one name
    (
        re.compile(r"_*(?:generic_|native_)?smp_call_function\w*|on_each_cpu\w*"),
        "smp_call_function",
    ),
    (re.compile(r"_*synchronize_(?:rcu|sched|rcu_bh)(?:_\w+)?"), "synchronize_rcu"),
)


def bare(function: str) -> str:
    """A function's name without what the compiler put to its end."""
    return _SUFFIX.sub("", function)


def called(function: str) -> str:
    """A system call's functions by the names that all kernels and architectures share.

    `__x64_sys_rmdir` is `sys_rmdir`; `__do_sys_reboot`, `SyS_reboot` and `ksys_reboot` `reboot`.
    """
    name = bare(function)
    if found := _ENTRY.match(name):
        return f"sys_{name[found.end() :]}"
    return name[found.end() :] if (found := _WRITTEN.match(name)) else name


def guilty(frames: Iterable[Frame], also: str | None = None) -> str | None:
    """The first function that neither reports, nor waits, nor is everybody's helper.

    `also` names more functions to pass by, as a regular expression.
    """
    more = re.compile(also) if also else None
    for name in _reliable(frames):
        if family := _family(name):
            return family
        if not _skipped().fullmatch(name) and not (more and more.fullmatch(name)):
            return called(name)
    return None


def stalled(frames: Iterable[Frame]) -> str | None:
    """Who a stall is about: a loop is seen at any place, so it is what a dispatcher has called."""
    first = last = ""
    for name in _reliable(_below_the_timer(list(frames))):
        if family := _family(name):
            return family
        if _skipped_in_stall().fullmatch(name):
            continue
        if _dispatcher().fullmatch(name):
            if last:
                return called(last)
            first = first or name
        else:
            last = name
    return called(last or first) if last or first else None


def _below_the_timer(frames: list[Frame]) -> list[Frame]:
    """What the timer's interrupt had stopped: it was found to stall, not what interrupts do."""
    timer = [bool(_TIMER.fullmatch(bare(one.function))) for one in frames]
    if True not in timer:
        return frames
    first = timer.index(True)
    below = frames[timer.index(False, first) :] if False in timer[first:] else []
    return below if any(frame.reliable for frame in below) else frames


def _family(name: str) -> str | None:
    return next((family for names, family in _STANDS_FOR if names.fullmatch(name)), None)


def _reliable(frames: Iterable[Frame]) -> Iterable[str]:
    """Where none is (no frame pointers), those in modules: few stray ones are there."""
    found = list(frames)
    kept = [one for one in found if one.reliable] or [one for one in found if one.module]
    return (bare(frame.function) for frame in kept)
