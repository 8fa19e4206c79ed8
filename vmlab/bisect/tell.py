"""What a bisection found, in words: a table, a summary, JSON."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vmlab.bisect import engine
from vmlab.bisect.bound import bound, naive
from vmlab.bisect.count import costs
from vmlab.bisect.drive import Result, Step
from vmlab.bisect.engine import End, Rules
from vmlab.bisect.evidence import Outcome, Seen
from vmlab.bisect.space import Space
from vmlab.report.told import counted


@dataclass(frozen=True)
class Words:
    """What is looked for, and what is known of revisions besides their names."""

    scenario: str
    looked_for: str
    about: Mapping[str, str]  # revision: a package's version, a commit's subject
    on: str = ""  # an architecture, a kernel
    test: str = ""  # the scenario as its file has it
    tracked: bool = False  # whether revisions are commits of a kernel, whose regressions are

    def named(self, revision: str) -> str:
        about = self.about.get(revision, "")
        return f"{revision} ({about})" if about else revision


_BAD = (Outcome.BAD, Outcome.BOOT)
_SILENT = {
    Outcome.OTHER: "it fails, and otherwise than is looked for",
    Outcome.BUILD: "it does not build",
    Outcome.BOOT: "it does not come up",
}
_HASH = re.compile("[0-9a-f]{40}")
_ENDS = {
    End.NEWEST_GOOD: "the bad end, {bad}, passed {passed} of {runs} runs: nothing to bisect. A "
    "failure in more than {rarest:.1%} of runs would have shown; --rarest looks for rarer ones, or "
    "give another --bad",
    End.OLDEST_BAD: "the good end, {good}, fails already: give an older --good ({why})",
    End.NOT_MONOTONE: "{odd} is good again, though an earlier one fails: there is more than one "
    "change. Bisect a part of the range: --bad {first}",
    End.NO_BAD_END: "the bad end, {bad}, cannot be tested: {why}",
    End.NO_GOOD_END: "the good end, {good}, cannot be tested: {why}",
    End.TOO_MANY: "the runs that were allowed are used up; the most probable answer is below the "
    "confidence that was asked for",
}

_UNFAILED = (
    "the runs that were allowed are used up before the bad end, {bad}, failed: it passed {passed}, "
    "and {silent} said nothing of it; allow more with --runs"
)


def short(name: str) -> str:
    """A commit's hash as git shortens it, where there is no other like it."""
    return name[:12] if _HASH.fullmatch(name) else name


def problem(result: Result) -> str | None:
    """Why there is no answer as it was asked for; None where there is one."""
    answer, names = result.answer, result.space.names
    if answer.end is End.FOUND:
        return None
    bad = result.evidence.of(len(names) - 1)
    end = {End.NO_BAD_END: names[-1]}.get(answer.end, names[0])
    why = [_why(one) for one in result.seen if one.revision == end and one.reason]
    if answer.end is End.TOO_MANY and not bad.failed:
        return _UNFAILED.format(bad=names[-1], passed=bad.passed, silent=result.evidence.silent)
    return _ENDS[answer.end].format(
        bad=names[-1], good=names[0], passed=bad.passed, runs=bad.runs,
        rarest=result.rules.rarest, odd=names[answer.odd] if answer.odd is not None else "",
        first=_before(result), why=why[-1] if why else "not tried",
    )  # fmt: skip


def _why(one: Seen) -> str:
    """Why a run says nothing of what is looked for, or what it says."""
    return f"{_SILENT[one.outcome]}: {one.reason}" if one.outcome in _SILENT else one.reason


def _before(result: Result) -> str:
    """The earliest revision that failed."""
    failed = [at for at, count in result.evidence.counts.items() if count.failed]
    return result.space.names[min(failed)] if failed else result.space.names[-1]


def summary(result: Result, words: Words) -> list[str]:
    """The answer, never bare: its probability, the last good one, what cannot be tested."""
    lines = [why] if (why := problem(result)) else []
    answer = result.answer
    if answer.end in (End.FOUND, End.TOO_MANY) and answer.first:
        lines += _first(result, words)
    lines += [f"good: vmlab replay {one.token}" for one in _example(result, Outcome.GOOD)]
    lines += [f"bad:  vmlab replay {one.token}" for one in _example(result, *_BAD)]
    lines.append(_cost(result))
    return lines


def _first(result: Result, words: Words) -> list[str]:
    answer, names = result.answer, result.space.names
    probability = f"with probability {_percent(answer.probability)}"
    one_of = answer.first[:-1]
    last = words.named(names[answer.first[-1]])
    lines = [f"first bad: {last}, {probability}"]
    if one_of:
        among = ", ".join(short(names[one]) for one in answer.first)
        lines = [f"first bad: one of {among}, {probability}; all but the last are untestable"]
    if answer.good is not None:
        lines.append(f"last good: {words.named(names[answer.good])}")
    return lines


def _percent(share: float) -> str:
    """Never rounded up to certainty."""
    return f"{min(share, 0.99999) * 100:.6g}"[:6] + " %"


def _example(result: Result, *outcomes: Outcome) -> list[Seen]:
    """A run to look at: of the first bad one, or of the last good one."""
    answer, names = result.answer, result.space.names
    at = answer.good if Outcome.GOOD in outcomes else (answer.first or (None,))[-1]
    of = [
        one for one in result.seen
        if one.outcome in outcomes and at is not None and one.revision == names[at] and one.token
    ]  # fmt: skip
    return of[:1]


def _cost(result: Result) -> str:
    runs, rate = result.evidence.runs, rate_of(result)
    took = sum(one.wall_s for one in result.seen)
    tried = len(result.evidence.counts)
    of = f"{counted(runs, 'run', 'runs')} of {counted(tried, 'revision', 'revisions')}"
    if result.evidence.silent:
        of += f" and {result.evidence.silent} that said nothing of it"
    text = f"{of}, {took:.0f} s of building and running"
    if rate is None or problem(result) or result.rules.noise:
        return text  # where good ones fail too no number of runs is enough for halving
    usual = naive(result.space.size - 1, rate, result.rules.confidence)
    return (
        f"{text}; bad ones fail in {rate:.1%} of runs: halving with enough runs a step would "
        f"take {usual}, were the rate known"
    )


def rate_of(result: Result) -> float | None:
    """How often bad revisions failed."""
    first = result.answer.first
    counts = [count for at, count in result.evidence.counts.items() if first and at >= first[-1]]
    runs = sum(one.runs for one in counts)
    return sum(one.failed for one in counts) / runs if runs else None


def rows(result: Result, words: Words) -> list[tuple[str, str, str, str, str, str]]:
    """Everything: revision, about it, bad, of so many runs, the first bad one with, and why."""
    chances = engine.shares(result.space, result.evidence, result.rules)
    made = []
    for at, name in enumerate(result.space.names):
        count = result.evidence.of(at)
        if not count.runs and at not in result.evidence.untestable and chances[at] < 0.001:
            continue
        state = "untestable" if at in result.evidence.untestable else f"{count.failed}"
        why = next((one.reason for one in result.seen if one.revision == name and one.reason), "")
        runs = str(count.runs) if count.runs else ""
        made.append((name, words.about.get(name, ""), state if count.runs or state == "untestable"
                     else "", runs, f"{chances[at]:.1%}", why))  # fmt: skip
    return made


def progress(step: Step, rules: Rules, space: Space, seen: Sequence[Seen], at_once: int = 1) -> str:
    """Where a bisection stands: what is left, and an estimate of what that takes.

    The estimate is the bound for what is left at the rate as it is thought now; where bad ones
    always fail, it is halving's. Each run costs its time, and what is tried first its build;
    how long these take is known once two revisions were run.
    """
    low, high = engine.remaining(space, step.evidence, rules)
    left, test = high - low + 1, step.test
    rate = engine.rate(space, step.evidence, rules)
    more = bound(max(left, 2), rate, rules.confidence).runs
    if rules.always:
        more = max(1, math.ceil(math.log2(left)))
    each = costs(space, seen)
    builds = np.sort(each.prepare[low : high + 1])[::-1][: 1 + math.ceil(math.log2(left))]
    seconds = (more * each.run + float(builds.sum())) / at_once
    time = f" and {seconds:.0f} s" if len({one.revision for one in seen}) > 1 else ""
    return (
        f"{counted(step.evidence.runs, 'run', 'runs')}, {left} left ({short(space.names[low])} to "
        f"{short(space.names[high])}), "
        f"about {counted(round(more), 'run', 'runs')}{time} to go; now "
        + ", ".join(
            f"{short(space.names[one.revision])} x {one.runs}" for one in (test, *step.others)
        )
    )


def record(result: Result) -> dict[str, object]:
    """As it stands in JSON."""
    answer, names = result.answer, result.space.names
    first = [names[one] for one in answer.first]
    found = answer.end in (End.FOUND, End.TOO_MANY)
    return {
        "end": str(answer.end), "problem": problem(result),
        "first_bad": first[-1] if found and first else None,
        "first_bad_among": first if found else [],
        "last_good": names[answer.good] if answer.good is not None else None,
        "untestable": [names[one] for one in sorted(result.evidence.untestable)],
        "confidence": round(answer.probability, 9),
        "probabilities": dict(
            zip(names, engine.shares(result.space, result.evidence, result.rules), strict=True)
        ),
        "steps": [one.record() for one in result.seen],
    }  # fmt: skip
