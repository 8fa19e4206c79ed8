"""Tests of the kernel's that speak no KTAP: lib/test_*.ko, each family in words of its own."""

import re
from collections.abc import Sequence

from vmlab.subtests.ktap import Folded, State, Subtest

# Of a console, where anything may stand between: a result has its number there.
_KTAP = re.compile(r" *(?:(?:not )?ok \d+\b|1\.\.\d|K?TAP version \d|# |Bail out!)| {4}")
# A `name` or `why` that a pattern has is the test's; without a name it is the module's one test.
_SAID: tuple[tuple[str, State], ...] = (
    # lib/test_bpf.c
    (r"(?P<module>test_bpf): #\d+ (?P<name>.*?) (?:jited:\d .*?)?(?:\d+ )*PASS", "passed"),
    (
        r"(?P<module>test_bpf): #\d+ (?P<name>.*?) (?P<why>(?:jited:|ret |FAIL).*)(?<!PASS)",
        "failed",
    ),
    # tools/testing/selftests/kselftest_module.h
    (r"(?P<module>\w+): all \d+ tests passed", "passed"),
    (r"(?P<module>\w+): (?P<why>failed \d+ out of \d+ tests)", "failed"),
    # lib/test_user_copy.c and others of its age
    (r"(?P<module>test_\w+): tests? passed\.?", "passed"),
    (r"(?P<module>test_\w+): (?P<why>.*\bfail(?:ed|ure)\b.*)", "failed"),
)
_PATTERNS = [(re.compile(text), state) for text, state in _SAID]


def is_ktap(line: str) -> bool:
    """Whether a line of a console can be KTAP."""
    return _KTAP.match(line) is not None


def parse(lines: Sequence[str]) -> Folded:
    """The tests that a console tells of in words."""
    found = [one for line in lines if (one := _of(line))]
    return Folded(tuple(found))


def _of(line: str) -> Subtest | None:
    for pattern, state in _PATTERNS:
        if said := pattern.fullmatch(line.strip()):
            known = said.groupdict()
            inner = f".{known['name']}" if known.get("name") else ""
            return Subtest(f"{said['module']}{inner}", state, (known.get("why") or "").strip())
    return None
