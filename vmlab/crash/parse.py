"""From a console's text to its crash reports."""

import re
from dataclasses import replace

from vmlab.crash.assemble import reports
from vmlab.crash.lines import Message, messages
from vmlab.crash.model import Crash, Follower
from vmlab.crash.report import Report, crash

_HEAD = re.compile(r"-{4,}\[ cut here \]-{4,}|={20,}|8<--- cut here")


def find(console: str) -> Crash | None:
    """The first crash report, with its followers; None where there is none."""
    found = parse(console)
    return found[0] if found else None


def parse(console: str) -> list[Crash]:
    """All crash reports, in the order of their first lines; each with those after it."""
    lines = list(messages(console))
    made = [crash(report, _first_line(report, lines)) for report in reports(lines)]
    followers = [Follower(one.kind, one.title, one.first_line) for one in made]
    return [replace(one, followers=tuple(followers[at:])) for at, one in enumerate(made, start=1)]


def _first_line(report: Report, lines: list[Message]) -> int:
    """Where the headline stands, with its line of dashes."""
    for at in range(report.index - 1, max(report.index - 4, -1), -1):
        text = lines[at].text.strip()
        if text and _HEAD.match(text):
            return lines[at].number
    return lines[report.index].number
