"""One command of a build: it ends with the lab, when it hangs, and when it says without end."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.errors import LabError

LIMIT_S = 1200.0
"""What a build may take by default, in seconds of the host's time."""
_IDLE_S = 120.0  # in which no process of a build does anything: it waits for what does not come
_IDLE_SHARE = 0.02  # of a processor, below which a build does nothing
_OUTERMOST = 5  # times its limit that a build may take where others have the processors
_LOUDEST = 64 << 20  # bytes that it may print
_SHOWN = 200  # characters of a command
_LOOKS_S = 5.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_CHUNK = 1 << 16
# Its input is a pipe that only the lab holds open: when the lab is gone, however that came, the
# whole session goes. What the command leaves in the background goes with it. NUMBER has one digit,
# for sh knows no descriptors of more.
_GUARD = """\
exec NUMBER<&0
(read -r gone <&NUMBER; kill -KILL 0) > /dev/null 2>&1 &
"$@" NUMBER<&- < /dev/null
said=$?
exec 2> /dev/null
trap '' TERM
kill -TERM 0
wait
exit $said
"""
_RUNNING: dict[int, int] = {}  # the sessions of what runs, and how each is told to end
_ENDED: set[int] = set()  # those of them that were told to


class StoppedError(LabError):
    """A build was ended because the lab was stopped, which says nothing of what it was to build."""


@dataclass(frozen=True)
class Done:
    """A command that has ended; `ended` is why the lab ended it, empty where it came to its end."""

    returncode: int  # as a shell has it: above 128 it is a signal's
    stdout: str
    stderr: str
    ended: str = ""


def run(
    words: Sequence[str],
    env: Mapping[str, str],
    limit_s: float = LIMIT_S,
    held: Sequence[int] = (),
) -> Done:
    """Runs a command in a session of its own, without input: one that asks gets no answer.

    `held` are descriptors that it gets too. Raises LabError where the host gave it no time,
    StoppedError where `end` ended it.
    """
    pipe = subprocess.PIPE
    guard = _GUARD.replace("NUMBER", str(min(set(range(3, 10)) - set(held))))
    with subprocess.Popen(
        ["sh", "-c", guard, "sh", *words], stdin=pipe, stdout=pipe, stderr=pipe, env=env,
        start_new_session=True, pass_fds=held,
    ) as started, ending(started.pid):  # fmt: skip
        watch = _Watch(started.pid, limit_s, words)
        out, err = _read(started, watch)
        _kill(started.pid)  # and what it left in the background
    return Done(started.returncode, out, err, watch.why)


@contextlib.contextmanager
def ending(session: int, how: int = signal.SIGKILL) -> Iterator[None]:
    """While the body waits for a session of its own, `end` ends it too.

    Raises StoppedError where it did.
    """
    _RUNNING[session] = how
    try:
        yield
        if session in _ENDED:
            raise StoppedError("the lab was stopped")
    except BaseException:
        _kill(session, how)
        raise
    finally:
        _RUNNING.pop(session, None)
        _ENDED.discard(session)


def end() -> None:
    """Ends the builds that other threads run now: Ctrl-C does not reach their sessions."""
    for session, how in list(_RUNNING.items()):
        _ENDED.add(session)
        _kill(session, how)


def _kill(session: int, how: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, how)


def _read(started: "subprocess.Popen[bytes]", watch: "_Watch") -> tuple[str, str]:
    """All that it says. What left its session and holds its output is not waited for."""
    assert started.stdout and started.stderr
    said: dict[int, list[bytes]] = {one.fileno(): [] for one in (started.stdout, started.stderr)}
    with selectors.DefaultSelector() as selector:
        for number in said:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(1.0)
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if chunk:
                    said[key.fd].append(chunk)
                    watch.heard(len(chunk))
                else:
                    selector.unregister(key.fd)
            if watch.over():
                _kill(started.pid)
            if not ready and started.poll() is not None:
                break
    out, err = (b"".join(parts).decode(errors="replace") for parts in said.values())
    return out, err


class _Watch:
    """Whether a build is waited for any longer: the host's load is not held against it."""

    def __init__(
        self,
        pid: int,
        limit_s: float,
        words: Sequence[str],
        now: Callable[[], float] = time.monotonic,
        used: "Callable[[int], tuple[float, bool]] | None" = None,
    ) -> None:
        self._pid, self._limit_s, self._name = pid, limit_s, " ".join(words[:1])
        self._now, self._used = now, used or activity
        self._began = self._moved = self._looked = now()
        self._before = 0.0
        self._heard = 0
        self.why = ""

    def heard(self, count: int) -> None:
        self._heard += count
        self._moved = self._now()

    def over(self) -> bool:
        """Whether it is to be ended now; `why` says why."""
        now = self._now()
        if not self.why and self._heard > _LOUDEST:
            self.why = (
                f"ended by the lab: it had printed more than {_LOUDEST >> 20} MiB; does it ask "
                "again and again for an answer? There is nobody to give one"
            )
        if self.why or now - self._looked < min(_LOOKS_S, self._limit_s):
            return bool(self.why)
        used, busy = self._used(self._pid)
        idle = not busy and used - self._before < _IDLE_SHARE * (now - self._looked)
        self._looked, self._before = now, used
        if not idle:
            self._moved = now
        wall = now - self._began
        if now - self._moved >= min(_IDLE_S, self._limit_s):
            self.why = (
                f"ended by the lab: for {now - self._moved:.0f} s no process of it did anything, "
                "so it waits for what does not come here: an answer, the network, a lock"
            )
            self.why += innermost(self._pid)
        elif wall >= self._limit_s and (idle or used >= self._limit_s):
            self.why = (
                f"ended by the lab: it was not done after {wall:.0f} s; give it longer with "
                "`build_timeout:` in vmlab.yaml, or look for what does not end in it"
            )
            self.why += innermost(self._pid)
        elif wall >= _OUTERMOST * self._limit_s:
            raise LabError(
                f"building with {self._name}: the host gave it {used:.0f} s of CPU time in "
                f"{wall:.0f} s; run fewer things at once (-j)"
            )
        return bool(self.why)


def activity(pid: int) -> tuple[float, bool]:
    """The CPU time of a process and all below it in seconds, and whether one of them runs or
    waits for a disk (proc(5), stat)."""
    used, busy, left = 0.0, False, [pid]
    table = _processes()
    while left:
        one = left.pop()
        state, more, below = table.get(one, ("X", 0.0, []))
        used, busy = used + more, busy or state in "RD"
        left += below
    return used, busy


def innermost(pid: int) -> str:
    """The command that a build is in, as words that follow others; empty where it is in none."""
    table = _processes()
    own = _command(pid)
    found, left = "", [pid]
    while left:
        below = [child for one in left for child in table.get(one, ("X", 0.0, []))[2]]
        said = [words for one in below if (words := _command(one)) and words != own]
        found, left = (said or [found])[-1], below
    return f"; it was in: {found[:_SHOWN]}" if found else ""


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        return " ".join(words).strip()
    return ""


def _processes() -> dict[int, tuple[str, float, list[int]]]:
    """Of each its state, its CPU time and that of children it waited for, and its children."""
    found: dict[int, tuple[str, float, list[int]]] = {}
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            number = int(path.parent.name)
            found[number] = fields[0], sum(map(int, fields[11:15])) * _TICK_S, []
            parents[number] = int(fields[1])
    for number, parent in sorted(parents.items()):
        if parent in found:
            found[parent][2].append(number)
    return found
