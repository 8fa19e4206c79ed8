"""Standard output whose troubles are the lab's own errors, not tracebacks."""

import errno
import io
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from vmlab.errors import LabError

T = TypeVar("T")


class Output(io.TextIOWrapper):
    """Raises LabError for what it cannot write, and for all that comes afterwards: libraries try
    a stream by writing nothing, and pass over what that raises.

    A pipe that nobody reads stays an OSError, which typer knows.
    """

    _lost: Exception | None = None

    def write(self, text: str, /) -> int:
        return self._guarded(lambda: io.TextIOWrapper.write(self, text))

    def flush(self) -> None:
        self._guarded(lambda: io.TextIOWrapper.flush(self))

    def _guarded(self, action: Callable[[], T]) -> T:
        if self._lost:
            raise self._lost
        try:
            return action()
        except OSError as error:
            self._lost = error if error.errno == errno.EPIPE else _told(error)
            raise self._lost from error


def _told(error: OSError) -> LabError:
    said = (error.strerror or str(error)).lower()
    return LabError(f"writing to standard output: {said}; not all of it was written")


def guard() -> None:
    """Puts it in the place of sys.stdout, unless that is closed or no file."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        now = sys.stdout
        sys.stdout = Output(
            now.buffer, now.encoding, now.errors, None, now.line_buffering, now.write_through
        )


def finish() -> None:
    """Writes what is still held. Raises LabError; a pipe that nobody reads has had enough."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (LabError, BrokenPipeError) as error:
        # Else the interpreter tries once more at its end, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stdout = sys.__stdout__
        if isinstance(error, LabError):
            raise
