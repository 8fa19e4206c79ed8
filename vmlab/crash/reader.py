"""From a console's text to its crash reports."""

from dataclasses import replace

from vmlab.crash.assemble import reports
from vmlab.crash.kinds import any_loud, rule_of
from vmlab.crash.lines import messages
from vmlab.crash.model import Crash, Follower
from vmlab.crash.report import crash


def parse(console: str, running: bool = False) -> list[Crash]:
    """All crash reports, in the order of their first lines; each with those after it."""
    made = [crash(report) for report in reports(messages(console), running)]
    followers = [Follower(one.kind, one.title, one.first_line) for one in made]
    return [replace(one, followers=tuple(followers[at:])) for at, one in enumerate(made, start=1)]


def ready() -> None:
    """Compiles the patterns that every line is looked at with."""
    any_loud()
    rule_of("")
