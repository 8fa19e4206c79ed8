"""From the lines of one crash report to a Crash."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vmlab.crash import guilty
from vmlab.crash.kinds import WARNED
from vmlab.crash.lines import Message
from vmlab.crash.model import Crash, Frame
from vmlab.crash.rules import Rule
from vmlab.crash.stack import STACK, Facts, Section, gather

PAIRED = ("usb_submit_urb",)
"""Functions that warn of what their caller did: both are named."""

MANY_STACKS = ("RCU stall", "hung task", "soft lockup", "hard lockup", "workqueue lockup")
"""Kinds whose reports show the stacks of several tasks, printed by whoever is at hand."""

_ACCESS = re.compile(
    r"(?i:(?P<what>read|write) (?:of size|at addr|at 0x)|(?:invalid|bad) (?P<other>read|write))"
)
_HELD = re.compile(r"#\d+: .{0,200}?at: (?:\[<[0-9a-f]+>\] )?([\w.$]{1,120})\+0x")
_LAST_FUNCTION = re.compile(
    r"\s*(?:last function: |preempt=.{1,80} workfn=)([\w.$]{1,120})"  # until 6.9; later
)
_ACQUIRED = re.compile(
    r"\s*(?:0x)?[0-9a-f]{0,16} ?\(.{1,200}\)\{.{1,12}\}.{0,20}, at: "
    r"(?:\[<[0-9a-f]+>\] )?([\w.$]{1,120})\+0x"
)
_SAID = {"lockdep": _ACQUIRED, "workqueue leak": _LAST_FUNCTION}
"""Where a report names a function that no stack has."""
_BY = re.compile(r".{0,80}by task (?P<task>.{1,40})/(?P<pid>\d+)")
_INJECTION = re.compile(r"should_fail")
_NO_STACK = {
    "out of memory", "netdevice hang", "machine check", "no root", "no init", "workqueue lockup",
    "unhandled interrupt", "reboot",
}  # fmt: skip
_ALSO = {
    "kmemleak": r"\w*alloc\w*|\w*dup\w*",  # who allocated for somebody else
    "lockdep": r"_*lock_sock\w*|lock_sync"
    r"|_*(?:bio|blk)_queue_enter\w*|blk_mq_(?:un)?freeze_queue\w*",  # it takes a queue for a lock
    "hung task": r"\w*_wait(?:_\w+)?|wait_\w+|(?!rtnl_lock$)\w+_lock(?:_\w+)?",
}
"""More functions to pass by, for some kinds."""
_BY_STACK = ("warning", "refcount", "list corruption", "KMSAN")
"""Kinds whose own line names a mere checker, or whom a function was inlined into."""
_TRAPS = (
    "NULL dereference", "page fault", "general protection fault", "double fault", "divide error",
    "invalid opcode", "int3", "BUG", "oops", "control protection",
)  # fmt: skip
UNKNOWN = "corrupted"  # stands for a function, until the title is made without
_TAIL = re.compile(
    r"(?<=N_TTY ldisc) for .*|(?<=Fatal exception) in interrupt|(?<=^panic_on_warn set).*"
    r"|(?<=kill init!) ?exitcode.*| \.\.\.$|[.!:]$"
)
_ADDRESS = re.compile(r"\b(?:0x)?[0-9a-f]{8,16}\b|\b0x[0-9a-f]+\b")
_NUMBER = re.compile(r"(?<![A-Za-z_])-?\d+\b")


@dataclass
class Report:
    """The lines of one report, while they are put together."""

    rule: Rule
    match: "re.Match[str]"
    text: str
    index: int  # of the message that said it
    headed: int  # the last of the messages that say the same: one for each inlined function
    lines: list[Message]
    said: int  # the last line that told of trouble
    first_line: int  # of the log, with the line of dashes before the headline
    ended: bool = False  # its last line was seen
    stacked: bool = False  # a function with an offset was seen
    closed: bool = False  # it gets no more lines
    disturbed: bool = False  # another report wrote into it
    warned: "re.Match[str] | None" = None  # the WARNING that its first line led to


def crash(report: Report) -> Crash:
    """Makes the record."""
    facts = gather(report.lines, report.rule.kind in _TRAPS)
    said = {key: value for key, value in report.match.groupdict().items() if value}
    if report.warned:
        said |= {key: value for key, value in report.warned.groupdict().items() if value}
    section = next(_stacks(facts), Section(""))
    stack = _stack(report.rule, facts, section)
    rule = _refined(report.rule, said)
    function = _function(rule, said, stack)
    if function is None and rule.kind in _SAID:
        function = _first(_SAID[rule.kind], report.lines)
    if function is None and facts.ip and rule.kind not in _NO_STACK:
        function = guilty.bare(facts.ip.function)
    _more(facts, said, report.lines)
    return Crash(
        rule.kind, _title(rule, said, function, report, facts), report.text.rstrip(),
        report.first_line, _last_line(report, facts),
        function, facts.task, facts.pid, facts.cpu, facts.taint, tuple(facts.modules),
        facts.registers, _complete(report, facts, stack), tuple(stack),
    )  # fmt: skip


def _last_line(report: Report, facts: Facts) -> int:
    """What has no end of its own goes on as long as its lines look like a report's."""
    if report.ended:
        return report.lines[-1].number
    return max(facts.last, report.said)


def _refined(rule: Rule, said: dict[str, str]) -> Rule:
    """A WARNING by the file that it stands in."""
    if rule.kind not in ("warning", "list corruption") or "file" not in said:
        return rule
    place = f"{said['file']} {said.get('f', '')}"
    return next((one for one in WARNED if one.pattern.match(place)), rule)


def _stack(rule: Rule, facts: Facts, section: Section) -> list[Frame]:
    """The frames that a crash is about: those of a stack, after the place of the trap."""
    found = list(section.frames)
    if facts.mixed and rule.kind not in MANY_STACKS:
        found.clear()  # another task's stack begins before this one is complete
    if any(frame.reliable and _INJECTION.match(frame.function) for frame in found):
        found.clear()  # the stack of an injected failure, printed into this report
    if facts.ip and not (found and found[0].reliable and found[0].function == facts.ip.function):
        found.insert(0, facts.ip)
    return found


def _stacks(facts: Facts) -> Iterator[Section]:
    """The stacks with frames in them: under a headline, else those whose headline was lost."""
    filled = [section for section in facts.sections if section.frames]
    filled.sort(key=lambda section: not any(frame.reliable for frame in section.frames))
    yield from (section for section in filled if STACK.match(section.head))
    yield from (section for section in filled if not section.head)


def _function(rule: Rule, said: dict[str, str], stack: list[Frame]) -> str | None:
    if "guilty" in said:
        return said["guilty"]
    if rule.kind in _NO_STACK:
        return None
    known = "f" in said and rule.kind not in _BY_STACK
    frames = [Frame(said["f"]), *stack] if known else stack
    if rule.stalls:
        return guilty.stalled(frames)
    also = _ALSO.get(rule.kind, "usb_submit_urb" if rule.kind != "warning" else None)
    found = guilty.guilty(frames, also)
    if found in PAIRED and rule.kind == "warning":
        caller = guilty.guilty(frames, also="|".join(PAIRED))
        return f"{caller}/{found}" if caller else found
    return found


def _more(facts: Facts, said: dict[str, str], lines: Sequence[Message]) -> None:
    """Task and processor from the report's own first lines, which know better than the stack's."""
    if "task" not in said:
        for line in lines[:12]:
            if found := _BY.match(line.text):
                said |= found.groupdict()
                break
    if "task" in said:
        facts.task = said["task"]
    if "pid" in said:
        facts.pid = int(said["pid"])
    if "cpu" in said:
        facts.cpu = int(said["cpu"])


def _title(
    rule: Rule, said: dict[str, str], function: str | None, report: Report, facts: Facts
) -> str:
    words = {key: value.strip() for key, value in said.items()}
    words["function"] = function or UNKNOWN
    words["line"] = report.text.strip()
    title = rule.bare if rule.bare and not function else rule.title
    for word, found in _FOUND.items():  # each goes through the lines: only where it is asked for
        if f"{{{word}}}" in title:
            words[word] = found(report, facts) or function or UNKNOWN
    if "{access}" in title:
        words["access"] = _access(report.lines)
    for key in ("said", "line"):
        if key in words:
            words[key] = general(words[key])
    if "{access}" in title and not words["access"] and "f" in said:
        title = "KASAN: {what} in {f}"  # nothing but its first line is known
        title += " at addr ADDR" if " at addr " in report.text else ""
    return re.sub(r" {2,}", " ", title.format_map(words)).strip().removesuffix(f" in {UNKNOWN}")


def general(text: str) -> str:
    """A message without what differs from one time to the next."""
    text = _TAIL.sub("", text)
    return _NUMBER.sub("NUM", _ADDRESS.sub("ADDR", text)).strip()[:120]


def _access(lines: Sequence[Message]) -> str:
    for line in lines[:12]:
        if found := _ACCESS.match(line.text.strip()):
            return (found["what"] or found["other"]).capitalize()
    return ""


def _first(pattern: "re.Pattern[str]", lines: Sequence[Message]) -> str | None:
    """What a pattern's first group is on the first line that has it."""
    found = (pattern.search(line.text) for line in lines)
    return next((guilty.bare(one[1]) for one in found if one), None)


def _became(facts: Facts) -> str | None:
    """Who made a lock one that interrupts take."""
    stacks = (one.frames for one in facts.sections if "which became" in one.head and one.frames)
    return guilty.guilty(next(stacks, []))


_FOUND: Mapping[str, Callable[[Report, Facts], str | None]] = {
    "held": lambda report, facts: _first(_HELD, report.lines),
    "taken": lambda report, facts: _first(_ACQUIRED, report.lines),
    "became": lambda report, facts: _became(facts),
}
"""Functions that only some titles name."""


def _complete(report: Report, facts: Facts, stack: list[Frame]) -> bool:
    """Whether its last line was seen, or else the place where the kernel was entered."""
    if report.disturbed or (facts.mixed and report.rule.kind not in MANY_STACKS):
        return False
    if report.rule.kind in _NO_STACK:
        return True
    return bool(stack) and (report.ended or facts.entered)
