"""What a crash report on a console says, as data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MOST = 200
"""Reports of one log that are looked at: a kernel in that state says nothing new."""


@dataclass(frozen=True)
class Source:
    """A place in the sources: lines count from 1; `around` holds it and its neighbours."""

    file: str
    line: int
    around: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Inlined:
    """A function whose code was put into the frame's function, innermost first."""

    function: str
    file: str
    line: int
    around: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Frame:
    """One entry of a stack, as the kernel printed it; innermost first in a crash.

    `offset` and `size` are bytes, -1 where the kernel did not print them; an unreliable frame is
    one of `? function`: found on the stack, perhaps left from before.
    """

    function: str
    offset: int = -1
    size: int = -1
    module: str | None = None
    address: str | None = None
    reliable: bool = True
    source: Source | None = None
    inlined: tuple[Inlined, ...] = ()


@dataclass(frozen=True)
class Follower:
    """A crash after the first."""

    kind: str
    title: str
    first_line: int


@dataclass(frozen=True)
class Crash:
    """One crash report; lines of the log count from 1.

    `title` is what people file it under, `line_text` the line that said it first, without its
    prefix. `function` is the guilty one, without the reporting machinery. A report that is not
    `complete` was cut, or another wrote into it.
    """

    kind: str
    title: str
    line_text: str
    first_line: int
    last_line: int
    function: str | None = None
    task: str | None = None
    pid: int | None = None
    cpu: int | None = None
    taint: str | None = None
    modules: tuple[str, ...] = ()
    registers: Mapping[str, str] = field(default_factory=dict, hash=False)
    complete: bool = False
    frames: tuple[Frame, ...] = ()
    followers: tuple[Follower, ...] = ()

    @property
    def named(self) -> str:
        """Kind and title in one line; the log's own words where the title says too little."""
        if self.title == self.kind:
            return f"{self.kind}: {self.line_text}"
        said = self.title.partition(": ")[2] or self.title
        less = self.function is None and not self.line_text.endswith(said)
        return f"{self.kind}: {self.title}" + (f" ({self.line_text})" if less else "")

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON; the keys are the fields' names."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def _plain(value: object) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
