"""What a bisection must cost at least, and what the usual way costs; in runs."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """A lower bound in two parts: finding the place, and showing that it is the right one."""

    search: float
    proof: float

    @property
    def runs(self) -> float:
        return self.search + self.proof


def capacity(rate: float, noise: float = 0.0) -> float:
    """Bits that a run can tell at most: the capacity of a channel that changes some of its bits.

    A bad revision fails at the rate, a good one at the noise, which is lower. Without noise it
    is a channel that loses bad news (Z-channel).
    """
    apart = rate - noise
    of_bad, of_good = _entropy(rate), _entropy(noise)
    most = math.log2(1 + 2 ** ((of_good - of_bad) / apart))
    return most + (noise * of_bad - rate * of_good) / apart


def best_input(rate: float, noise: float = 0.0) -> float:
    """The part of runs that are of bad revisions where the channel's capacity is reached."""
    apart = rate - noise
    failures = 1 / (1 + 2 ** ((_entropy(rate) - _entropy(noise)) / apart))
    return (failures - noise) / apart


def bound(candidates: int, rate: float, confidence: float, noise: float = 0.0) -> Bound:
    """Runs that any way needs that is right with this confidence whatever the rates are."""
    bits, doubt = capacity(rate, noise), 1 - confidence
    search = max(confidence * math.log2(candidates) - _entropy(doubt), 0.0) / bits
    return Bound(search, _divergence(doubt, confidence) / bits)


def _entropy(chance: float) -> float:
    """Of a coin, in bits."""
    return -sum(one * math.log2(one) for one in (chance, 1 - chance) if one > 0)


def _divergence(one: float, other: float) -> float:
    """Bits by which a coin differs from another."""
    return one * math.log2(one / other) + (1 - one) * math.log2((1 - one) / (1 - other))


def naive(candidates: int, rate: float, confidence: float) -> int:
    """Runs of the usual way: halving, with so many runs a step that all are right together.

    A step that fails is over at once; half of them do. The rate is taken as known.
    """
    steps = max(1, math.ceil(math.log2(max(candidates, 2))))
    doubt = (1 - confidence) / steps
    passes = 1 if rate >= 1 else math.ceil(math.log(doubt) / math.log1p(-rate))
    until = (1 - (1 - rate) ** passes) / rate  # runs of a bad one until it fails
    return math.ceil((steps + 1) / 2 * passes + (steps + 1) / 2 * until)
