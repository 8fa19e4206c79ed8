"""From a console's text to its crash reports."""

from dataclasses import replace

from vmlab.crash.assemble import reports
from vmlab.crash.lines import messages
from vmlab.crash.model import Crash, Follower
from vmlab.crash.report import crash


def find(console: str, running: bool = False) -> Crash | None:
    """The first crash report, with its followers; None where there is none.

    `running` says that the log was begun on a machine that ran: a boot in it was not wanted.
    """
    found = parse(console, running)
    return found[0] if found else None


def parse(console: str, running: bool = False) -> list[Crash]:
    """All crash reports, in the order of their first lines; each with those after it."""
    made = [crash(report) for report in reports(messages(console), running)]
    followers = [Follower(one.kind, one.title, one.first_line) for one in made]
    return [replace(one, followers=tuple(followers[at:])) for at, one in enumerate(made, start=1)]
