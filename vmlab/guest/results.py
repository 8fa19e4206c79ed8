"""What the agent says on ttyS1: KTAP, read into results."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from vmlab.guest.qemu import RunDirectory

MARK = "\x1e"
"""The byte that the agent sends where a step begins and ends; see `console_offsets`."""

State = Literal["passed", "failed", "skipped"]

_MARKED = "the console holds the results' mark, so its order cannot be told"
_UNMARKED = "the transcript has fewer marks than the results: bytes of it were lost"
_LAB = "lab: "
_TIMEOUT = "timeout of the steps: "
_PLAN = re.compile(r"1\.\.(\d+)")
_KERNEL = re.compile(r"# kernel=(\S+)")
_BEGIN = re.compile(MARK + r"# begin (\d+)(?: at=(\d+\.\d+))?")
_END = re.compile(MARK + r"# uptime=(\d+\.\d+) printk=(-?\d+) outcome=(\d+)")
_TAINTED = re.compile(r"# tainted=(\d+)")
_LEAKED = re.compile(r"# leaked=(\d+) (.*)")
_LACKS = re.compile(r"# lacks (\S+)")
_SET = re.compile(r"# set ([^=]+)=(.*)")
_NOTE = re.compile(r"# (?:cut=\d+|waiting|\S+: .*)")
_RESULT = re.compile(r"(ok|not ok) (\d+) - (\S+)(?: (?!# SKIP)(.*?))?( # SKIP .*)?")
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")


@dataclass(frozen=True)
class Health:
    """What the agent found wrong with the kernel, beside its console.

    `tainted` are the bits of the kernel's taint that came, `leaked` the pids and names of kernel
    threads that are there although their modules are gone.
    """

    tainted: int = 0
    leaked: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class StepResult:
    """One step as the agent saw it; `console` is where it began and ended, in bytes."""

    verb: str
    argument: str  # captures resolved
    state: State
    outcome: int  # exit status, 128 + signal, or errno; 0 for a skipped step
    uptime: float  # guest seconds at its end
    printk_bytes: int  # in the kernel's log when the step ended
    output: str
    console: tuple[int, int]
    values: Mapping[str, str]  # all captures known after the step: "z.pid" -> "57"
    began: float | None = None  # guest seconds; None from an agent that does not tell
    health: Health = Health()
    lacks: str = ""  # what the step needs and the kernel lacks: it was passed over


@dataclass(frozen=True)
class Results:
    """`fault` says why these results are not whole; they are whole where it is None.

    Without `placed` the steps' places in the console are not known. `began` and `began_at` are the
    last begun step's guest seconds and place in the console; `health` is what came after the last.
    """

    kernel: str | None  # as the guest's uname says it
    steps: tuple[StepResult, ...]
    begun: int  # number of the last step that began, 0 for none
    fault: str | None
    placed: bool = True
    began: float | None = None
    began_at: int = 0
    health: Health = Health()
    gave_up: str = ""  # why the agent itself could not go on, in its words

    @property
    def lab_s_fault(self) -> bool:
        """Whether the agent gave up for a limit or a fault of the lab's own."""
        return self.gave_up.startswith(_LAB)

    @property
    def timed_out(self) -> bool:
        """Whether the agent ended the steps for their time was over."""
        return self.gave_up.startswith(_TIMEOUT)


class _Malformed(Exception):
    """A line that the agent would not have written there."""


def console_offsets(transcript: bytes, results: bytes) -> list[int] | None:
    """How many bytes of console there were at each mark of the results.

    The transcript holds the bytes of both serial ports in the order in which QEMU took them. None
    where its marks cannot be told from the same byte on the console.
    """
    mark = MARK.encode()
    here = [at for at, byte in enumerate(results) if byte == mark[0]]
    there = [at for at, byte in enumerate(transcript) if byte == mark[0]]
    if len(there) > len(here):
        there = [at for at in there if transcript[at + 1 : at + 3] == b"# "]
    if len(there) < len(here) or len(there) > len(here):
        return None
    return [t - r for t, r in zip(there, here, strict=True)]


def parse(text: str, offsets: Sequence[int] | None = None) -> Results:
    """Reads a whole results port. What is missing, doubled or cut is named in `fault`.

    `offsets` are those of `console_offsets`; without them every step's console is (0, 0).
    """
    reader = _Reader(list(offsets) if offsets is not None else None)
    lines = text.split("\n")
    tail = lines.pop()
    try:
        for line in lines:
            reader.take(line)
    except _Malformed as malformed:
        return reader.results(str(malformed))
    if tail:
        return reader.results(f"the results end in the middle of the line {tail[:80]!r}")
    return reader.results(reader.missing())


@dataclass
class _Reader:
    offsets: list[int] | None
    kernel: str | None = None
    plan: int | None = None
    begun: int = 0
    gave_up: str = ""
    steps: list[StepResult] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    began: float | None = None
    began_at: int = 0
    health: Health = Health()
    end: re.Match[str] | None = None
    ended_at: int = 0
    lacks: str = ""

    def take(self, line: str) -> None:
        for pattern, act in _LINES:
            if found := pattern.fullmatch(line):
                act(self, found)
                return
        raise _Malformed(f"line {line[:80]!r} is none of the agent's")

    def missing(self) -> str | None:
        if self.gave_up:
            return f"the agent gave up: {self.gave_up}"
        if self.plan is None:
            return "the agent announced no plan"
        if len(self.steps) != self.plan:
            return f"the agent announced {self.plan} steps and reported {len(self.steps)}"
        return None

    def results(self, fault: str | None) -> Results:
        return Results(
            self.kernel, tuple(self.steps), self.begun, fault,
            began=self.began, began_at=self.began_at, health=self.health,
            gave_up=self.gave_up,
        )  # fmt: skip

    def on_kernel(self, found: re.Match[str]) -> None:
        self.kernel = found[1]

    def on_plan(self, found: re.Match[str]) -> None:
        self.plan = int(found[1])

    def on_output(self, found: re.Match[str]) -> None:
        self.output.append(found[1])

    def on_more_output(self, found: re.Match[str]) -> None:
        """The rest of a line of output that a note of the agent's came into the middle of."""
        if not self.output:
            raise _Malformed(f"line {found[0][:80]!r} goes on with no line of output")
        self.output[-1] += found[1]

    def on_set(self, found: re.Match[str]) -> None:
        self.values[found[1]] = unescape(found[2])

    def on_begin(self, found: re.Match[str]) -> None:
        self.begun = int(found[1])
        self.began = float(found[2]) if found[2] else None
        self.began_at = self._next_offset()

    def on_end(self, found: re.Match[str]) -> None:
        self.end = found
        self.ended_at = self._next_offset()

    def on_tainted(self, found: re.Match[str]) -> None:
        self.health = replace(self.health, tainted=self.health.tainted | int(found[1]))

    def on_leaked(self, found: re.Match[str]) -> None:
        thread = (int(found[1]), unescape(found[2]))
        self.health = replace(self.health, leaked=(*self.health.leaked, thread))

    def on_lacks(self, found: re.Match[str]) -> None:
        self.lacks = found[1]

    def on_bail_out(self, found: re.Match[str]) -> None:
        self.gave_up = found[1]

    def on_other(self, found: re.Match[str]) -> None:
        pass

    def on_result(self, found: re.Match[str]) -> None:
        number = len(self.steps) + 1
        skipped = found[5] is not None and self.end is None  # else the words are the step's own
        if int(found[2]) != number or (self.end is None and not skipped):
            raise _Malformed(
                f"unexpected result line {found[0][:80]!r} after {len(self.steps)} steps"
            )
        self.steps.append(self._step(found, skipped))
        self.output, self.end, self.health, self.lacks = [], None, Health(), ""

    def _step(self, found: re.Match[str], skipped: bool) -> StepResult:
        passed: State = "passed" if found[1] == "ok" else "failed"
        last = self.steps[-1] if self.steps else None
        return StepResult(
            verb=found[3],
            argument=unescape((found[4] or "") + ("" if skipped else found[5] or "")),
            state="skipped" if skipped else passed,
            outcome=int(self.end[3]) if self.end else 0,
            uptime=float(self.end[1]) if self.end else (last.uptime if last else 0.0),
            printk_bytes=int(self.end[2]) if self.end else (last.printk_bytes if last else 0),
            output="\n".join(self.output),
            console=(self.began_at, self.ended_at) if self.end else (self.ended_at, self.ended_at),
            values=MappingProxyType(dict(self.values)),
            began=None if skipped else self.began,
            health=self.health,
            lacks=self.lacks,
        )

    def _next_offset(self) -> int:
        if self.offsets is None:
            return 0
        if not self.offsets:
            raise _Malformed("the transcript holds fewer marks than the results")
        return self.offsets.pop(0)


_LINES = (
    (re.compile(r"# \| (.*)"), _Reader.on_output),
    (re.compile(r"# \+ (.*)"), _Reader.on_more_output),
    (_SET, _Reader.on_set),
    (_TAINTED, _Reader.on_tainted),
    (_LEAKED, _Reader.on_leaked),
    (_LACKS, _Reader.on_lacks),
    (_BEGIN, _Reader.on_begin),
    (_END, _Reader.on_end),
    (_RESULT, _Reader.on_result),
    (_KERNEL, _Reader.on_kernel),
    (_PLAN, _Reader.on_plan),
    (re.compile(r"Bail out! (.*)"), _Reader.on_bail_out),
    (re.compile(r"KTAP version 1"), _Reader.on_other),
    (_NOTE, _Reader.on_other),
)


def unescape(text: str) -> str:
    """Undoes the escapes that the agent writes: backslash, newline, tab, \\xNN."""
    named = {"n": "\n", "t": "\t"}

    def one(found: re.Match[str]) -> str:
        what = found[1]
        return chr(int(what[1:], 16)) if len(what) == 3 else named.get(what, what)

    return _ESCAPE.sub(one, text)


def read(run: RunDirectory) -> Results:
    """What came back on the results port; nothing at all is a fault too."""
    port = run.results.read_bytes() if run.results.exists() else b""
    transcript = run.transcript.read_bytes() if run.transcript.exists() else b""
    offsets = console_offsets(transcript, port)
    text = port.decode(errors="replace")
    if offsets is None:
        found = parse(text)
        more = transcript.count(MARK.encode()) > port.count(MARK.encode())
        return replace(found, fault=found.fault or (_MARKED if more else _UNMARKED), placed=False)
    return parse(text, offsets)
