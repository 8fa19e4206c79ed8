"""What a bisection is made of: kernels in order, what runs say, a record that a kill survives."""

import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from simulated import Fake

from vmlab import perturb
from vmlab.arch import ARCHES
from vmlab.bisect import count, drive, released, tell
from vmlab.bisect.belief import Count, Evidence
from vmlab.bisect.choose import Trial
from vmlab.bisect.drive import Stopped
from vmlab.bisect.engine import End, Rules
from vmlab.bisect.evidence import Outcome, Seen
from vmlab.bisect.journal import Journal
from vmlab.bisect.plan import Plan
from vmlab.bisect.space import line
from vmlab.bisect.tell import Words
from vmlab.bisect.tester import seed_of
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.catalog.records import Kernel, Package
from vmlab.cli import bisect as command
from vmlab.errors import LabError, UsageError

SPACE = line([f"r{number}" for number in range(8)])
SURE = Rules(always=True)


def journal(folder: Path, fresh: bool = True) -> Journal:
    made = Journal.of(folder, {"names": list(SPACE.names)})
    if fresh:
        made.begin()
    else:
        made.go_on()
    return made


def from_r(first: int, bad: Outcome = Outcome.BAD) -> Fake:
    return Fake(lambda name, seed: bad if int(name[1:]) >= first else Outcome.GOOD)


def test_each_run_has_a_seed_of_its_own(tmp_path):
    fake = Fake(lambda name, seed: Outcome.BAD if int(name[1:]) >= 3 and seed % 2 else Outcome.GOOD)
    result = drive.bisect(SPACE, fake, Rules(), journal(tmp_path))
    assert result.answer.first == (3,)
    seeds = [seed for _, seed in fake.ran]
    assert len(set(seeds)) == len(seeds)


def test_two_processes_do_not_write_one_journal(tmp_path):
    held = journal(tmp_path)
    other = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_bisect_plan import journal; journal(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", other, str(tmp_path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"another process holds {held.path}" in done.stderr
    held.add([Seen("r7", 0, Outcome.BAD)])
    held._lock.close()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_kill_within_a_batch_loses_what_is_under_way_and_no_more(tmp_path):
    """The bad end passes: it is run in batches that grow."""
    fake = Fake(lambda name, seed: Outcome.GOOD, dies_after=33)
    held = journal(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        drive.bisect(SPACE, fake, Rules(), held)
    assert len(journal(tmp_path, fresh=False).seen) == len(fake.ran) == 33


@pytest.mark.parametrize("dies_after", range(1, 6))
def test_a_killed_bisection_goes_on_where_it_was(tmp_path, dies_after):
    whole = drive.bisect(SPACE, from_r(5), SURE, journal(tmp_path / "whole"))
    fake = replace(from_r(5), dies_after=dies_after)
    if dies_after < len(whole.seen):
        with pytest.raises(KeyboardInterrupt):
            drive.bisect(SPACE, fake, SURE, journal(tmp_path / "cut"))
    file = next((tmp_path / "cut").glob("*.jsonl"), None) or journal(tmp_path / "cut").path
    with file.open("a") as half:
        half.write('{"revision": "r')
    again = from_r(5)
    result = drive.bisect(SPACE, again, SURE, journal(tmp_path / "cut", fresh=False))
    assert result.answer == whole.answer
    assert [one.revision for one in result.seen] == [one.revision for one in whole.seen]
    assert len(again.ran) == len(whole.seen) - min(dies_after, len(whole.seen)) or not fake.ran


def test_a_journal_that_is_cut_at_any_byte_has_what_stood_whole_before(tmp_path):
    held = journal(tmp_path)
    for number in range(3):
        held.add([Seen(f"r{number}", number, Outcome.BAD, "it \u2019s \u2028", number=number)])
    held.finish()
    whole, ends = held.path.read_bytes(), []
    for size in range(len(whole)):
        held.path.write_bytes(whole[:size])
        cut = Journal.of(tmp_path, {"names": list(SPACE.names)})
        assert cut.seen == held.seen[: len(cut.seen)] and not (cut.done and size < len(whole) - 1)
        ends.append(len(cut.seen))
        if cut.seen:
            cut.go_on()
            cut.add([Seen("r7", 9, Outcome.GOOD)])
            again = Journal.of(tmp_path, {"names": list(SPACE.names)}).seen
            assert again == [*held.seen[: ends[-1]], Seen("r7", 9, Outcome.GOOD)]
    assert ends == sorted(ends) and ends[-1] == 3


def test_a_journal_that_cannot_be_written_ends_it_as_the_lab_s_trouble(tmp_path):
    held = journal(tmp_path)
    held.path.unlink()
    held.path.symlink_to("/dev/full")
    with pytest.raises(LabError, match=r"writing the journal .*no space left.*--resume"):
        drive.bisect(SPACE, from_r(5), SURE, held)


def test_what_another_process_wrote_meanwhile_is_gone_on_with(tmp_path):
    running = journal(tmp_path)
    running.add([Seen("r7", 0, Outcome.BAD)])
    mine = Journal.of(tmp_path, {"names": list(SPACE.names)})
    running.add([Seen("r0", 1, Outcome.GOOD)])
    mine.go_on()
    assert [one.revision for one in mine.seen] == ["r7", "r0"]
    assert len(mine.path.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "line",
    ['{"revision": "r1"}', '{"revision": "r1", "seed": 1, "outcome": "later"}', '{"seed": 1}'],
)
def test_a_line_that_is_no_run_is_named_and_beginning_anew_is_possible(tmp_path, line):
    plan = Plan("it", SPACE, from_r(4), Words("it", "", {}), tmp_path, {})
    held = plan.open(False, False)
    with held.path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(LabError, match=r"jsonl, line 2, is not as .* begin anew with --fresh"):
        plan.open(True, False)
    assert plan.open(False, True).seen == []


def test_an_unfinished_bisection_is_offered_and_never_overwritten(tmp_path):
    plan = Plan("it", SPACE, from_r(4), Words("it", "", {}), tmp_path, {})
    begun = plan.open(False, False)
    begun.add([Seen("r7", 0, Outcome.BAD)])
    with pytest.raises(UsageError, match="go on with --resume, or begin anew with --fresh"):
        plan.open(False, False)
    assert len(plan.open(True, False).seen) == 1
    assert plan.open(False, True).seen == []
    with pytest.raises(UsageError, match="contradict"):
        plan.open(True, True)


def test_what_the_lab_breaks_is_tried_again_and_then_ends_it(tmp_path):
    held = journal(tmp_path)
    with pytest.raises(Stopped, match=r"r7: the lab broke 3 times.*--resume"):
        drive.bisect(SPACE, Fake(lambda name, seed: Outcome.BROKEN), SURE, held)
    assert [one.outcome for one in held.seen] == [Outcome.BROKEN] * 3
    flaky = Fake(
        lambda name, seed: (
            Outcome.BROKEN if seed % 3 == 1 else Outcome.BAD if name >= "r4" else Outcome.GOOD
        )
    )
    assert drive.bisect(SPACE, flaky, SURE, journal(tmp_path / "b")).answer.first == (4,)


def test_a_build_s_error_is_bad_only_where_it_is_the_bad_end_s(tmp_path):
    same = replace(from_r(3, Outcome.BUILD), build="error: no member named state")
    result = drive.bisect(SPACE, same, Rules(), journal(tmp_path / "a"))
    assert (result.answer.end, result.answer.first) == (End.FOUND, (3,))
    assert len(same.ran) <= 5  # a build's error shows always: no revision is tried twice
    assert {name for name, _ in same.ran} == {one.revision for one in result.seen}
    other = Fake(
        lambda name, seed: (
            Outcome.BUILD if name in ("r3", "r4") else Outcome.BAD if name > "r4" else Outcome.GOOD
        ),
        build="error: something else",
    )
    result = drive.bisect(SPACE, other, SURE, journal(tmp_path / "b"))
    assert result.answer.first == (3, 4, 5) and result.evidence.untestable == {3, 4}


def test_other_failures_are_no_evidence():
    seen = [Seen("r4", seed, Outcome.OTHER) for seed in range(3)]
    assert count.evidence(SPACE, seen[:2]).untestable == frozenset()
    assert count.evidence(SPACE, seen).untestable == {4}
    assert count.evidence(SPACE, [*seen, Seen("r4", 4, Outcome.GOOD)]).untestable == frozenset()


def test_costs_are_what_runs_took():
    seen = [Seen("r0", 0, Outcome.GOOD, wall_s=9.0), Seen("r0", 1, Outcome.GOOD, wall_s=2.0),
            Seen("r7", 2, Outcome.BAD, wall_s=13.0)]  # fmt: skip
    made = count.costs(SPACE, seen)
    assert made.run == 2.0 and list(made.prepare) == [0, 9, 9, 9, 9, 9, 9, 0]


def test_seeds_leave_the_clock_s_shift_and_are_all_others():
    drawn = [seed_of(number) for number in range(300)]
    assert {perturb.perturbation(seed).dilation for seed in drawn} == {0}
    assert len(set(drawn)) == 300


def kernel(name: str, version: str, arch: str = "x86_64") -> Kernel:
    package = Package(f"linux-image-{name}", version, ARCHES[arch].debian, "s", "f", "0" * 64, 1)
    return Kernel(name, ARCHES[arch], True, (package,), ())


KERNELS = [
    kernel("7.3-amd64", "7.3~rc7-1~exp1"), kernel("6.1.0-50-amd64", "6.1.176-1"),
    kernel("5.10.0-32-amd64", "5.10.223-1"), kernel("5.10.0-9-amd64", "5.10.70-1"),
    kernel("7.3-1-amd64", "7.3.1-1"), kernel("5.10.0-32-686", "5.10.223-1", "i386"),
    kernel("6.1.0-50-686", "6.1.176-1", "i386"),
]  # fmt: skip


def catalog() -> Catalog:
    made = Catalog.open(Cache(Path("/nowhere")))
    made.added = ()
    made.pins = replace(made.pins, kernels=tuple(KERNELS))
    return made


def test_kernels_stand_in_debian_s_order_and_each_architecture_apart():
    found = released.ranges(catalog(), "5.10*", "7.3*,6.1.0-50-686", None)
    assert {arch: [one.id for one in ones] for arch, ones in found.items()} == {
        "i386": ["5.10.0-32-686", "6.1.0-50-686"],
        "x86_64": ["5.10.0-32-amd64", "6.1.0-50-amd64", "7.3-amd64"],
    }
    narrow = released.ranges(catalog(), "5.10.0-9*", "7.3-1-amd64", "x86_64")
    assert [one.id for one in narrow["x86_64"]][::4] == ["5.10.0-9-amd64", "7.3-1-amd64"]
    assert list(narrow) == ["x86_64"]


@pytest.mark.parametrize(
    ("good", "bad", "arch", "said"),
    [
        ("6.1*", "5.10*", None, "are they swapped.*--good '5.10.0-9-amd64|--good '5.10.0-32-686'"),
        ("6.1*", "6.1*", None, "both ends are"),
        ("5.10*686", "6.1*amd64", None, r"of one architecture: 5\.10\.0.*686, and 6\.1\..*amd64"),
        ("5.10*", "6.1*", "arm", "unknown architecture 'arm'"),
        ("4.4*", "6.1*", None, "no kernel is meant by '4.4"),
    ],
)  # fmt: skip
def test_ends_that_are_none_are_refused(good, bad, arch, said):
    with pytest.raises(UsageError, match=said):
        released.ranges(catalog(), good, bad, arch)


def test_an_architecture_that_lacks_an_end_is_left_out_and_that_is_said():
    said: list[str] = []
    found = released.ranges(catalog(), "5.10*", "7.3*", None, said.append)
    assert list(found) == ["x86_64"]
    assert said == ["i386 is left out: --bad 7.3* means no kernel of it"]


def test_two_flavours_of_one_version_are_a_range():
    made = catalog()
    flavours = [kernel(f"6.1.0-50-686{more}", "6.1.176-1", "i386") for more in ("", "-pae")]
    made.pins = replace(made.pins, kernels=tuple(flavours))
    for good, bad in (flavours, flavours[::-1]):
        assert released.ranges(made, good.id, bad.id, None)["i386"] == (good, bad)


def result(first: int = 5, rate: float = 1.0, folder: Path | None = None) -> drive.Result:
    drawn = random.Random(1)
    fake = Fake(
        lambda name, seed: (
            Outcome.BAD if int(name[1:]) >= first and drawn.random() < rate
            else Outcome.UNTESTABLE if name == "r4" else Outcome.GOOD
        )
    )  # fmt: skip
    assert folder
    return drive.bisect(SPACE, fake, Rules(), journal(folder))


def test_the_answer_is_never_bare(tmp_path):
    found, words = result(folder=tmp_path), Words("storm", "fails", {"r5": "1.5-1"})
    text = "\n".join(tell.summary(found, words))
    assert "first bad: one of r4, r5, with probability 99." in text
    assert "last good: r3" in text and "halving with enough runs" in text
    record = json.loads(json.dumps(tell.record(found)))
    assert (record["first_bad"], record["last_good"]) == ("r5", "r3")
    assert record["untestable"] == ["r4"] and record["first_bad_among"] == ["r4", "r5"]
    assert record["confidence"] >= 0.99 and len(record["steps"]) == len(found.seen)


def test_progress_says_what_is_left_and_how_long_that_takes():
    commits = line([f"{at:040x}" for at in range(8)])
    step = drive.Step(Trial(7, 2), Evidence(), (Trial(0, 1),))
    seen = [Seen(commits.names[7], 0, Outcome.BAD, wall_s=9.0)]
    assert "about 3 runs to go; now" in tell.progress(step, SURE, commits, seen)
    seen += [Seen(commits.names[0], 0, Outcome.GOOD, wall_s=9.0)]
    sure = tell.progress(step, SURE, commits, seen)
    assert sure == (
        "0 runs, 8 left (000000000000 to 000000000000), about 3 runs and 35 s to go; now "
        "000000000000 x 2, 000000000000 x 1"
    )
    assert "about 3 runs and 12 s to go" in tell.progress(step, SURE, commits, seen, 3)
    seen += [Seen(name, 0, Outcome.BAD, wall_s=9.0) for name in commits.names[1:7]]
    seen += [Seen(commits.names[7], 0, Outcome.BAD, wall_s=0.5)] * 20
    assert "about 3 runs and 2 s to go" in tell.progress(step, SURE, commits, seen)  # all are built
    often, seldom = (
        int(re.search(r"about (\d+) runs", tell.progress(step, rules, commits, seen))[1])
        for rules in (Rules(confidence=0.9), Rules(confidence=0.9999))
    )
    assert 3 < often < seldom


def test_a_bisection_that_answers_from_its_journal_says_so(tmp_path, capsys):
    plan = Plan("it", SPACE, from_r(4), Words("it", "", {}), tmp_path, {})
    command._bisect(plan, SURE, resume=False, fresh=False)
    assert "of an earlier time" not in capsys.readouterr().err
    again = command._bisect(plan, SURE, resume=False, fresh=False)
    said = capsys.readouterr().err
    assert f"it: {len(again.seen)} runs of an earlier time are taken" in said and "--fresh" in said


def test_an_end_without_an_answer_says_what_to_do(tmp_path):
    fake = Fake(lambda name, seed: Outcome.GOOD)
    found = drive.bisect(SPACE, fake, Rules(), journal(tmp_path))
    said = tell.problem(found)
    assert said and "the bad end, r7, passed 90 of 90 runs" in said and "--rarest" in said
    assert tell.record(found)["first_bad"] is None
    always = drive.bisect(SPACE, from_r(0), SURE, journal(tmp_path / "b"))
    assert "give an older --good" in (tell.problem(always) or "")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(Outcome.OTHER, "it fails, and otherwise than is looked for: why"),
     (Outcome.BUILD, "it does not build: why"), (Outcome.UNTESTABLE, "why")],
)  # fmt: skip
def test_an_end_that_cannot_be_tested_says_in_which_way(tmp_path, outcome, said):
    found = drive.bisect(SPACE, Fake(lambda name, seed: outcome), SURE, journal(tmp_path))
    assert f"r7, cannot be tested: {said}" in (tell.problem(found) or "")
    held = Journal.open(tmp_path / "b", {"names": ["a", "b"]}, "it", False, False)
    one = drive.bisect(line(["a", "b"]), Fake(lambda name, seed: Outcome.BAD), SURE, held)
    assert "2 runs of 2 revisions" in tell.summary(one, Words("it", "", {}))[-1]
    first = tell.summary(replace(one, evidence=replace(one.evidence, counts={1: Count(1, 0)})),
                         Words("it", "", {}))  # fmt: skip
    assert first[-1].startswith("1 run of 1 revision,")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--good", "6.1*", "--bad", "5.10*"], "are they swapped"),
        ([], "a bisection needs --good and --bad"),
        (["--config", "a", "b", "--source", "debian-source:6.1"], "a is no file"),
        (["--config", "a", "b"], "--config needs --source"),
        (["--config", "a", "b", "--runs", "9", "--svg", "x.svg"], "takes no --svg, --runs"),
        (["--good", "5.10*", "--bad", "6.1*", "--confidence", "1"], "--confidence 1.0"),
        (["--good", "5.10*", "--bad", "6.1*", "--source", "x"], "--source is for --config"),
        (["--good", "5.10*", "--bad", "6.1*", "--json", "no/x.json"], "there is no directory no"),
    ],
)
def test_the_command_line_says_what_is_wrong_before_anything_runs(words, said):
    demo = Path(__file__).parent.parent / "demos" / "bisect"
    done = subprocess.run(
        [sys.executable, "-m", "vmlab", "bisect", "task-state-renamed", *words],
        cwd=demo, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and said in done.stderr, done.stderr
