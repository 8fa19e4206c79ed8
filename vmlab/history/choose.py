"""What is run first, or alone, by how it ended the last time. Pure."""

from collections.abc import Mapping, Sequence

from vmlab.executor import Pair
from vmlab.verdict import Verdict

Last = Mapping[tuple[str, str], Verdict]


def failed(pairs: Sequence[Pair], last: Last) -> list[Pair]:
    """Those whose last run did not pass; one that was never run is none of them."""
    return [pair for pair in pairs if _failed(pair, last)]


def failed_first(pairs: Sequence[Pair], last: Last) -> list[Pair]:
    """All, and within both halves in the order they were in."""
    return sorted(pairs, key=lambda pair: not _failed(pair, last))


def _failed(pair: Pair, last: Last) -> bool:
    expanded, kernel = pair
    return last.get((expanded.name, kernel.id), Verdict.PASSED) is not Verdict.PASSED
