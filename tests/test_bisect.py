"""Bisection: decisions follow from counts alone, and answers are as sure as they say."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmlab.bisect import engine
from vmlab.bisect.belief import Count, Evidence, belief
from vmlab.bisect.bound import bound, capacity, naive
from vmlab.bisect.choose import Costs, Trial, information
from vmlab.bisect.engine import End, Rules, decide
from vmlab.bisect.simulate import bisection, from_, simulate
from vmlab.bisect.space import graph, line
from vmlab.errors import UsageError

TEN = line([f"r{number}" for number in range(10)])
FREE = Costs(np.zeros(10))
SURE = Rules(always=True)


def evidence(*counts: tuple[int, int, int], untestable: tuple[int, ...] = ()) -> Evidence:
    return Evidence({at: Count(bad, good) for at, bad, good in counts}, frozenset(untestable))


@pytest.mark.parametrize("first", range(1, 10))
def test_a_bug_that_shows_always_is_halved_to(first):
    answer, found = bisection(TEN, from_(first), SURE, random.Random(0))
    assert (answer.end, answer.first, answer.good) == (End.FOUND, (first,), first - 1)
    assert found.runs <= 2 + 4  # both ends, and the logarithm of nine


CASES = {
    "newest good": (lambda at: 0.0, (), End.NEWEST_GOOD, None),
    "oldest bad": (lambda at: 1.0, (), End.OLDEST_BAD, None),
    "the first after the good end": (from_(1), (), End.FOUND, (1,)),
    "the last": (from_(9), (), End.FOUND, (9,)),
    "untestable before the answer": (from_(6), (4, 5), End.FOUND, (4, 5, 6)),
    "the answer is untestable": (from_(5), (5, 6), End.FOUND, (5, 6, 7)),
    "untestable elsewhere": (from_(6), (1, 2, 8), End.FOUND, (6,)),
    "nothing between is testable": (from_(4), range(1, 9), End.FOUND, tuple(range(1, 10))),
    "the bad end is untestable": (from_(4), (9,), End.NO_BAD_END, None),
    "the good end is untestable": (from_(4), (0,), End.NO_GOOD_END, None),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("always", [True, False])
def test_each_end_of_a_bisection_is_told(case, always):
    rate, untestable, end, first = CASES[case]
    rules = Rules(always=always)
    answer, _ = bisection(TEN, rate, rules, random.Random(1), untestable)
    assert answer.end is end
    if first is not None:
        assert answer.first == tuple(first)
        assert answer.probability >= 0.99


def test_good_again_after_bad_is_said():
    again = [4, 5, 6]
    for seed in range(10):
        answer, _ = bisection(
            TEN, lambda at: float(at >= 2 and at not in again), Rules(), random.Random(seed)
        )
        # Either change from good to bad is one; what is not: an answer that is no change at all.
        assert answer.end in (End.FOUND, End.NOT_MONOTONE)
        assert answer.first in ((2,), (7,)) or answer.odd in again
    found = evidence((0, 0, 3), (2, 5, 0), (5, 0, 9), (9, 6, 0))
    answer = decide(TEN, found, Rules(), FREE)
    assert isinstance(answer, engine.Answer)
    assert (answer.end, answer.odd) == (End.NOT_MONOTONE, 5)


def test_a_flaky_pass_is_no_second_change():
    found = evidence((0, 0, 9), (2, 1, 8), (5, 0, 3), (9, 2, 7))
    assert engine.not_monotone(TEN, found, Rules()) is None


def test_both_ends_come_first_and_the_bad_one_until_it_fails():
    rules, found = Rules(), Evidence()
    for _ in range(15):
        test = decide(TEN, found, rules, FREE)
        assert isinstance(test, Trial) and test.revision == 9
        found = found.add(9, Count(0, test.runs))
    assert decide(TEN, found.add(9, Count(1, 0)), rules, FREE) == Trial(0, 1)


def test_a_bad_end_that_passes_is_believed_when_the_rarest_rate_would_have_shown():
    rules = Rules(rarest=0.1, confidence=0.99)
    assert rules.patience == 44  # 0.9 to the 44th is below 1 %
    answer, found = bisection(TEN, lambda at: 0.0, rules, random.Random(0))
    assert (answer.end, found.runs) == (End.NEWEST_GOOD, 44)


def test_a_revision_that_takes_long_to_build_is_run_more_often_at_once():
    found = evidence((0, 0, 1), (9, 1, 0))
    cheap, dear = (decide(TEN, found, Rules(), Costs(np.full(10, one))) for one in (0.0, 20.0))
    assert isinstance(cheap, Trial) and isinstance(dear, Trial)
    assert cheap.runs < dear.runs


def test_the_runs_that_were_allowed_end_it_with_what_is_known():
    answer, found = bisection(TEN, from_(5, 0.3), Rules(most=12), random.Random(3))
    assert answer.end is End.TOO_MANY and answer.first and answer.probability < 0.99
    assert 12 <= found.runs < 20


def test_merges_are_followed():
    """
    good - a - b - merge - bad     the first bad one is in the branch, which a does not descend from
        \\- c - d -/
    """
    space = graph(
        {"good": [], "a": ["good"], "b": ["a"], "c": ["good"], "d": ["c"],
         "merge": ["b", "d"], "bad": ["merge"]}
    )  # fmt: skip
    assert not space.linear
    for name in ("a", "b", "c", "d", "merge", "bad"):
        first = space.names.index(name)
        answer, _ = bisection(
            space, lambda at, first=first: float(space.bad[first, at]), SURE, random.Random(0)
        )
        assert [space.names[one] for one in answer.first] == [name]
    assert graph({"good": [], "a": ["good"], "b": ["a"]}).linear


@pytest.mark.parametrize("size", range(50, 60))
def test_where_the_rate_is_known_no_run_is_spent_on_it(size):
    """A sum of probabilities may fall short of 1 by a rounding, as it does for 55."""
    space = line([str(at) for at in range(size)])
    found = Evidence({size - 1: Count(1, 0), 0: Count(0, 1)})
    trial = decide(space, found, SURE, Costs(np.full(size, 10.0)))
    assert isinstance(trial, Trial) and abs(trial.revision - size / 2) < 3


@given(
    counts=st.dictionaries(
        st.integers(0, 9), st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=10
    ),
    noise=st.sampled_from([0.0, 0.02]),
    untestable=st.frozensets(st.integers(1, 8), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_whatever_was_seen_there_is_a_decision_and_always_the_same(counts, noise, untestable):
    rules = Rules(noise=noise)
    found = Evidence({at: Count(*pair) for at, pair in counts.items()}, untestable)
    one, other = (decide(TEN, found, rules, FREE) for _ in range(2))
    assert one == other
    held = belief(TEN, found, rules.grid)
    assert held.joint.min() >= 0 and abs(held.joint.sum() - 1) < 1e-9
    if isinstance(one, Trial):
        assert one.revision not in untestable and one.runs >= 1
    else:
        assert 0 <= one.probability <= 1 + 1e-9


@given(
    first=st.integers(1, 9),
    rate=st.sampled_from([0.05, 0.2, 0.5, 1.0]),
    untestable=st.frozensets(st.integers(1, 8), max_size=4),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=25, deadline=None)
def test_a_bisection_always_ends(first, rate, untestable, seed):
    answer, found = bisection(
        TEN, from_(first, rate), Rules(rarest=0.02), random.Random(seed), untestable
    )
    assert not untestable & found.counts.keys()
    if answer.end is End.FOUND:
        assert answer.probability >= 0.99
        assert set(answer.first[:-1]) <= untestable


def test_what_a_run_tells_is_at_most_the_channel_s_capacity():
    held = belief(TEN, evidence((0, 0, 40), (9, 40, 0)), Rules().grid)
    assert information(held, 1).max() <= 1.0
    assert [round(capacity(rate), 4) for rate in (1.0, 0.5, 0.01)] == [1.0, 0.3219, 0.0053]
    # With as much noise on both sides it is the symmetric channel's: 1 less a coin's entropy.
    assert round(capacity(0.89, 0.11), 3) == 0.5
    assert capacity(0.5, 0.02) < capacity(0.5, 0.001) < capacity(0.5)


def test_bound_and_the_usual_way_grow_as_the_failure_gets_rare():
    rates = (1.0, 0.5, 0.2, 0.05, 0.01)
    bounds = [bound(15, rate, 0.99).runs for rate in rates]
    usual = [naive(15, rate, 0.99) for rate in rates]
    assert bounds == sorted(bounds) and usual == sorted(usual)
    assert round(bound(15, 1.0, 0.99).search, 2) == 3.79  # 0.99 x log2 of 15, less what is unsure


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(confidence=1.0), "--confidence 1.0"), (Rules(confidence=0.2), "--confidence 0.2"),
        (Rules(noise=0.5), "--noise 0.5"), (Rules(rarest=0.0001), "--rarest 0.0001"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_meant_are_refused(rules, said):
    with pytest.raises(UsageError, match=said):
        engine.checked(rules)


@pytest.mark.parametrize(("rate", "times"), [(1.0, 60), (0.5, 40), (0.2, 20)])
def test_answers_are_right_and_cost_little_more_than_the_bound(rate, times):
    made = simulate(rate, times, Rules(rarest=0.02))
    assert made.wrong <= 1 and len(made.runs) == times
    assert made.mean <= 1.3 * made.bound


# Rates at which bad and good ones fail.
THOUSANDS = [
    (1.0, 0.0), (0.5, 0.0), (0.2, 0.0), (0.05, 0.0), (0.01, 0.0),
    (0.95, 0.05), (0.5, 0.05), (0.2, 0.02), (0.05, 0.01),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "noise"), THOUSANDS)
def test_a_thousand_answers_are_right_as_often_as_they_say(rate, noise):
    made = simulate(rate, 1000, Rules(noise=noise, rarest=0.002), noise)
    print(made)
    assert made.wrong <= 10
    assert made.mean <= 1.3 * made.bound


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_where_less_noise_is_there_than_is_allowed_answers_are_right_too(noise):
    assert simulate(0.5, 1000, Rules(noise=0.05, rarest=0.02), noise).wrong <= 10
