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


def capacity(rate: float) -> float:
    """Bits that a run can tell at most: the capacity of a channel that loses bad news (Z-channel).

    A good revision always passes, a bad one fails at this rate.
    """
    if rate >= 1:
        return 1.0
    lost = math.pow(1 - rate, (1 - rate) / rate)
    return math.log2(1 + rate * lost)


def bound(candidates: int, rate: float, confidence: float) -> Bound:
    """Runs that any way needs that is right with this confidence whatever the rate is."""
    bits, doubt = capacity(rate), 1 - confidence
    unsure = -(doubt * math.log2(doubt) + confidence * math.log2(confidence))
    search = max(confidence * math.log2(candidates) - unsure, 0.0) / bits
    return Bound(search, _divergence(doubt, confidence) / bits)


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
