"""How far a long part is, for the one who waits."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Say = Callable[[str], None]
EVERY = 3.0  # seconds


def silent(line: str) -> None:
    """Progress goes nowhere."""


@contextlib.contextmanager
def telling(text: Callable[[], str], say: Say, every: float = EVERY) -> Iterator[None]:
    """While the body runs, says a text every so many seconds; not where it raises OSError."""
    stop = threading.Event()

    def follow() -> None:
        while not stop.wait(every):
            with contextlib.suppress(OSError):
                say(text())

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def progress(
    file: Path, size: int, say: Say, every: float = EVERY
) -> contextlib.AbstractContextManager[None]:
    """While the body runs, says how much of a file's bytes is there."""
    return telling(lambda: line(file.name, file.stat().st_size, size), say, every)


def line(name: str, done: int, size: int) -> str:
    """One line of progress; sizes in bytes."""
    percent = 100 * done // size if size else 0
    return f"{name}: {done / 1e6:.0f} of {size / 1e6:.0f} MB ({percent} %)"
