"""A lenient reader of KTAP and TAP, as KUnit, kselftests and other programs print them.

(Linux: Documentation/dev-tools/ktap.rst; testanything.org.) Lines that are neither are passed over,
for a console has others in between. What is announced and does not come is a fault.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

State = Literal["passed", "failed", "skipped"]

_RESULT = re.compile(r"( *)(not ok|ok)\b(?: +(\d+))?(?: +-)?(?: +(.*))?")
_PLAN = re.compile(r"( *)1\.\.(\d+)(?: *# *(.*))?")
_NOTHING = re.compile(r"SKIP\S*:? *(.*)", re.IGNORECASE)  # what a plan of none says of itself
ALL = "all tests"
"""The name of what is skipped where a program skips all that it has."""
_BEGUN = re.compile(r"( *)# Subtest: *(.*)")
_NOTE = re.compile(r" *# ?(.*)| +(\S.*)")  # KUnit's expectations and TAP's YAML have no hash sign
_BAIL_OUT = re.compile(r" *Bail out!? *(.*)")
_HEAD = re.compile(r" *K?TAP version \d+")
# kselftest's runner puts a test's own TAP behind hash signs: that is a level of its own.
_QUOTED = re.compile(r"((?:# )+) *(?=ok\b|not ok\b|1\.\.\d|K?TAP version)")
_DIRECTIVE = re.compile(r"(?:^|\s)#\s*(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:?\s*(.*)$", re.IGNORECASE)
_COUNTS = re.compile(r"(?:Totals?|\S+): pass:\d+ fail:\d+|module: |\S+\.speed: ")
_SKIPS = ("SKIP", "TODO", "XFAIL")
_TOLD = 8  # tests that a verdict names, and lines of each
_NOTES = 20  # lines that are kept of what a failing test said
_LONGEST = 300  # characters of one of them, and of a name


@dataclass(frozen=True)
class Subtest:
    """One test; `why` is what it said of itself, where it did not pass."""

    name: str
    state: State
    why: str = ""


@dataclass(frozen=True)
class Folded:
    """All tests of a step, and what is wrong with their telling, one sentence each."""

    tests: tuple[Subtest, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def failed(self) -> list[Subtest]:
        return [one for one in self.tests if one.state == "failed"]

    @property
    def reason(self) -> str:
        """What is wrong, in one line; empty where nothing is."""
        said = [f"{len(self.failed)} of {len(self.tests)} tests failed"] if self.failed else []
        return "; ".join([*said, *self.faults])

    @property
    def told(self) -> str:
        """The first that failed, each with what it said."""
        lines = []
        for one in self.failed[:_TOLD]:
            lines += [one.name, *(f"  {line}" for line in one.why.splitlines()[:_TOLD])]
        more = len(self.failed) - _TOLD
        return "\n".join([*lines, *([f"and {more} more"] if more > 0 else [])])


@dataclass
class _Node:
    indent: int
    name: str
    state: State
    why: str
    inner: list["_Node"] = field(default_factory=list)


@dataclass
class _Reader:
    nodes: list[_Node] = field(default_factory=list)  # results that no result above has closed
    plans: list[tuple[int, int]] = field(default_factory=list)  # indent, count; open ones
    begun: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    nothing: str | None = None  # why all is skipped, where that is said

    def take(self, line: str) -> None:
        for pattern, act in _LINES:
            if found := pattern.fullmatch(line):
                act(self, found)
                return

    def on_head(self, found: re.Match[str]) -> None:
        self.notes = []

    def on_plan(self, found: re.Match[str]) -> None:
        self.plans.append((len(found[1]), int(found[2])))
        if int(found[2]) == 0 and (skipped := _NOTHING.fullmatch(found[3] or "")):
            self.nothing = skipped[1][:_LONGEST]

    def on_begun(self, found: re.Match[str]) -> None:
        self.begun.append((len(found[1]), found[2].strip()))
        self.notes = []

    def on_note(self, found: re.Match[str]) -> None:
        said = found[1] or found[2] or ""
        if not _COUNTS.match(said):
            self.notes.append(said[:_LONGEST])

    def on_bail_out(self, found: re.Match[str]) -> None:
        self.faults.append(f"it gave up: {found[1] or 'it did not say why'}")

    def on_result(self, found: re.Match[str]) -> None:
        indent, text = len(found[1]), found[4] or ""
        inner = self._closed(indent)
        self._counted(indent + 1, inner)
        name, state, why = _judged(found[2] == "ok", text)
        self.begun = [one for one in self.begun if one[0] <= indent]
        if state != "passed":
            why = "\n".join(filter(None, (why, *self.notes[-_NOTES:])))
        self.nodes.append(_Node(indent, name or f"test {found[3] or '?'}", state, why, inner))
        self.notes = []

    def end(self) -> list[_Node]:
        """What was begun and has no result is a fault; its tests count all the same."""
        self._counted(0, self.nodes)
        if self.begun and not self.faults:
            self.faults.append(f"{self.begun[-1][1]} was begun, and has no result")
        if self.nothing is not None and not self.nodes:
            return [_Node(0, ALL, "skipped", self.nothing)]
        return self.nodes

    def above(self, node: _Node) -> str:
        """The names of the suites that a result is in, which have none themselves."""
        names = (name for indent, name in self.begun if 0 < indent <= node.indent)
        return "".join(f"{name}." for name in names)

    def _closed(self, indent: int) -> list[_Node]:
        at = len(self.nodes)
        while at and self.nodes[at - 1].indent > indent:
            at -= 1
        inner, self.nodes = self.nodes[at:], self.nodes[:at]
        return inner

    def _counted(self, indent: int, nodes: Sequence[_Node]) -> None:
        """Compares with the plans of blocks at this depth and deeper, which end here."""
        ended = [one for one in self.plans if one[0] >= indent]
        self.plans = [one for one in self.plans if one[0] < indent]
        for depth in sorted({at for at, _ in ended}):
            wanted = sum(count for at, count in ended if at == depth)
            came = sum(one.indent == depth for one in nodes)
            if came != wanted:
                self.faults.append(self._missing(wanted, came))

    def _missing(self, wanted: int, came: int) -> str:
        where = f" in {self.begun[-1][1]}" if self.begun else ""
        return f"{wanted} tests were announced{where}, and {came} came to a result"


_LINES = (
    (_HEAD, _Reader.on_head),
    (_PLAN, _Reader.on_plan),
    (_RESULT, _Reader.on_result),
    (_BEGUN, _Reader.on_begun),
    (_BAIL_OUT, _Reader.on_bail_out),
    (_NOTE, _Reader.on_note),
)


def parse(lines: Iterable[str]) -> Folded:
    """The tests that lines tell of: the innermost ones, named `SUITE.CASE`."""
    reader = _Reader()
    for line in lines:
        reader.take(_unquoted(line.rstrip().expandtabs(4)))
    tests = tuple(one for node in reader.end() for one in _leaves(node, reader.above(node)))
    return Folded(tests, tuple(reader.faults))


def _unquoted(line: str) -> str:
    return _QUOTED.sub(lambda found: "  " * found[1].count("#"), line)


def _judged(fine: bool, text: str) -> tuple[str, State, str]:
    """A result's name, state and what is said of it."""
    found = _DIRECTIVE.search(text)
    if not found:
        name = text.partition(" # ")[0]
        return name.strip()[:_LONGEST], "passed" if fine else "failed", ""
    word, why = found[1].upper(), found[2].strip()
    state: State = "skipped" if word in _SKIPS and not (fine and word != "SKIP") else "failed"
    if fine and word in ("TODO", "XFAIL"):
        state = "passed"
    said = why if word == "SKIP" else f"{word} {why}".strip()
    return text[: found.start()].strip()[:_LONGEST], state, said[:_LONGEST]


def _leaves(node: _Node, above: str) -> Iterator[Subtest]:
    """A test with tests in it counts by itself only where it failed and none of them did."""
    name = f"{above}{node.name}"
    inner = [one for inside in node.inner for one in _leaves(inside, f"{name}.")]
    yield from inner
    alone = node.state == "failed" and all(one.state != "failed" for one in inner)
    if not inner or alone:
        yield Subtest(name, node.state, node.why)
