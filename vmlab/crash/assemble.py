"""Which lines of a log are of which report: where each begins, goes on and ends."""

import re
from collections import deque
from collections.abc import Iterable

from vmlab.crash.kinds import REBOOT, SAID, any_loud, rule_of
from vmlab.crash.lines import LONGEST, Message
from vmlab.crash.model import MOST
from vmlab.crash.report import MANY_STACKS, Report
from vmlab.crash.rules import ANY_KIND, Rule

FARTHEST = 1200
"""Messages after its first that a report may have: stacks of all processors are long."""
_NEAR = 12  # messages between a line and the WARNING or BUG that it led to
_OPEN = 4  # reports that may be written at a time
_HEAD = re.compile(r"-{4,}\[ cut here \]-{4,}|={20,}|8<--- cut here")
_END = re.compile(
    r"---\[ end (?:trace|Kernel panic)|={40,}|Rebooting in \d+ seconds|Kernel Offset:"
)
_RESTART_LINES = 60  # messages of firmware and boot loader between two kernels
_RESTARTED = re.compile(
    r"reboot: |Restarting system|Power down|System halted|Rebooting in|[Ss]ys[Rq]q ?: Resetting"
    r"|machine restart|kexec|crash ?kernel|-- Reboot --|-- Boot |Linux version "
    r"|Booting the kernel\."
)
_BETWEEN_RULES = ("KASAN", "KMSAN", "KCSAN", "KFENCE", "UBSAN")  # they end with a line of =

Hit = tuple[Rule, "re.Match[str]", str]


def reports(log: Iterable[Message], running: bool) -> list[Report]:
    """The reports, each with its lines; those after the first MOST are not looked at.

    A kernel that begins is trouble where one was `running`: when the log began, or in it. Of a
    machine that ran as the log began, a kernel's `WARNING: text` counts too: what a boot has to
    advise is over.

    Several may be open at a time: of several callers, or of two processors that write into one
    another before either has printed its stack.
    """
    found: list[Report] = []
    last: deque[Message] = deque(maxlen=_RESTART_LINES)
    ran = running
    for index, message in enumerate(log):
        hit = _hit(message.text, message.stamp if running else None)
        if not ran:
            ran = bool(message.stamp and float(message.stamp) > 0)
        elif not hit and message.text.startswith(("Linux version", "Booting")):
            hit = _reboot(last, message.text)
        if hit or found:
            _take(found, hit, message, index, last)
        last.append(message)
        if len(found) > MOST:
            break
    return found[:MOST]


def _take(
    found: list[Report], hit: Hit | None, message: Message, index: int, last: deque[Message]
) -> None:
    """Gives a message to the reports that it belongs to, or begins one with it."""
    now = [one for one in found[-_OPEN:] if not one.closed and _listens(one, message, index)]
    if hit and now and _is_cut(now[-1], hit, index):
        now[-1].rule, now[-1].match, now[-1].text = hit
    if hit and not any(_belongs(hit, one, index) for one in now):
        now = [one for one in now if _goes_on(one, index)]
        found.append(
            Report(*hit, index, index, [message], message.number, _first_line(message, last))
        )
    for one in now:
        _add(one, message, index, hit)


def _first_line(message: Message, last: deque[Message]) -> int:
    """Where the headline stands, with its line of dashes."""
    before = list(last)[-3:]
    heads = (one.number for one in reversed(before) if _HEAD.match(one.text.strip()))
    return next(heads, message.number)


def _hit(text: str, stamp: str | None) -> Hit | None:
    if found := rule_of(text):
        return *found, text
    if stamp and text.startswith("WARNING: ") and (said := SAID.pattern.match(text)):
        return SAID, said, text
    if text.startswith("---["):  # the end of one says again what it was
        return None
    if ("Kernel panic" in text or "unable to handle" in text or "Oops: " in text) and (
        loud := any_loud().search(text)
    ):
        part = text[loud.start() : loud.start() + LONGEST]
        if found := rule_of(part):
            return *found, part
    return None


def _reboot(last: Iterable[Message], text: str) -> Hit | None:
    """A kernel that begins after another had run, which nobody restarted."""
    found = REBOOT.pattern.match(text)
    if not found or any(_RESTARTED.search(one.text) for one in last):
        return None
    return REBOOT, found, text


def _listens(report: Report, message: Message, index: int) -> bool:
    """Whether a report may have another line, and this one may be it."""
    if index - report.index > FARTHEST:
        report.closed = True
        return False
    first = report.lines[0].caller
    same = message.caller == first or not (first and message.caller)
    return same or report.rule.kind in MANY_STACKS


def _belongs(hit: Hit, report: Report, index: int) -> bool:
    """Whether a line that tells of trouble is of a report that was begun before it."""
    rule = hit[0]
    if _says_same(rule, report, index):
        return True
    if rule.after == ANY_KIND:
        # what dies of a report may say so after its end; another trap is one of its own
        return rule.kind == "panic" or not report.ended
    if report.rule.kind not in rule.after or rule is report.rule or report.ended:
        return False
    return index - report.index <= _NEAR or rule.kind == report.rule.kind


def _says_same(rule: Rule, report: Report, index: int) -> bool:
    """Whether it is the headline again: after a cut, or once more for each inlined function."""
    if rule is report.rule and index == report.index + 1:
        return True
    again = index == report.headed + 1 and index - report.index <= _NEAR
    return again and rule.kind == report.rule.kind and rule.kind in _BETWEEN_RULES


def _is_cut(report: Report, hit: Hit, index: int) -> bool:
    """Whether a headline was cut, and comes again: `Oops: gen[    1.5] Oops: general...`."""
    return report.rule.kind == "oops" and hit[0].kind != "oops" and index == report.index + 1


def _goes_on(report: Report, index: int) -> bool:
    """Whether a report goes on below the headline of another: nothing of its stack was seen yet."""
    report.disturbed = report.disturbed or not (report.ended or report.stacked)
    report.closed = report.ended or report.stacked or index - report.index > _NEAR
    return not report.closed


def _add(report: Report, message: Message, index: int, hit: Hit | None) -> None:
    if hit and index == report.headed + 1:
        report.headed = index
    if hit and report.warned is None and hit[0].kind == "warning":
        report.warned = hit[1]
    if report.ended and not hit:
        return
    if hit:
        report.said = message.number
    text = message.text.strip()
    report.lines.append(message)
    report.stacked = report.stacked or "+0x" in text
    if text and _END.match(text):
        report.ended = text[0] != "=" or (
            report.rule.kind in _BETWEEN_RULES and index - report.index > 2
        )
