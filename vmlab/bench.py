"""What the bench measures and what it makes of it: rounds side by side, medians, spread, JSON.

The measuring itself is a `Bench` that is handed in; nothing here starts a process.
"""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

WAYS = ("restored", "cold", "virtme", "virtme_lean")
"""How a guest comes to its first result; the others are compared with the first."""
_PLACES = 4  # decimal places in the JSON


@dataclass(frozen=True)
class Restored:
    """One guest that began from a snapshot: seconds since the start of its process, and MB."""

    first_result_s: float
    restore_s: float  # until the guest runs (QMP's RESUME)
    rss_mb: float  # resident when the first result is there
    pss_mb: float  # pages that other processes map too count in part
    private_mb: float  # of it, what this guest alone has


@dataclass(frozen=True)
class Growth:
    """What a process has more of after many runs than after the first."""

    runs: int
    descriptors: int
    processes: int
    files: int
    rss_mb: float


class Bench(Protocol):
    """Measures one thing once. Its methods raise LabError where a guest gives no result."""

    def restored(self, kernel: str) -> Restored: ...

    def cold(self, kernel: str) -> float:
        """Seconds from the start of QEMU to the first result, without a snapshot."""

    def virtme(self, kernel: str) -> float:
        """Seconds from the start of virtme-run to the first result, as its users have it."""

    def virtme_lean(self, kernel: str) -> float:
        """The same with the lab's virtme backend."""

    def runs_per_min(self, kernel: str, guests: int) -> float: ...


@dataclass
class Samples:
    """What was measured on one kernel, in the order of the rounds."""

    restored: list[Restored] = field(default_factory=list)
    first_s: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    ratios: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS[1:]})
    runs_per_min: dict[int, list[float]] = field(default_factory=dict)


def measure(
    bench: Bench,
    kernels: Sequence[str],
    rounds: int,
    guests: Sequence[int],
    begun: Callable[[str], None],
) -> dict[str, Samples]:
    """All rounds; in each, every other way has a restored guest just before it to compare with.

    The host's other load then weighs on both sides of a ratio.
    """
    found = {kernel: Samples() for kernel in kernels}
    for number in range(1, rounds + 1):
        for kernel in kernels:
            for step in _round(bench, kernel, found[kernel], guests):
                begun(f"round {number} of {rounds}: {kernel}: {step}")
    return found


def _round(bench: Bench, kernel: str, samples: Samples, guests: Sequence[int]) -> Iterator[str]:
    """Says what it does next, and does it when asked for the next."""
    ways: dict[str, Callable[[str], float]] = {
        "cold": bench.cold,
        "virtme": bench.virtme,
        "virtme_lean": bench.virtme_lean,
    }
    for way, first_result in ways.items():
        yield "restored"
        restored = bench.restored(kernel)
        samples.restored.append(restored)
        samples.first_s["restored"].append(restored.first_result_s)
        yield way
        other = first_result(kernel)
        samples.first_s[way].append(other)
        samples.ratios[way].append(other / restored.first_result_s)
    for count in guests:
        yield f"{count} at once"
        samples.runs_per_min.setdefault(count, []).append(bench.runs_per_min(kernel, count))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, quartiles, most and how many; the quartiles of two values lie between them."""
    if len(values) == 1:
        low, middle, high = values[0], values[0], values[0]
    else:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {
        "min": round(min(values), _PLACES), "q1": round(low, _PLACES),
        "median": round(middle, _PLACES), "q3": round(high, _PLACES),
        "max": round(max(values), _PLACES), "n": len(values),
    }  # fmt: skip


def record(samples: Samples) -> dict[str, object]:
    """One kernel's medians, and their spread under the same names."""
    values: dict[str, object] = {
        "first_result_s": samples.first_s,
        "restore_s": [one.restore_s for one in samples.restored],
        "rss_mb": [one.rss_mb for one in samples.restored],
        "pss_mb": [one.pss_mb for one in samples.restored],
        "private_mb": [one.private_mb for one in samples.restored],
        "ratio": samples.ratios,
        "runs_per_min": {str(count): made for count, made in samples.runs_per_min.items()},
    }
    return {
        **{name: _each(one, lambda some: spread(some)["median"]) for name, one in values.items()},
        "spread": {name: _each(one, spread) for name, one in values.items()},
    }


def _each(values: object, make: Callable[[list[float]], object]) -> object:
    """A figure of a list of values, or of each list in a mapping; what has no value is left out."""
    if isinstance(values, Mapping):
        return {name: make(some) for name, some in values.items() if some}
    assert isinstance(values, list)
    return make(values)


def as_json(
    found: Mapping[str, Samples], growth: Growth, host: Mapping[str, object], rounds: int
) -> str:
    """The document that the chart is made from."""
    document = {
        "host": dict(host),
        "rounds": rounds,
        "kernels": {kernel: record(samples) for kernel, samples in found.items()},
        "growth": vars(growth),
    }
    return json.dumps(document, indent=1) + "\n"
