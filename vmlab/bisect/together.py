"""What is worth running at the same time: what will be wanted next, whatever comes of the first.

With three places a bisection that needs one run a step asks quarters instead of halves: the next
revision, and those that will be next if it fails and if it passes.
"""

import heapq
import itertools
from collections.abc import Collection

import numpy as np

from vmlab.bisect import engine
from vmlab.bisect.belief import Count, Evidence, belief
from vmlab.bisect.choose import Costs, Trial, masses
from vmlab.bisect.engine import Rules
from vmlab.bisect.space import Space

_LEAST = 0.1  # what will be wanted with a lower probability is not worth a run

_SAID = 0.8  # how probably the bad end fails, as long as only the user's word is known of it


def together(
    space: Space, evidence: Evidence, rules: Rules, costs: Costs, first: Trial, places: int
) -> list[Trial]:
    """The first trial, and others for the places that it leaves empty; the most probable first.

    Places are runs at once; a revision that has not been run has its first run alone.
    """
    wanted = {first.revision: first.runs}
    order = itertools.count()
    taken = _places(first, evidence.counts)
    waiting = [(-1.0, next(order), evidence, first)]
    while waiting and taken < places:
        chance, _, before, trial = heapq.heappop(waiting)
        for share, after in _outcomes(space, before, rules, trial):
            if -chance * share < _LEAST or taken >= places:
                continue
            then = engine.decide(space, after, rules, costs)
            if isinstance(then, Trial):
                taken += _places(then, evidence.counts.keys() | wanted.keys())
                wanted[then.revision] = wanted.get(then.revision, 0) + then.runs
                heapq.heappush(waiting, (chance * share, next(order), after, then))
    return [Trial(revision, runs) for revision, runs in wanted.items()]


def _places(trial: Trial, known: Collection[int]) -> int:
    return trial.runs if trial.revision in known else 1


def _outcomes(
    space: Space, evidence: Evidence, rules: Rules, trial: Trial
) -> list[tuple[float, Evidence]]:
    """That it fails, as often as is expected then, and that it passes; the more probable first."""
    held = belief(space, evidence, rules.grid)
    shown = float(masses(held)[trial.revision] @ (1 - (1 - held.grid.bad) ** trial.runs))
    if not evidence.counts:
        shown = max(shown, _SAID)
    failed = int(np.clip(round(held.rate * trial.runs), 1, trial.runs))
    ways = [
        (shown, evidence.add(trial.revision, Count(failed, trial.runs - failed))),
        (1 - shown, evidence.add(trial.revision, Count(0, trial.runs))),
    ]
    return sorted(ways, key=lambda way: -way[0])
