"""A crash report for people."""

from collections.abc import Iterator

from vmlab.crash import Crash
from vmlab.plain import plain
from vmlab.report import frames

_LABEL = 11


def text(crash: Crash) -> str:
    """All that is known of a crash, for a terminal: nothing of the log can move its cursor."""
    return "\n".join(plain(line) for line in _lines(crash))


def _lines(crash: Crash) -> Iterator[str]:
    yield crash.title
    yield _field("kind", crash.kind)
    yield _field("line", f"{crash.first_line} to {crash.last_line}: {crash.line_text[:200]}")
    yield _field("function", crash.function or "not known")
    yield _field("task", _task(crash))
    yield _field("tainted", crash.taint or "no, or not known")
    yield _field("report", "complete" if crash.complete else "cut, or another wrote into it")
    if crash.modules:
        yield _field("modules", " ".join(crash.modules))
    for number, line in enumerate(frames.guilty(crash)):
        yield _field("where" if number == 0 else "", line)
    stack = [line for frame in crash.frames for line in frames.entries(frame)]
    for number, line in enumerate(stack):
        yield _field("stack" if number == 0 else "", line)
    for number, row in enumerate(_registers(crash)):
        yield _field("registers" if number == 0 else "", row)
    for number, one in enumerate(crash.followers):
        yield _field("then" if number == 0 else "", f"line {one.first_line}: {one.title}")


def _field(name: str, value: str) -> str:
    return f"  {name + ':' if name else '':<{_LABEL}}{value}"


def _task(crash: Crash) -> str:
    name = "not known" if crash.task is None else f"{crash.task} (pid {crash.pid})"
    return name if crash.cpu is None else f"{name} on processor {crash.cpu}"


def _registers(crash: Crash) -> Iterator[str]:
    names = list(crash.registers)
    for at in range(0, len(names), 4):
        yield "  ".join(f"{name} {crash.registers[name]}" for name in names[at : at + 4])
