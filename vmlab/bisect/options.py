"""The smallest set of options that makes a difference: delta debugging, as a pure function."""

import enum
import itertools
from collections.abc import Callable, Mapping, Sequence

Options = Mapping[str, str]


class Told(enum.Enum):
    """What a configuration showed."""

    GOOD = enum.auto()
    BAD = enum.auto()
    NOTHING = enum.auto()  # it does not build, or does not come up


def differing(good: Options, bad: Options) -> list[str]:
    """The options that two configurations have otherwise; what is not there is n."""
    names = sorted(good.keys() | bad.keys())
    return [name for name in names if good.get(name, "n") != bad.get(name, "n")]


def mixed(good: Options, bad: Options, taken: frozenset[str]) -> dict[str, str]:
    """The good configuration with some options as the bad one has them."""
    made = dict(good)
    for name in taken:
        made[name] = bad.get(name, "n")
    return made


def text(options: Options) -> str:
    """As it stands in a configuration file."""
    lines = (
        f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}"
        for name, value in sorted(options.items())
    )
    return "\n".join(lines) + "\n"


def smallest(names: Sequence[str], told: Callable[[frozenset[str]], Told]) -> frozenset[str]:
    """A set from which no single option can be left out, given that all of them are bad.

    Zeller and Hildebrandt's ddmin: parts alone, then all but a part, then smaller parts. What was
    asked once is not asked again.
    """
    known: dict[frozenset[str], Told] = {}

    def bad(taken: Sequence[str]) -> bool:
        asked = frozenset(taken)
        if asked not in known:
            known[asked] = told(asked)
        return known[asked] is Told.BAD

    left, parts = list(names), 2
    while len(left) > 1:
        pieces = _pieces(left, min(parts, len(left)))
        if (one := next((piece for piece in pieces if bad(piece)), None)) is not None:
            left, parts = one, 2
            continue
        without = ([name for name in left if name not in piece] for piece in pieces)
        rest = next((one for one in without if len(pieces) > 2 and bad(one)), None)
        if rest is not None:
            left, parts = rest, max(parts - 1, 2)
        elif parts >= len(left):
            break
        else:
            parts = min(parts * 2, len(left))
    return frozenset(left)


def _pieces(names: list[str], count: int) -> list[list[str]]:
    """As equal as can be, each of neighbours: options of one driver have one beginning."""
    ends = [len(names) * at // count for at in range(count + 1)]
    return [names[begin:end] for begin, end in itertools.pairwise(ends)]


def closed(names: Sequence[str], needs: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The names with all of the differing options that they depend on, so that none is dropped."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += needs.get(name, frozenset())
    return frozenset(found)
