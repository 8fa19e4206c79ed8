"""A strict reader of KTAP, written from the kernel's description of it alone.

(Linux: Documentation/dev-tools/ktap.rst.) What a lenient reader passes over is an error here.
"""

import re
from dataclasses import dataclass, field

_RESULT = re.compile(r"(ok|not ok) (\d+)(?: ([^#]*[^# ]))?(?: # ?(.*))?")
_DIRECTIVES = ("SKIP", "TODO", "XFAIL", "TIMEOUT", "ERROR")


@dataclass
class Test:
    """A test with its subtests; the outermost has no result of its own."""

    name: str = ""
    ok: bool = True
    directive: str = ""
    diagnostics: list[str] = field(default_factory=list)
    subtests: list["Test"] = field(default_factory=list)

    def results(self) -> list[tuple[str, bool, str]]:
        inner = [result for one in self.subtests for result in one.results()]
        return [*inner, (self.name, self.ok, self.directive)]


def parse(text: str) -> Test:
    """Raises ValueError at the first line that the description does not allow there."""
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    lines = text[:-1].split("\n")
    whole, left = _block(lines, "")
    if left:
        raise ValueError(f"after the end: {left[0]!r}")
    return whole


def _block(lines: list[str], indent: str) -> tuple[Test, list[str]]:
    test = Test()
    lines = _take(lines, f"{indent}KTAP version 1")
    if lines and lines[0].startswith(f"{indent}# Subtest: "):
        test.name = lines.pop(0).removeprefix(f"{indent}# Subtest: ")
    plan = re.fullmatch(rf"{indent}1\.\.(\d+)", lines.pop(0))
    if not plan:
        raise ValueError(f"no plan in {test.name!r}")
    pending: list[str] = []
    inner: Test | None = None
    while len(test.subtests) < int(plan[1]):
        if not lines:
            raise ValueError(f"{test.name!r} ends early")
        line = lines[0]
        if line == f"{indent}  KTAP version 1":
            if inner:
                raise ValueError(f"two blocks without a result: {inner.name!r}")
            inner, lines = _block(lines, f"{indent}  ")
            continue
        lines = lines[1:]
        if line.startswith(f"{indent}# ") or line == f"{indent}#":
            pending.append(line)
            if "Subtest:" in line[len(indent) + 2 :][:8]:
                raise ValueError(f"a head out of place: {line!r}")
            continue
        test.subtests.append(_result(line, indent, len(test.subtests) + 1, inner, pending))
        pending, inner = [], None
    return test, lines


def _result(line: str, indent: str, number: int, inner: Test | None, notes: list[str]) -> Test:
    found = _RESULT.fullmatch(line.removeprefix(indent))
    if not line.startswith(indent) or not found or int(found[2]) != number:
        raise ValueError(f"not result {number}: {line!r}")
    made = inner or Test()
    name, tail = found[3] or "", found[4] or ""
    if inner and inner.name != name:
        raise ValueError(f"{name!r} ends the block of {inner.name!r}")
    word = tail.partition(" ")[0]
    made.name, made.ok, made.diagnostics = name, found[1] == "ok", notes
    made.directive = word if word in _DIRECTIVES else ""
    if made.directive in ("TIMEOUT", "ERROR") and made.ok:
        raise ValueError(f"{made.directive} that is ok: {line!r}")
    return made


def _take(lines: list[str], wanted: str) -> list[str]:
    if lines[:1] != [wanted]:
        raise ValueError(f"{wanted!r} was wanted, and {lines[:1]} is there")
    return lines[1:]
