"""Where a long command stands: all the while on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

EVERY_S = 60.0
"""How often who reads no terminal (a log of CI) is told, seconds."""


class Progress:
    """A block in which `update` tells it; what is printed meanwhile goes to its `console`."""

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._status = self.console.status("")
        self._clock = clock
        self._told = clock()

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._status.stop()

    def update(self, text: str) -> None:
        if self.console.is_terminal:
            self._status.update(Text(text))
        elif self._clock() - self._told >= EVERY_S:
            self._told = self._clock()
            self.console.print(Text(text), soft_wrap=True)
