"""A part of the matrix, the same on every machine that is asked for it. Pure."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from vmlab.cache import content_key
from vmlab.errors import UsageError

_SHAPE = re.compile(r"(\d{1,6})/(\d{1,6})")
_UNKNOWN_S = 1.0  # what a run is taken for where no time at all is known
Key = tuple[str, str]


class Named(Protocol):
    @property
    def name(self) -> str: ...


class Identified(Protocol):
    @property
    def id(self) -> str: ...


P = TypeVar("P", bound=tuple[Named, Identified])


@dataclass(frozen=True)
class Shard:
    """Number `number`, from 1, of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse(text: str) -> Shard:
    """Reads `2/5`. Raises UsageError for what is none."""
    found = _SHAPE.fullmatch(text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"a shard is NUMBER/OF, from 1/5 to 5/5 for instance; {text!r} is none")
    return Shard(int(found[1]), int(found[2]))


def by_name(pairs: Sequence[P], shard: Shard) -> list[P]:
    """Those that the hash of their names falls to: others that come or go move none of them."""
    return [pair for pair in pairs if _hash(pair) % shard.of == shard.number - 1]


def by_time(pairs: Sequence[P], shard: Shard, seconds: Mapping[Key, float]) -> list[P]:
    """Those of the shard when the longest are dealt first, each to the shard with the least to do.

    The same on every machine that has the same times. A pair whose time is not known is taken for
    one of the middle.
    """
    middle = statistics.median(seconds.values()) if seconds else _UNKNOWN_S
    costs = {_key(pair): seconds.get(_key(pair), middle) for pair in pairs}
    loads = [0.0] * shard.of
    mine = set()
    for key in sorted(costs, key=lambda key: (-costs[key], key)):
        least = loads.index(min(loads))
        loads[least] += costs[key]
        if least == shard.number - 1:
            mine.add(key)
    return [pair for pair in pairs if _key(pair) in mine]


def _key(pair: tuple[Named, Identified]) -> Key:
    return pair[0].name, pair[1].id


def _hash(pair: tuple[Named, Identified]) -> int:
    return int(content_key(*_key(pair)), 16)
