"""What can be the answer: revisions in order, and which of them are bad if one is the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Space:
    """Revisions, the good end first, the bad end last, each after those it descends from.

    An answer is the index of the first bad revision, or `none`, one more than there are. A
    revision is bad if it is the first bad one or descends from it: `bad[answer, revision]`.
    """

    names: tuple[str, ...]
    bad: Flags
    linear: bool = True

    @property
    def size(self) -> int:
        return len(self.names)

    @property
    def none(self) -> int:
        """The answer that no revision is bad."""
        return self.size

    def classes(self, untestable: frozenset[int]) -> NDArray[np.intp]:
        """A number for each answer; those have the same one that no test can tell apart."""
        testable = [one for one in range(self.size) if one not in untestable]
        packed = np.packbits(self.bad[:, testable], axis=1)
        _, numbers = np.unique(packed, axis=0, return_inverse=True)
        return numbers.reshape(-1)


def line(names: Sequence[str]) -> Space:
    """Revisions one after another."""
    size = len(names)
    bad = np.arange(size)[None, :] >= np.arange(size + 1)[:, None]
    return Space(tuple(names), bad)


def graph(parents: Mapping[str, Sequence[str]]) -> Space:
    """Commits by their parents, each after its own; parents outside of the mapping are left out."""
    names = tuple(parents)
    place = {name: at for at, name in enumerate(names)}
    bad = np.zeros((len(names) + 1, len(names)), dtype=bool)
    for at, name in enumerate(names):
        for parent in parents[name]:
            if parent in place:
                bad[:, at] |= bad[:, place[parent]]
        bad[at, at] = True
    linear = bool(np.array_equal(bad[:-1], np.triu(np.ones((len(names),) * 2, dtype=bool))))
    return Space(names, bad, linear)
