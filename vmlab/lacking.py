"""Steps that a guest passed over, because its kernel lacks what they need. Pure."""

from collections import Counter

from vmlab.guest.results import Results, StepResult
from vmlab.scenario import features
from vmlab.scenario.expand import Expanded, RunStep


def passed_over(expanded: Expanded, step: RunStep, result: StepResult) -> bool:
    """Whether it was; what the agent says counts only where the scenario says it may."""
    return result.lacks in (*expanded.scenario.needs, *step.step.needs)


def all_of_it(expanded: Expanded, results: Results) -> bool:
    """Whether nothing of the scenario was left to be judged."""
    steps = list(zip(expanded.steps, results.steps, strict=False))
    return bool(steps) and all(passed_over(expanded, step, result) for step, result in steps)


def told(expanded: Expanded, results: Results) -> str:
    """Why nothing was judged, or which steps were not; empty where all were."""
    steps = zip(expanded.steps, results.steps, strict=False)
    found = Counter(result.lacks for step, result in steps if passed_over(expanded, step, result))
    if all_of_it(expanded, results):
        return features.lacking(next(iter(found)))
    return "; ".join(
        f"{count} step{'s' if count > 1 else ''} skipped: {features.lacking(name)}"
        for name, count in found.items()
    )
