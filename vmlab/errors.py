"""The lab's errors, by whose they are; each knows the exit status of the command it ends."""

from typing import ClassVar

from vmlab.plain import plain


class VmlabError(Exception):
    """Any error the lab reports by its message alone, without a traceback."""

    exit_status: ClassVar[int] = 3

    def __init__(self, message: str = "") -> None:
        super().__init__(plain(message))


class UsageError(VmlabError):
    """What the user asked for cannot be meant: exit status 2."""

    exit_status = 2


class LabError(VmlabError):
    """The lab's own surroundings failed (network, disk, tools): exit status 3.

    Never evidence for or against a kernel.
    """
