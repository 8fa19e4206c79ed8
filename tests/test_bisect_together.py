"""Revisions that are run at the same time: fewer rounds, the same answers, no run counted twice."""

import random
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from simulated import Fake

from vmlab.bisect import drive, engine, tester
from vmlab.bisect.belief import Evidence
from vmlab.bisect.choose import Costs, Trial
from vmlab.bisect.engine import Answer, End, Rules
from vmlab.bisect.evidence import Match, Outcome, Seen
from vmlab.bisect.journal import Journal
from vmlab.bisect.simulate import from_, seen
from vmlab.bisect.space import line
from vmlab.bisect.tester import Runs, Subject
from vmlab.bisect.together import together

SIZE = 60
SPACE = line([f"r{number}" for number in range(SIZE)])
FREE = Costs(np.zeros(SIZE))
SURE = Rules(always=True)


def rounds(first: int, rate: float, rules: Rules, places: int, drawn: random.Random) -> int:
    """How often runs are waited for until the answer, which is right."""
    found = Evidence()
    for made in range(10_000):
        decision = engine.decide(SPACE, found, rules, FREE)
        if isinstance(decision, Answer):
            assert (decision.end, decision.first) == (End.FOUND, (first,))
            return made
        trials = together(SPACE, found, rules, FREE, decision, places)
        assert trials[0].revision == decision.revision and trials[0].runs >= decision.runs
        assert len({one.revision for one in trials}) == len(trials)
        for trial in trials:
            found = seen(trial, found, from_(first, rate), drawn, ())
    raise AssertionError("it does not end")


@pytest.mark.parametrize(("places", "most"), [(1, 9), (2, 6), (3, 5), (8, 3)])
def test_more_places_take_fewer_rounds(places, most):
    """Halves take six rounds for 59 commits, quarters three, and both ends come before."""
    drawn = random.Random(2)
    assert all(rounds(at, 1.0, SURE, places, drawn) <= most for at in range(1, SIZE, 6))


def test_a_bug_that_shows_seldom_is_found_with_many_places_too():
    drawn = random.Random(4)
    counts = [
        sum(rounds(at, 0.3, Rules(), places, drawn) for at in (7, 31, 58)) for places in (1, 8)
    ]
    assert counts[1] < counts[0] / 3


def test_one_place_is_the_first_trial_alone():
    assert together(SPACE, Evidence(), Rules(), FREE, Trial(SIZE - 1, 3), 1) == [Trial(SIZE - 1, 3)]


def test_both_ends_are_run_at_the_same_time():
    decision = engine.decide(SPACE, Evidence(), SURE, FREE)
    assert isinstance(decision, Trial)
    trials = together(SPACE, Evidence(), SURE, FREE, decision, 3)
    assert {SIZE - 1, 0} <= {one.revision for one in trials}


@pytest.mark.parametrize("builds", [True, False])
def test_a_bisection_of_many_places_comes_to_the_same_and_repeats_no_run(tmp_path, builds):
    def outcome(name: str, seed: int) -> Outcome:
        at = int(name[1:])
        if builds and at in (29, 30, 31):
            return Outcome.BUILD
        return Outcome.BAD if at >= 40 and seed % 3 else Outcome.GOOD

    fake = Fake(outcome, build="own", places=4)
    journal = Journal.of(tmp_path, {})
    journal.begin()
    steps: list[drive.Step] = []
    result = drive.bisect(SPACE, fake, Rules(), journal, steps.append)
    assert result.answer.first == (40,)
    assert any(step.others for step in steps)
    assert len({seed for _, seed in fake.ran}) == len(fake.ran)


def test_where_a_build_spared_runs_their_numbers_are_not_given_again(tmp_path):
    journal = Journal.of(tmp_path, {})
    journal.begin()
    assert drive._tasks(SPACE, journal, [Trial(1, 3), Trial(2, 2)]) == [
        ("r1", range(0, 3)), ("r2", range(3, 5)),
    ]  # fmt: skip
    journal.add([Seen("r2", 96, Outcome.GOOD, number=3), Seen("r2", 128, Outcome.GOOD, number=4)])
    journal.add([Seen("r1", 0, Outcome.BUILD, number=0)])
    again = Journal.of(tmp_path, {})
    assert drive._tasks(SPACE, again, [Trial(2, 2)]) == [("r2", range(5, 7))]
    older = Journal(tmp_path / "older", {}, [replace(one, number=-1) for one in again.seen])
    assert drive._tasks(SPACE, older, [Trial(2, 2)]) == [("r2", range(3, 5))]


class Guests:
    """A runner whose guests run until it is stopped."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.begun = threading.Semaphore(0)

    def stop(self) -> None:
        self.stopped.set()

    def run(self, expanded, kernel, number, seed):
        self.begun.release()
        if kernel == "bad":
            assert self.begun.acquire(timeout=10)
            raise KeyboardInterrupt
        assert self.stopped.wait(10), "nobody ends it"
        return SimpleNamespace()


def test_what_ends_one_revision_s_runs_ends_those_beside_it(monkeypatch):
    monkeypatch.setattr(tester, "seen", lambda *some: Seen("x", 0, Outcome.BROKEN))
    guests = Guests()
    runs = Runs(lambda name: Subject(guests, None, name), Match(), 2)  # type: ignore[arg-type]
    began, told = time.monotonic(), list[Seen]()
    with pytest.raises(KeyboardInterrupt):
        runs.together([("good", [0]), ("bad", [1])], told.append)
    assert told == []  # least of all that the lab broke
    assert guests.stopped.is_set() and time.monotonic() - began < 10


def test_each_run_is_told_when_it_ends(monkeypatch):
    monkeypatch.setattr(tester, "seen", lambda name, *some: Seen(name, some[0], Outcome.GOOD))

    class Dying(Guests):
        def run(self, expanded, kernel, number, seed):
            if number == 3:
                raise KeyboardInterrupt
            return SimpleNamespace(dir="/nowhere")

    runs = Runs(lambda name: Subject(Dying(), None, name), Match(), 1)  # type: ignore[arg-type]
    told = list[Seen]()
    with pytest.raises(KeyboardInterrupt):
        runs.together([("it", range(5))], told.append)
    assert len(told) == 3


def test_commits_of_a_kernel_are_built_one_after_another():
    runs = Runs(lambda name: Subject(None, None, name), Match(), 4)  # type: ignore[arg-type]
    assert (runs.places, replace(runs, builds=True).places) == (4, 1)


def test_a_build_that_was_begun_ahead_is_waited_for_and_that_is_said():
    built, go = [], threading.Event()

    def subject(name: str) -> Subject:
        assert go.wait(10)
        built.append(name)
        return Subject(None, None, name)  # type: ignore[arg-type]

    runs = Runs(subject, Match(), builds=True)
    runs.ahead("r1")
    runs.ahead("r2")  # one at a time
    said: list[str] = []
    runs.finish(lambda line: (said.append(line), go.set())[0])
    assert built == ["r1"] and said == [
        "waiting for a kernel's build, which was begun ahead and is kept"
    ]
    runs.finish(said.append)
    assert len(said) == 1
