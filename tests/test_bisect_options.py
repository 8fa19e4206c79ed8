"""A configuration's bisection: the smallest set of options, found by asking of few sets."""

import contextlib
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Fake

from vmlab.arch import ARCHES
from vmlab.bisect import configs as configs_
from vmlab.bisect.configs import Configs, Found, needed
from vmlab.bisect.drive import Stopped
from vmlab.bisect.engine import Rules
from vmlab.bisect.evidence import Match, Outcome, Seen
from vmlab.bisect.options import Told, closed, differing, mixed, smallest, text
from vmlab.bisect.tester import Runs
from vmlab.errors import UsageError
from vmlab.lab import Options

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


def test_what_an_option_was_given_with_it_is_told():
    good, bad = {"PROC": "n", "OTHER": "y"}, {"PROC": "y", "MENU": "m", "OTHER": "n"}
    found = Found(("PROC",), ("MENU",), good, bad, 3, ())
    assert found.lines()[1:3] == [
        "  CONFIG_PROC: n is good, y is bad",
        "  with CONFIG_MENU, n and m there, that it depends on",
    ]
    assert found.record()["conditions"] == {"MENU": ["n", "m"]}


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


def answering(outcome: Callable[[set[str], int], Outcome], seen: list[Seen]) -> Configs:
    fake = Fake(lambda name, seed: outcome(set(name.split()), seed), build="error: x")
    return Configs(NAMES, {}, cast(Runs, fake), lambda line: None, seen)


@pytest.mark.parametrize("bad", [Outcome.BUILD, Outcome.BOOT])
def test_an_option_with_which_nothing_builds_or_comes_up_is_found(bad):
    asked = answering(lambda taken, seed: bad if NAMES[9] in taken else Outcome.GOOD, [])
    assert asked.smallest(Rules(always=True)) == {NAMES[9]}


def test_boots_that_fail_now_and_then_and_a_lab_that_breaks_change_nothing():
    def outcome(taken: set[str], seed: int) -> Outcome:
        if seed % 3 == 0:
            return Outcome.BOOT
        if seed % 7 == 0:
            return Outcome.BROKEN
        return Outcome.BAD if NAMES[150] in taken else Outcome.GOOD

    assert answering(outcome, []).smallest(Rules()) == {NAMES[150]}
    with pytest.raises(Stopped, match=r"the lab broke 3 times.*--resume"):
        answering(lambda taken, seed: Outcome.BROKEN, []).smallest(Rules())


@pytest.mark.parametrize("cut", [1, 3, 20, 60])
def test_what_a_journal_has_is_not_run_again(cut):
    def outcome(taken: set[str], seed: int) -> Outcome:
        return Outcome.BAD if NAMES[7] in taken and seed % 3 else Outcome.GOOD

    whole = answering(outcome, [])
    found = whole.smallest(Rules())
    heard: list[Seen] = []
    rest = answering(outcome, whole.seen[:cut])
    rest.heard = heard.append
    assert rest.smallest(Rules()) == found == {NAMES[7]}
    assert rest.seen == whole.seen and heard == whole.seen[cut:]


def test_a_bisection_of_options_that_was_killed_goes_on_from_its_journal(tmp_path, monkeypatch):
    ran: list[str] = []
    dies_after = 5

    class Source:
        @contextlib.contextmanager
        def held(self, catalog: object) -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(path=tmp_path, content="a commit")

    def outcome(name: str, seed: int) -> Outcome:
        if len(ran) >= dies_after:
            raise KeyboardInterrupt
        ran.append(name)
        return Outcome.BAD if "OPTION_003" in name else Outcome.GOOD

    monkeypatch.setattr(configs_, "parse", lambda text: Source())
    none = SimpleNamespace(entries={})
    monkeypatch.setattr(configs_.Dependencies, "of", lambda path, arch: none)
    monkeypatch.setattr(configs_.lab, "runner", lambda *some: None)
    monkeypatch.setattr(configs_, "Runs", lambda *some: Fake(outcome))
    files = tmp_path / "good", tmp_path / "bad"
    for file, value in zip(files, "nm", strict=True):
        file.write_text("".join(f"CONFIG_{name}={value}\n" for name in NAMES[:8]))
    said: list[str] = []
    artifacts = SimpleNamespace(catalog=SimpleNamespace(say=said.append))

    def find(resume: bool = False, fresh: bool = False) -> tuple[str, ...]:
        question = configs_.Question(
            SimpleNamespace(name="s"), "it", ARCHES["i386"], files, Match(), Rules(always=True),  # type: ignore[arg-type]
            Options(), tmp_path, {}, resume, fresh,
        )  # fmt: skip
        return configs_.find(None, artifacts, question).names  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        find()
    assert said[-1] == "stopped after 5 runs; --resume goes on from there"
    with pytest.raises(UsageError, match=r"was stopped after 5 runs.*--resume.*--fresh"):
        find()
    dies_after = 1000
    assert find(resume=True) == ("OPTION_003",)
    whole = len(ran)
    assert whole == len(set(ran)) > 5  # none is run again
    assert find() == ("OPTION_003",) and len(ran) == whole
    files[1].write_text(files[1].read_text() + "CONFIG_MORE=y\n")
    assert find() == ("OPTION_003",) and len(ran) > whole


def test_how_many_passes_are_enough_takes_into_account_how_little_is_known_of_the_rate():
    """Eight of eight failed: 0.5/9 x 1.5/10 x 2.5/11 x ... is below 0.01/20 after five."""
    asked = answering(lambda taken, seed: Outcome.BAD, [])
    assert (asked._passes(Rules()), len(asked.seen)) == (5, 8)
    assert asked._passes(Rules(confidence=0.9999)) > 5


@pytest.mark.parametrize("rate", [0.3, 0.7])
def test_options_are_found_as_surely_as_is_asked_though_the_bug_shows_seldom(rate):
    drawn, wrong = random.Random(3), 0
    for _ in range(60):
        culprit = drawn.choice(NAMES)
        asked = answering(
            lambda taken, seed, culprit=culprit: (
                Outcome.BAD if culprit in taken and drawn.random() < rate else Outcome.GOOD
            ),
            [],
        )
        wrong += asked.smallest(Rules(rarest=0.02)) != {culprit}
    assert wrong <= 2


def test_what_an_option_needs_stands_in_its_conditions():
    entries = {"A": [["B && (C || !D)"]], "E": [["B"], ["C"]], "B": [[]]}
    assert needed(entries, ["A", "B", "D", "E"]) == {"A": {"B", "D"}, "B": set()}
