"""The lab's errors, by whose they are; each knows the exit status of the command it ends."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
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


@contextlib.contextmanager
def reading(what: Path) -> Iterator[None]:
    """Raises UsageError for a file below the user's own `what` that cannot be read in the block.

    Else it would be taken for one of the cache, or be a traceback.
    """
    try:
        yield
    except OSError as error:
        name = error.filename
        if not name or not Path(str(name)).resolve().is_relative_to(what.resolve()):
            raise
        said = os.strerror(error.errno).lower() if error.errno else "it cannot be read"
        step = "make it readable for you, or take a copy that is"
        if error.errno == errno.ENOENT:
            step = "was it taken away meanwhile?"
        raise UsageError(f"reading {name}: {said}; {step}") from error
