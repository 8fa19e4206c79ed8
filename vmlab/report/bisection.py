"""What the page shows of a bisection: plain data, for the template to draw."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One revision: how probably it is the first bad one, and what its runs said."""

    left: float
    width: float
    height: float
    about: str
    state: str  # failed, passed, untestable, or nothing where it was not run


@dataclass(frozen=True)
class Label:
    """A revision's name below its bar."""

    x: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Drawing:
    """Lengths are the picture's own; bars stand on `floor`, and one of certainty is `full` high."""

    title: str
    width: float
    height: float
    left: float
    right: float
    floor: float
    full: float
    bars: Sequence[Bar]
    labels: Sequence[Label]

    @property
    def about(self) -> str:
        """The picture in words."""
        return f"how probably each revision is the first bad one: {self.title}"


@dataclass(frozen=True)
class Bisection:
    """One range: its picture, all that was tried, and the answer in words."""

    answer: str
    drawing: Drawing
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[str]
