"""From a log's text to messages: prefixes of printk, syslog, dmesg and terminals taken away.

A message is what one call of printk said on one line. Each pattern here is anchored, or begins with
a fixed string, so that a line costs time in proportion to its length, and no more than the first
1000 characters of it.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 1000
"""Characters of a line that are looked at; the kernel's own records are shorter (LOG_LINE_MAX)."""

# CSI and OSC sequences, other escapes, and the control characters that a terminal shows as nothing.
_ESCAPES = re.compile(
    "\x1b\\[[0-9;?]{0,40}[ -/]{0,4}[@-~]|\x1b\\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\\\)?|\x1b[ -~]?"
)
_LEVEL = r"(?:<\d{1,4}>)"
_STAMP = r"\[ {0,12}(\d{1,10}\.\d{1,9})\]"
_CALLER = r"(?:\[ {0,8}([TC]\d{1,10})\])"
_DATES = (
    r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d "  # syslog, and the journal's short form
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.,:+Z-]{0,20} )"
    r"[\w.-]{1,64} kernel(?:\[\d{1,8}\])?: "
    r"|(?:kern|user) {1,4}:(?:emerg|alert|crit|err|warn|notice|info|debug) {1,4}: "  # dmesg -x
    r"|\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ?"  # dmesg -T
    r"|\d{1,4},\d{1,10},\d{1,16},[^;\n]{1,80};"  # /dev/kmsg
)
_PREFIX = re.compile(
    rf"[^\x20-\x7e]*(?:{_DATES})?{_LEVEL}?(?:{_DATES})?(?:{_STAMP})?{_CALLER}?{_LEVEL}? ?"
)
_PROMPT = re.compile(r"[\w.-]{1,64} login: (?=\S)")  # of getty, which ends no line
_LATE = re.compile(rf"{_STAMP}{_CALLER}? ?")
_FARTHEST = 240  # characters before a timestamp in mid-line, of a line that was not ended


class Message(NamedTuple):
    """One message; `number` is its line in the log, from 1.

    `caller` is who called printk, where the kernel tells it (CONFIG_PRINTK_CALLER): `T81` for a
    task, `C0` for a processor in an interrupt. `stamp` is the kernel's time, in seconds.
    """

    number: int
    text: str
    caller: str | None = None
    stamp: str | None = None


def messages(log: str) -> Iterator[Message]:
    """All messages of a log, in its order. One line gives several where some were not ended."""
    for number, line in enumerate(log.split("\n"), start=1):
        begin = line[:LONGEST]
        if "\x1b" in begin:
            begin = _ESCAPES.sub("", begin)
        if " login: " in begin:
            begin = _PROMPT.sub("", begin)
        parts = begin.rstrip("\r").split("\r") if "\r" in begin else (begin,)
        for part in parts:
            if part:
                yield from _of_line(number, part)


def _of_line(number: int, line: str) -> tuple[Message, ...]:
    """The messages of one line: a timestamp in the middle begins another."""
    prefix = _PREFIX.match(line)
    begin, stamp, caller = (prefix.end(), prefix[1], prefix[2]) if prefix else (0, None, None)
    late = line.find("[", begin)
    if late < 0 or not (found := _LATE.search(line, late, begin + _FARTHEST)):
        return (Message(number, line[begin:], caller, stamp),)
    after = Message(number, line[found.end() :], found[2], found[1])
    before = line[begin : found.start()]
    return (Message(number, before, caller, stamp), after) if before.strip() else (after,)
