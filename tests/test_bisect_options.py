"""A configuration's bisection: the smallest set of options, found by asking of few sets."""

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Fake

from vmlab.bisect.configs import Configs, needed
from vmlab.bisect.engine import Rules
from vmlab.bisect.evidence import Outcome
from vmlab.bisect.options import Told, closed, differing, mixed, smallest, text
from vmlab.bisect.tester import Runs
from vmlab.errors import UsageError

NAMES = [f"OPTION_{number:03}" for number in range(200)]


def asking(culprits: set[str], nothing: set[str] = frozenset()):  # type: ignore[assignment]
    asked: list[frozenset[str]] = []

    def told(taken: frozenset[str]) -> Told:
        asked.append(taken)
        if taken & nothing and not culprits <= taken:
            return Told.NOTHING
        return Told.BAD if culprits <= taken else Told.GOOD

    return told, asked


@pytest.mark.parametrize("at", [0, 1, 77, 128, 199])
def test_one_option_of_two_hundred_is_found_by_halving(at):
    told, asked = asking({NAMES[at]})
    assert smallest(NAMES, told) == {NAMES[at]}
    assert len(asked) <= 16  # twice the logarithm of 200
    assert len(set(asked)) == len(asked)


@given(culprits=st.sets(st.sampled_from(NAMES[:40]), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_several_options_that_it_takes_together_are_found(culprits):
    told, _ = asking(culprits)
    assert smallest(NAMES[:40], told) == culprits


def test_what_does_not_build_is_no_evidence():
    told, _ = asking({NAMES[3], NAMES[30]}, {NAMES[17]})
    assert smallest(NAMES[:40], told) == {NAMES[3], NAMES[30]}


def test_what_differs_and_what_is_made_of_it():
    good, bad = {"A": "y", "B": "m", "C": '"x"'}, {"A": "y", "B": "y", "D": "y"}
    assert differing(good, bad) == ["B", "C", "D"]
    assert mixed(good, bad, frozenset({"C", "D"})) == {"A": "y", "B": "m", "C": "n", "D": "y"}
    assert text({"B": "m", "A": "n"}) == "# CONFIG_A is not set\nCONFIG_B=m\n"


def test_an_option_comes_with_what_it_depends_on():
    needs = {"DRIVER": frozenset({"BUS"}), "BUS": frozenset({"PCI"}), "PCI": frozenset({"BUS"})}
    assert closed(["DRIVER"], needs) == {"DRIVER", "BUS", "PCI"}
    assert closed(["OTHER"], needs) == {"OTHER"}


def configs(bad: Callable[[set[str], int], bool], needs: dict[str, frozenset[str]]) -> Configs:
    """Each set of options as a kernel: one that lacks what it needs loses the option."""

    def outcome(name: str, seed: int) -> Outcome:
        taken = set(name.split())
        kept = {one for one in taken if needs.get(one, frozenset()) <= taken}
        return Outcome.BAD if bad(kept, seed) else Outcome.GOOD

    return Configs(NAMES, needs, cast(Runs, Fake(outcome)), lambda line: None)


def test_an_option_is_found_though_kconfig_drops_it_where_it_stands_alone():
    needs = {NAMES[150]: frozenset({NAMES[10]})}
    asked = configs(lambda kept, seed: NAMES[150] in kept, needs)
    assert asked.smallest(Rules(always=True)) == {NAMES[150]}
    assert len(asked.seen) <= 20


def test_one_that_fails_seldom_is_asked_more_often():
    asked = configs(lambda kept, seed: NAMES[7] in kept and seed % 3 == 0, {})
    assert asked.smallest(Rules()) == {NAMES[7]}


@pytest.mark.parametrize(
    ("bad", "said"),
    [(lambda kept, seed: True, "the good configuration fails too"),
     (lambda kept, seed: False, "the bad configuration does not fail")],
)  # fmt: skip
def test_configurations_that_are_no_ends_are_said(bad, said):
    with pytest.raises(UsageError, match=said):
        configs(bad, {}).smallest(Rules())


def test_what_an_option_needs_stands_in_its_conditions():
    entries = {"A": [["B && (C || !D)"]], "E": [["B"], ["C"]], "B": [[]]}
    assert needed(entries, ["A", "B", "D", "E"]) == {"A": {"B", "D"}, "B": set()}
