"""From the journal's lines to what the engine decides by: counts, costs, the build's errors."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from vmlab.bisect.belief import Count, Evidence
from vmlab.bisect.choose import Costs
from vmlab.bisect.evidence import Outcome, Seen, alike
from vmlab.bisect.space import Space

PREPARE_S, RUN_S = 10.0, 1.0  # until some are known
OTHERS = 3
"""Runs that say nothing of what is looked for, after which a revision that shows nothing else is
untestable: it failed otherwise, or its boot failed, which another boot need not."""
_WEIGHTS = {Outcome.OTHER: 1, Outcome.UNTESTABLE: OTHERS}  # what is skipped is so always
_SAYING = 10  # runs that say nothing, for each that does, which are borne


def evidence(space: Space, seen: Sequence[Seen]) -> Evidence:
    """Pure: what was seen, as counts. `broken` is none."""
    place = {name: at for at, name in enumerate(space.names)}
    settle, made = settling(space.names[-1], seen), Evidence()
    silent: Counter[int] = Counter()
    for one in seen:
        at = place[one.revision]
        outcome = settle(one)
        if outcome in (Outcome.GOOD, Outcome.BAD):
            bad = outcome is Outcome.BAD
            made = made.add(at, Count(int(bad), int(not bad)))
        elif outcome in _WEIGHTS:
            silent[at] += _WEIGHTS[outcome]
            made = replace(made, silent=made.silent + 1)
    for at, weight in silent.items():
        if mute(weight, made.of(at).runs):
            made = made.without(at)
    return made


def mute(silent: int, saying: int) -> bool:
    """Whether a revision is untestable, by its runs that say nothing and those that do."""
    return silent >= OTHERS + _SAYING * saying


def settling(bad_end: str, seen: Sequence[Seen]) -> Callable[[Seen], Outcome]:
    """What each run says: an error of a build or a boot is bad where it is the bad end's own."""
    wrong, boots = bad_build(bad_end, seen), bad_boots(bad_end, seen)

    def settled(one: Seen) -> Outcome:
        if one.outcome is Outcome.BUILD:
            return Outcome.BAD if wrong and alike(one.build, wrong) else Outcome.UNTESTABLE
        if one.outcome is Outcome.BOOT:
            return Outcome.BAD if one.build in boots else Outcome.OTHER
        return one.outcome

    return settled


def bad_build(bad_end: str, seen: Sequence[Seen]) -> str | None:
    """The errors with which the bad end does not build, None where it does."""
    ends = (one for one in seen if one.revision == bad_end and one.outcome is Outcome.BUILD)
    return next((one.build for one in ends if one.build), None)


def bad_boots(bad_end: str, seen: Sequence[Seen]) -> frozenset[str]:
    """How the bad end does not come up, where that is what is wrong with it.

    It is where nothing else fails there, and a boot that failed was tried again: either it came up
    then, and the scenario passed, or it never does.
    """
    ends = [one for one in seen if one.revision == bad_end]
    boots = [one.build for one in ends if one.outcome is Outcome.BOOT and one.build]
    outcomes = {one.outcome for one in ends}
    again = len(boots) >= OTHERS or Outcome.GOOD in outcomes
    if not again or outcomes & {Outcome.BAD, Outcome.BUILD}:
        return frozenset()
    return frozenset(boots)


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
