"""From the journal's lines to what the engine decides by: counts, costs, the build's errors."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from vmlab.bisect.belief import Count, Evidence
from vmlab.bisect.choose import Costs
from vmlab.bisect.evidence import Outcome, Seen
from vmlab.bisect.space import Space

PREPARE_S, RUN_S = 10.0, 1.0  # until some are known
OTHERS = 3  # runs that fail otherwise, after which a revision that shows nothing else is untestable


def evidence(space: Space, seen: Sequence[Seen]) -> Evidence:
    """Pure: what was seen, as counts. `broken` is none."""
    place = {name: at for at, name in enumerate(space.names)}
    wrong = bad_build(space, seen)
    made = Evidence()
    others: dict[int, int] = {}
    for one in seen:
        at = place[one.revision]
        outcome = _settled(one, wrong)
        if outcome in (Outcome.GOOD, Outcome.BAD):
            bad = outcome is Outcome.BAD
            made = made.add(at, Count(int(bad), int(not bad)))
        elif outcome is Outcome.UNTESTABLE:
            made = made.without(at)
        elif outcome is Outcome.OTHER:
            others[at] = others.get(at, 0) + 1
    for at, times in others.items():
        if times >= OTHERS and not made.of(at).runs:
            made = made.without(at)
    return made


def bad_build(space: Space, seen: Sequence[Seen]) -> str | None:
    """The error with which the bad end does not build, None where it does."""
    ends = [one.build for one in seen if one.revision == space.names[-1] and one.build]
    return ends[0] if ends else None


def _settled(one: Seen, wrong: str | None) -> Outcome:
    """A build's error is bad only where it is the bad end's own."""
    if one.outcome is not Outcome.BUILD:
        return one.outcome
    return Outcome.BAD if one.build == wrong else Outcome.UNTESTABLE


def costs(space: Space, seen: Sequence[Seen]) -> Costs:
    """Seconds, as they were so far: a revision's first run builds and boots."""
    first: dict[str, float] = {}
    later: list[float] = []
    for one in seen:
        if one.revision in first:
            later.append(one.wall_s)
        else:
            first[one.revision] = one.wall_s
    run = max(fmean(later), 0.01) if later else RUN_S
    prepare = max(fmean(first.values()) - run, 0.0) if len(first) > 1 else PREPARE_S
    known = np.array([name in first for name in space.names])
    return Costs(np.where(known, 0.0, prepare), run)


def broken(seen: Sequence[Seen]) -> list[Seen]:
    """The runs at the end that the lab broke, one after another."""
    last: list[Seen] = []
    for one in reversed(seen):
        if one.outcome is not Outcome.BROKEN:
            break
        last.append(one)
    return last
