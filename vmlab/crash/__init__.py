"""What a console says of a sick kernel: `find` the first crash report, or `parse` all of them.

The reader is imported when a console is read: its patterns take as long to compile as a guest takes
to begin.
"""

from vmlab.crash.model import MOST, Crash, Follower, Frame, Inlined, Source

__all__ = ["MOST", "Crash", "Follower", "Frame", "Inlined", "Source", "find", "parse", "ready"]


def find(console: str, running: bool = False) -> Crash | None:
    """The first crash report, with its followers; None where there is none.

    `running` says that the log was begun on a machine that ran: a boot in it was not wanted.
    """
    found = parse(console, running)
    return found[0] if found else None


def parse(console: str, running: bool = False) -> list[Crash]:
    """All crash reports, in the order of their first lines; each with those after it."""
    from vmlab.crash import reader

    return reader.parse(console, running)


def ready() -> None:
    """Imports the reader, where there is time for it."""
    from vmlab.crash import reader

    reader.ready()
