"""How long a guest is waited for: the host's load is not held against it.

A guest that runs on is over once it has had its time of the host's CPU; one that does nothing, once
that time has passed on the host's clock.
"""

import os
import time
from pathlib import Path
from typing import Literal

OUTERMOST = 5
"""How many times its time a guest may take on the host's clock, where others take the CPU."""
STARVED = "the host gave the guest"
"""How the reason begins where others took the CPU."""
_IDLE_S = 1.0
_IDLE_SHARE = 0.02
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")

End = tuple[Literal["timeout", "lost"], str]


class Patience:
    """For one process and so many seconds.

    A guest that is `paced` by the host's clock does nothing while it sleeps or waits for another
    one: that it is idle for as long as it was given once more is what tells that it hangs.
    """

    def __init__(self, pid: int, limit_s: float, paced: bool = False) -> None:
        self._pid = pid
        self._limit_s = limit_s
        self._idle_s = limit_s if paced else min(_IDLE_S, limit_s)
        self._began = time.monotonic()
        self._looked: tuple[float, float] | None = None  # the time, and the CPU time then

    def over(self) -> End | None:
        """Why it is not waited for any longer, None while it is."""
        now = time.monotonic()
        wall = now - self._began
        if wall < self._limit_s:
            return None
        used, state = used_s(self._pid)
        late = f"the guest still ran after {self._limit_s:g} s of the host's time"
        if used >= self._limit_s or self._idle(now, used):
            stopped = state in ("T", "t")
            return ("lost", "QEMU was stopped by a signal") if stopped else ("timeout", late)
        if wall > OUTERMOST * self._limit_s:
            return "lost", (
                f"{STARVED} {used:.0f} s of CPU time in {wall:.0f} s; run fewer guests at once (-j)"
            )
        return None

    def _idle(self, now: float, used: float) -> bool:
        if self._looked is None:
            self._looked = (now, used)
        since, before = self._looked
        if now - since < self._idle_s:
            return False
        self._looked = (now, used)
        return used - before < _IDLE_SHARE * (now - since)


def used_s(pid: int) -> tuple[float, str]:
    """The CPU time that a process has had, in seconds, and its state's letter (proc(5), stat)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0, "X"
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S, fields[0]
