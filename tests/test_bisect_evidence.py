"""What runs, builds and boots say of a revision."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from simulated import Fake

from vmlab import perturb, story
from vmlab.bisect import count, drive, evidence, tell, tester
from vmlab.bisect.engine import End, Rules
from vmlab.bisect.evidence import Match, Outcome, Seen
from vmlab.bisect.journal import Journal
from vmlab.bisect.space import line
from vmlab.bisect.tester import Runs, Subject
from vmlab.build.kbuild import ModuleBuildError
from vmlab.errors import LabError, UsageError
from vmlab.runner import Run
from vmlab.sources.configure import ConfigError
from vmlab.sources.make import KernelBuildError
from vmlab.verdict import Judgement, Verdict

SPACE = line([f"r{number}" for number in range(8)])
SURE = Rules(always=True)
SHY = Rules()


def run(
    verdict: Verdict, reason: str = "", step: int | None = None, seen: str = "", began: str = ""
) -> Run:
    judged = Judgement(verdict, reason, step, seen=seen)
    token = None if reason == "build" else "token"
    steps = [{"state": story.NOT_REACHED}] * 2 if began else []
    return Run(
        "s", "k", "i386", "qemu", judged, 0.1, 1.5, "/nowhere", token, steps=steps,  # type: ignore[arg-type]
        environment={"began": began},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("match", "of", "outcome"),
    [
        (None, run(Verdict.PASSED), Outcome.GOOD),
        (None, run(Verdict.FAILED, "no match", 2), Outcome.BAD),
        (None, run(Verdict.TIMEOUT, "timeout"), Outcome.BAD),
        (None, run(Verdict.SKIPPED, "no headers"), Outcome.UNTESTABLE),
        (None, run(Verdict.BROKEN, "disk full"), Outcome.BROKEN),
        (None, run(Verdict.FAILED, "build", seen="a.c:1: error: x"), Outcome.BUILD),
        (None, run(Verdict.CRASHED, "the guest never came to its first step: x"), Outcome.BOOT),
        (None, run(Verdict.CRASHED, "panic: no root", began="by a boot"), Outcome.BOOT),
        ("no root", run(Verdict.CRASHED, "panic: no root", began="by a boot"), Outcome.BAD),
        ("slower than 2s", run(Verdict.TIMEOUT, "slow", began="by a boot"), Outcome.BOOT),
        (None, run(Verdict.CRASHED, "panic: x", began="from a snapshot"), Outcome.BAD),
        (None, run(Verdict.CRASHED, "panic: x", 1, began="by a boot"), Outcome.BAD),
        ("step 2", run(Verdict.FAILED, "no match", 2), Outcome.BAD),
        ("step 2", run(Verdict.FAILED, "no match", 3), Outcome.OTHER),
        ("soft lockup", run(Verdict.CRASHED, "soft lockup: CPU#0"), Outcome.BAD),
        ("soft lockup", run(Verdict.CRASHED, "oops"), Outcome.OTHER),
        ("soft lockup", run(Verdict.PASSED), Outcome.GOOD),
        ("slower than 2s", run(Verdict.PASSED), Outcome.GOOD),
        ("slower than 1200 ms", run(Verdict.PASSED), Outcome.BAD),
        ("slower than 2s", run(Verdict.FAILED, "no match", 1), Outcome.OTHER),
    ],
)  # fmt: skip
def test_what_a_run_says(match, of, outcome):
    assert evidence.match(match, None).judge(of)[0] is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(0, Outcome.GOOD), (1, Outcome.BAD), (124, Outcome.BAD), (125, Outcome.UNTESTABLE),
     (126, Outcome.BAD), (127, Outcome.BAD)],
)  # fmt: skip
def test_a_command_says_it_by_its_status_as_for_git(status, outcome):
    assert evidence.match(None, f"exit {status}").judge(run(Verdict.PASSED))[0] is outcome


def test_a_command_sees_the_run_and_ends_the_bisection_above_127():
    by_kernel = evidence.match(None, 'test "$VMLAB_KERNEL $VMLAB_VERDICT" = "k failed"')
    assert by_kernel.judge(run(Verdict.FAILED, "x", 1))[0] is Outcome.GOOD
    with pytest.raises(LabError, match="ended with 128"):
        evidence.match(None, "exit 128").judge(run(Verdict.PASSED))


def test_what_a_command_prints_is_no_part_of_the_answer_and_its_status_is(capfd):
    bad = evidence.match(None, "cat; echo said; exit 3").judge(run(Verdict.PASSED))
    assert bad == (Outcome.BAD, "the command ended with 3")
    assert capfd.readouterr() == ("", "said\n")
    _, why = evidence.match(None, "no-such-command-here").judge(run(Verdict.PASSED))
    assert why == "the command ended with 127 (a shell's for no such command)"


@pytest.mark.parametrize(
    ("match", "command", "said"),
    [
        ("(", None, "is no pattern"),
        ("x", "true", "give one of them"),
        ("slower than 2h", None, "the time is a number and ms, s or m"),
    ],
)
def test_matches_that_are_none_are_refused(match, command, said):
    with pytest.raises(UsageError, match=said):
        evidence.match(match, command)


def test_one_error_is_of_one_class_wherever_it_stands():
    one = "  CC x.o\n/tmp/a/x.c:12:7: error: 'struct task' has no member 'state'; line 12\nmore"
    other = "kmod/x.c:15:7: error: 'struct task' has no member 'state'; line 15"
    assert evidence.build_class(one) == evidence.build_class(other)
    assert evidence.build_class(one) != evidence.build_class("x.c:12:7: error: expected ;")


def test_of_a_build_only_what_says_what_is_wrong_counts_and_make_waiting_for_others_does_not():
    said = (
        "x.c:3:2: error: #error not ready\nmake[2]: *** [scripts/Makefile.build:250: x.o] Error 1\n"
        "make[2]: *** Deleting file 'x.o'\nmake[2]: *** Waiting for unfinished jobs...."
    )
    assert evidence.build_class(said) == "error: #error not ready"
    other = "y.c:1:1: error: another\nmake[1]: *** Waiting for unfinished jobs...."
    assert not evidence.alike(*map(evidence.build_class, (said, other)))


NO_RULE = "make[1]: Entering directory '/x'\nmake[2]: *** No rule to make target 'x.c'.  Stop."
NO_TOOL = "make[1]: Entering directory '/x'\n/bin/sh: 1: bc: not found\nmake: *** [x] Error 127"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("a.c:1:2: error: one\nb.c:1: error: two", "b.c:9: error: two\na.c:8:1: error: one", True),
        ("a.c:1:2: error: one\nb.c:1: error: two", "b.c:9: error: two", True),
        ("a.c:1:2: error: one", "b.c:9: error: two", False),
        (NO_RULE, NO_TOOL, False),
        ("gcc -Werror=x a.c\na.c:1: error: one", "gcc -Werror=x a.c\na.c:1: error: two", False),
        ("make: *** [a.o] Error 1\na.c:1: error: one", "make: *** [a.o] Error 1\nx", False),
        ("a.c:1: error: x\nagain by hand: make: not found", "z\nagain by hand: make: not found",
         False),
    ],
)  # fmt: skip
def test_builds_fail_alike_by_any_of_their_errors_and_by_nothing_else(one, other, alike):
    assert evidence.alike(*map(evidence.build_class, (one, other))) is alike


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("make[2]: *** [scripts/Makefile.build:255: fs/x.o] Terminated", Outcome.BROKEN),
        ("make: *** [Makefile:2: x] Killed", Outcome.BROKEN),
        ("gcc: fatal error: Killed signal terminated program cc1", Outcome.BROKEN),
        ("x.c:1: fatal error: error writing to /tmp/x.s: No space left on device", Outcome.BROKEN),
        ("x.c:1:2: fatal error: y.h: No such file\ncompilation terminated.", Outcome.BUILD),
        ("x.c:1:2: error: 'Killed' undeclared\nmake: *** [x] Error 1", Outcome.BUILD),
    ],
)
def test_a_build_that_the_machine_ended_is_no_evidence(said, outcome):
    def subject(revision: str) -> Subject:
        raise KernelBuildError("it", "make", said)

    (built,) = Runs(subject, evidence.Match()).run("r1", [0])
    assert built.outcome is outcome and bool(built.build) is (outcome is Outcome.BUILD)
    of_module = evidence.seen("r1", 0, run(Verdict.FAILED, "build", seen=said), evidence.Match())
    assert of_module.outcome is outcome
    if outcome is Outcome.BROKEN:
        assert of_module.reason == built.reason == said


def test_what_does_not_build_is_told_without_a_guest():
    def subject(revision: str) -> Subject:
        raise {"lab": LabError("no disk"), "usage": UsageError("no such")}.get(
            revision, ModuleBuildError("k", "make", "x.c:1:2: error: what\nx.c:2:2: error: more")
        )

    runs = Runs(subject, evidence.Match())
    (built,) = runs.run("build", [0, 1, 2])
    assert (built.outcome, built.reason) == (Outcome.BUILD, "error: what")
    assert built.build == "error: what\nerror: more"
    assert runs.run("lab", [0])[0].outcome is Outcome.BROKEN
    with pytest.raises(UsageError):
        runs.run("usage", [0])


def test_a_commit_that_lacks_an_option_that_was_asked_for_is_left_out_and_ends_nothing():
    def subject(revision: str) -> Subject:
        raise ConfigError("tiny: the tree's kconfig dropped what was asked for:\n  CONFIG_NEW\n  X")

    (without,) = Runs(subject, evidence.Match()).run("r1", [0, 1])
    assert without.outcome is Outcome.UNTESTABLE
    assert without.reason == "tiny: the tree's kconfig dropped what was asked for: CONFIG_NEW"


@pytest.mark.parametrize(
    ("match", "command", "kept"),
    [(None, None, True), ("no member", None, True), ("soft lockup", None, False),
     ("step 2", None, False), ("slower than 2s", None, False), (None, "exit 1", False)],
)  # fmt: skip
def test_an_end_that_does_not_build_or_come_up_is_not_the_bug_where_another_is_asked_for(
    match, command, kept, tmp_path
):
    wanted, said = evidence.match(match, command), "x.c:1:2: error: no member"
    of_module = evidence.seen("r7", 0, run(Verdict.FAILED, "build", seen=said), wanted)

    def subject(revision: str) -> Subject:
        raise KernelBuildError("it", "make", said)

    (of_kernel,) = Runs(subject, wanted).run("r7", [0])
    lost = run(Verdict.CRASHED, "the guest never came to its first step: panic: no member found")
    judged = {wanted.judge(lost)[0], evidence.seen("r7", 0, lost, wanted).outcome}
    assert {of_module.outcome, of_kernel.outcome} == {Outcome.BUILD}
    assert {of_module.reason, of_kernel.reason} == {"error: no member"}  # is told all the same
    assert {bool(of_module.build), bool(of_kernel.build)} == {kept}
    assert judged == {Outcome.BAD if match == "no member" else Outcome.BOOT}
    built = [replace(of_kernel, revision="r7")]
    assert (count.evidence(SPACE, built).untestable == {7}) is not kept
    boots = [evidence.seen("r7", number, lost, wanted) for number in range(3)]
    assert (count.evidence(SPACE, boots).untestable == {7}) is not kept


def bisected(folder: Path, outcome, rules: Rules = SHY) -> drive.Result:
    """Of a boot that failed the class is its own only where a test says so."""
    journal = Journal.of(folder, {})
    journal.begin()
    return drive.bisect(SPACE, Fake(outcome), rules, journal)


def boots(first: int, fails, bad=Outcome.BAD):
    """Bad from a revision on; the boots for which `fails(number)` come to nothing."""

    def outcome(name: str, seed: int) -> Outcome:
        if fails(name, seed):
            return Outcome.BOOT
        return bad if int(name[1:]) >= first else Outcome.GOOD

    return outcome


def test_boots_that_fail_now_and_then_are_tried_again_and_no_evidence(tmp_path):
    result = bisected(tmp_path, boots(4, lambda name, seed: seed % 3 == 0), SURE)
    assert (result.answer.first, result.evidence.untestable) == ((4,), frozenset())
    assert result.evidence.silent == sum(one.outcome is Outcome.BOOT for one in result.seen) > 0


def test_a_revision_whose_boot_always_fails_is_untestable_after_three(tmp_path):
    result = bisected(tmp_path, boots(4, lambda name, seed: name == "r3"), SURE)
    assert (result.answer.first, result.evidence.untestable) == ((3, 4), {3})
    assert sum(one.revision == "r3" for one in result.seen) == count.OTHERS


@pytest.mark.parametrize("every", [1, 2, 3])
def test_where_the_bad_end_does_not_come_up_that_is_what_is_looked_for(tmp_path, every):
    """Always, or in a part of the boots."""
    fails = boots(9, lambda name, seed: name >= "r5" and seed % every == 0)
    result = bisected(tmp_path, fails)
    assert (result.answer.end, result.answer.first) == (End.FOUND, (5,))
    assert result.evidence.untestable == frozenset()


def test_one_boot_that_fails_at_the_bad_end_is_not_taken_for_the_bug(tmp_path):
    result = bisected(tmp_path, boots(4, lambda name, seed: seed == 0), SURE)
    assert result.answer.first == (4,)
    seen = [Seen("r7", 0, Outcome.BOOT, build="it"), Seen("r7", 1, Outcome.BAD)]
    assert count.evidence(SPACE, seen[:1]).counts == {}
    assert count.evidence(SPACE, seen).of(7).failed == 1


def test_a_boot_that_fails_in_another_way_than_the_bad_end_s_is_no_evidence():
    ends = [Seen("r7", number, Outcome.BOOT, build="panic: a") for number in range(3)]
    other = Seen("r3", 3, Outcome.BOOT, build="panic: b")
    same = replace(other, build="panic: a")
    assert count.evidence(SPACE, [*ends, other]).of(3).runs == 0
    assert count.evidence(SPACE, [*ends, same]).of(3).failed == 1


@pytest.mark.parametrize("silent", [Outcome.OTHER, Outcome.UNTESTABLE, Outcome.BOOT])
def test_a_revision_that_once_says_something_and_then_nothing_ends_it_all_the_same(
    tmp_path, silent
):
    passed = set[str]()

    def outcome(name: str, seed: int) -> Outcome:
        if name in ("r0", "r7"):
            return Outcome.BAD if name == "r7" and seed % 2 else Outcome.GOOD
        if name not in passed:
            passed.add(name)
            return Outcome.GOOD
        return silent

    result = bisected(tmp_path, outcome)
    assert len(result.seen) < 400
    assert result.evidence.untestable


@pytest.mark.parametrize("outcome", [Outcome.GOOD, Outcome.OTHER])
def test_as_many_runs_as_are_allowed_are_enough_at_the_bad_end_too(tmp_path, outcome):
    result = bisected(tmp_path, lambda name, seed: outcome, Rules(most=2))
    assert result.answer.end is End.TOO_MANY
    assert len(result.seen) <= 3
    passed, silent = (2, 0) if outcome is Outcome.GOOD else (0, 2)
    assert tell.problem(result) == (
        "the runs that were allowed are used up before the bad end, r7, failed: it passed "
        f"{passed}, and {silent} said nothing of it; allow more with --runs"
    )


def test_after_a_boot_that_failed_another_boot_is_made(monkeypatch):
    """On the virtual clock the same one would fail again, and the runner would spare it."""
    failing = Seen("r1", 0, Outcome.BOOT)
    monkeypatch.setattr(tester, "seen", lambda *some: failing)
    again, seeds = list[str](), list[int]()

    class Runner:
        def try_again(self, kernel: str) -> None:
            again.append(kernel)

        def run(self, expanded: object, kernel: str, number: int, seed: int) -> SimpleNamespace:
            seeds.append(seed)
            return SimpleNamespace(dir="/nowhere", wall_s=0.0)

    runs = Runs(lambda name: Subject(Runner(), None, "k"), Match())  # type: ignore[arg-type]
    for number in range(4):
        assert len(runs.run("r1", [number, number + 4])) == 1
    assert again == ["k"] * 3
    assert [perturb.perturbation(seed).dilation for seed in seeds] == [0, 1, -1, 0]
    assert len(set(seeds)) == 4
