"""Keeps what is run. A history that cannot be written is said once, and no run is the worse."""

import contextlib
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.errors import LabError
from vmlab.runner import Run, Runner

if TYPE_CHECKING:
    from vmlab.history.entry import Origin
    from vmlab.history.store import Store


class Recorder:
    """Of one project and one command; one transaction for each run, so that none is lost.

    What writes is imported once there is something to write: no command's start waits for it.
    """

    def __init__(self, root: Path, origin: "Origin", say: Callable[[str], None]) -> None:
        self._root = root
        self._origin = origin
        self._say = say
        self._opened: Store | None = None
        self._fails = False

    @property
    def _store(self) -> "Store":
        from vmlab.history import store

        if self._opened is None:
            self._opened = store.Store(store.place(self._root), self._say)
        return self._opened

    def add(self, run: Run) -> None:
        from vmlab.history.entry import of_run

        if self._fails:
            return
        try:
            self._store.add([of_run(run, time.time(), platform.node(), self._origin)])
        except LabError as error:
            self._fails = True
            self._say(f"{error}; what is run now is not kept there")

    def close(self) -> None:
        if self._opened:
            self._opened.close()


@contextlib.contextmanager
def kept(runner: Runner, origin: "Origin", say: Callable[[str], None]) -> Iterator[Recorder]:
    """Keeps the runs of a runner's project."""
    recorder = Recorder(runner.project.root, origin, say)
    try:
        yield recorder
    finally:
        recorder.close()
