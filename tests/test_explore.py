"""Exploring: the seed alone says how a run is shifted in time."""

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from vmlab import lab
from vmlab import project as projects
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog, Kernel
from vmlab.cli import common
from vmlab.cli.explore import explore as command
from vmlab.errors import UsageError
from vmlab.explore import Found, Outcome, Share, Task, explore, outcomes, tasks
from vmlab.guest import qemu
from vmlab.inputs import MEANING
from vmlab.perturb import DILATIONS, PAUSES, SPIN_TURNS, Perturbation, perturbation
from vmlab.report import outcomes as report
from vmlab.runner import Run, Runner
from vmlab.scenario import Expanded
from vmlab.snapshots import name
from vmlab.tokens import How, Token
from vmlab.verdict import Judgement, Verdict

ROOT = Path(__file__).parent.parent


def test_a_seed_s_perturbation_never_changes():
    """Tokens and notes of seeds rely on it: these numbers stay."""
    assert perturbation(0) == Perturbation(0, 955, (99, 96, 28, 808, 9, 1, 7598, 855))
    assert perturbation(1) != perturbation(0)
    assert perturbation(0).option == "perturb 955 99 96 28 808 9 1 7598 855"


def test_perturbations_cover_their_ranges():
    many = [perturbation(seed) for seed in range(1000)]
    assert {one.dilation for one in many} == set(DILATIONS)
    assert min(one.spin for one in many) < 50 < SPIN_TURNS - 50 < max(one.spin for one in many)
    pauses = [pause for one in many for pause in one.pauses_us]
    assert len(pauses) == 1000 * PAUSES
    assert len({one.pauses_us for one in many}) == 1000
    assert min(pauses) == 0 and 9000 < max(pauses) < 10_000
    assert 0.3 < sum(pause < 100 for pause in pauses) / len(pauses) < 0.6


@pytest.mark.parametrize(("arch", "plain"), [("i386", 3), ("x86_64", 1)])
def test_dilation_is_the_clock_s_shift_and_another_snapshot(arch, plain, tmp_path):
    machine = qemu.Machine(ARCHES[arch])
    slow = replace(machine, perturbation=Perturbation(1, 0, ()))
    assert (machine.shift, slow.shift) == (plain, plain + 1)
    assert f"shift={plain + 1},sleep=off" in qemu.icount_args(slow)
    assert slow.perturbation is not None and slow.perturbation.at_boot == slow.perturbation
    assert Perturbation(1, 7, (1, 2)).at_boot == slow.perturbation
    same = replace(machine, perturbation=Perturbation(0, 7, (1, 2)))
    assert qemu.icount_args(same) == qemu.icount_args(machine)

    def of(one: qemu.Machine) -> str:
        return name(qemu.Boot(one, Path("vmlinuz"), Path("initramfs"), qemu.RunDirectory(tmp_path)))

    assert of(same) == of(machine) != of(slow)


HOW = How(exact=True, restored=True, perturbed=True, virtme=False)
DIGITS = dict.fromkeys(MEANING, "00ff")
TOKEN = Token("storm", 0, "6.1", 7, 2, HOW, DIGITS, "0" * 8, Verdict.FAILED)


def run(verdict: Verdict, reason: str = "", step: int | None = None, kernel: str = "6.1") -> Run:
    judged = Judgement(verdict, reason, step)
    token = None if verdict in (Verdict.SKIPPED, Verdict.BROKEN) else TOKEN
    return Run(
        "storm", kernel, "i386", "qemu", judged, 0.1, 1.0, "/nowhere", token, file="it's.yaml"
    )


def found(*kinds: tuple[int, Run]) -> list[Found]:
    return [Found(seed, one) for seed, one in kinds]


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [  # Wilson's interval as R's prop.test(..., correct = FALSE) gives it
        (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634),
        (1, 200, 0.0009, 0.0278), (20, 200, 0.0657, 0.1494), (0, 1000, 0.0, 0.0038),
    ],
)  # fmt: skip
def test_a_rate_has_its_interval(count, of, low, high):
    share = Share(count, of)
    assert share.rate == count / of
    assert (round(share.low, 4), round(share.high, 4)) == (low, high)


def test_outcomes_are_counted_by_kind_with_the_lowest_seed_first():
    passed, lost = run(Verdict.PASSED), run(Verdict.FAILED, "no match", 2)
    other = run(Verdict.FAILED, "no match", 3)
    made = outcomes(found((4, passed), (9, lost), (3, lost), (1, passed), (5, other), (6, passed)))
    assert [(one.first.seed, one.count, one.first.run) for one in made] == [
        (3, 2, lost), (5, 1, other), (1, 3, passed),
    ]  # fmt: skip
    assert [one.share for one in made] == [Share(2, 6), Share(1, 6), Share(3, 6)]
    assert [one.record()["seeds"] for one in made] == [[3, 9], [5], [1, 4, 6]]


def test_one_crash_is_of_one_kind_whatever_numbers_are_in_its_title():
    title = "soft lockup: BUG: soft lockup - CPU#0 stuck for {}s! [sh:{}] at {}"
    titles = [title.format(22, 81, "c0104fa0"), title.format(23, 9, "0xffffffff81000000")]
    runs = found(*enumerate(run(Verdict.CRASHED, one, 1) for one in titles))
    runs += found((2, run(Verdict.CRASHED, titles[0].replace("soft", "hard"), 1)))
    made = outcomes(runs)
    assert [one.count for one in made] == [2, 1]
    assert made[0].first.run.judgement.reason == titles[0]


def test_what_says_nothing_of_the_kernel_counts_neither_for_nor_against():
    broken, passed = run(Verdict.BROKEN, "disk full"), run(Verdict.PASSED)
    made = outcomes(found((0, passed), (1, broken), (2, passed)))
    assert {one.first.run.judgement.verdict: one.share for one in made} == {
        Verdict.PASSED: Share(2, 2), Verdict.BROKEN: None,
    }  # fmt: skip
    assert [one.record()["rate"] for one in made] == [None, 1.0]


def test_a_failure_without_a_guest_has_no_rate():
    unbuilt = replace(run(Verdict.FAILED, "build"), token=None)
    assert [one.share for one in outcomes(found((0, unbuilt)))] == [None]


def test_kernels_are_counted_apart():
    first, other = run(Verdict.PASSED), run(Verdict.CRASHED, "oops", kernel="7.2")
    made = outcomes(found((0, first), (0, other), (1, first)))
    assert [(one.first.run.kernel, one.share) for one in made] == [
        ("6.1", Share(2, 2)), ("7.2", Share(1, 1)),
    ]  # fmt: skip


def text(made: list[Outcome], width: int = 200) -> str:
    out = io.StringIO()
    report.show(made, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_the_table_says_how_often_and_how_to_see_it_again():
    lines = text(
        outcomes(found((0, run(Verdict.PASSED)), (7, run(Verdict.FAILED, "no [match]", 2))))
    ).splitlines()
    assert lines[0].split() == [
        "scenario", "kernel", "verdict", "reason", "runs", "rate",
        "95", "%", "(Wilson)", "first", "seed",
    ]  # fmt: skip
    assert lines[1].split() == [
        "storm", "6.1", "failed", "step", "2:", "no", "[match]", "1", "50.0%", "9.5%", "to",
        "90.5%", "7",
    ]  # fmt: skip
    assert "  again: vmlab run storm --kernel 6.1 --seed 7 --perturb" in lines
    assert lines.count(f"  again: vmlab replay {TOKEN}") == 2
    assert "again" not in text(outcomes(found((0, run(Verdict.SKIPPED)))))


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([Verdict.PASSED, Verdict.PASSED], 0),
        ([Verdict.PASSED, Verdict.FAILED], 1),
        ([Verdict.CRASHED], 1),
        ([Verdict.TIMEOUT, Verdict.PASSED], 1),
        ([Verdict.BROKEN, Verdict.PASSED], 3),
        ([Verdict.SKIPPED], 0),
    ],
)
def test_the_status_says_whether_a_failure_was_found(
    verdicts, status, tmp_path, monkeypatch, capsys
):
    runs = iter([run(verdict) for verdict in verdicts])

    class Stub:
        project = projects.Project(tmp_path, projects.Settings())

        def run(self, *given: object) -> Run:
            return next(runs)

        def stop(self) -> None: ...

    monkeypatch.setattr(lab, "prepare", lambda *given: (Stub(), [(SCENARIO, KERNEL)]))
    monkeypatch.setattr(common, "artifacts", lambda: None)
    with pytest.raises(SystemExit) as left:
        command(["storm"], seeds=len(verdicts), jobs=1)
    assert left.value.code == status
    said = capsys.readouterr().out
    assert "first seed" in said
    if Verdict.PASSED in verdicts:
        assert "again: vmlab run 'it'\"'\"'s.yaml' --kernel 6.1 --seed" in said


SCENARIO = cast(
    Expanded,
    SimpleNamespace(
        name="storm", path=Path("it's.yaml"), paired=False,
        scenario=SimpleNamespace(name="storm", clock="virtual"),
    ),
)  # fmt: skip
PAIR = cast(
    Expanded,
    SimpleNamespace(name="two", paired=True, scenario=SimpleNamespace(clock="virtual")),
)
REAL = cast(Expanded, SimpleNamespace(name="slow", scenario=SimpleNamespace(clock="real")))
KERNEL = cast(Kernel, SimpleNamespace(id="6.1"))


@pytest.mark.parametrize(
    ("scenario", "first", "seeds", "said"),
    [
        (REAL, 0, 1, "slow runs on the real clock"),
        (PAIR, 0, 1, "two is of two guests, which no seed shifts in time"),
        (SCENARIO, 1 << 32, 1, "out of range"),
        (SCENARIO, (1 << 32) - 1, 2, "out of range"),
    ],
    ids=["real clock", "two guests", "beyond the last", "over the last"],
)
def test_what_cannot_be_explored_is_said_before_anything_runs(scenario, first, seeds, said):
    with pytest.raises(UsageError, match=said):
        tasks([(scenario, KERNEL)], first, seeds)


def test_every_pair_is_run_under_every_seed():
    assert tasks([(SCENARIO, KERNEL)], (1 << 32) - 2, 2) == [
        Task(SCENARIO, KERNEL, (1 << 32) - 2), Task(SCENARIO, KERNEL, (1 << 32) - 1),
    ]  # fmt: skip


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_only_the_first_seed_of_each_kind_keeps_its_directory(tmp_path, order):
    class Stub:
        def run(self, expanded: object, kernel: object, again: int, seed: int) -> Run:
            folder = tmp_path / str(again)
            folder.mkdir()
            verdict = Verdict.FAILED if seed % 2 else Verdict.PASSED
            return replace(run(verdict), dir=str(folder))

        def stop(self) -> None: ...

    wanted = [Task(SCENARIO, KERNEL, seed) for seed in order]
    done = list(explore(cast(Runner, Stub()), wanted, 1, lambda task: None))
    assert [one.seed for one in done] == order
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_run_directory_that_somebody_took_away_ends_nothing(tmp_path):
    class Stub:
        def run(self, expanded: object, kernel: object, again: int, seed: int) -> Run:
            return replace(run(Verdict.PASSED), dir=str(tmp_path / str(seed)))

        def stop(self) -> None: ...

    wanted = [Task(SCENARIO, KERNEL, seed) for seed in range(3)]
    assert len(list(explore(cast(Runner, Stub()), wanted, 1, lambda task: None))) == 3


@pytest.mark.parametrize(("verdict", "tried"), [(Verdict.FAILED, 1), (Verdict.BROKEN, 5)])
def test_what_does_not_build_is_tried_once_and_a_fault_of_the_lab_again(verdict, tried, tmp_path):
    class Stub:
        def run(self, expanded: object, kernel: object, again: int, seed: int) -> Run:
            folder = tmp_path / str(again)
            folder.mkdir()
            return replace(run(verdict, "build"), token=None, dir=str(folder))

        def stop(self) -> None: ...

    wanted = [Task(SCENARIO, KERNEL, seed) for seed in range(5)]
    assert len(list(explore(cast(Runner, Stub()), wanted, 1, lambda task: None))) == tried


SCENARIO_TEXT = """
name: hasty
about: many requests, so that few seeds are needed
modules: [lost_wakeup]
parameters:
  fixed: ['0', '1']
steps:
  - insmod: lost_wakeup requests=0
    errno: EINVAL
  - console: 'parameter requests: 0 is not between 1 and 1000000'
  - insmod: lost_wakeup requests=200 fixed={fixed}
  - console: 'lost_wakeup: 200 requests, all answered'
    within: 5s
  - rmmod: lost_wakeup
"""
LOST = re.compile(rb"request \d+ was answered, and the thread sleeps")


@pytest.mark.guest
@pytest.mark.parametrize("kernel", ["5.10.0-32-686", "6.1.0-50-amd64"])
def test_the_lost_wakeup_is_found_and_its_seed_shows_it_again(kernel, tmp_path):
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "vmlab.yaml").write_text(f"modules: {ROOT / 'kmod'}\n")
    (tmp_path / "scenarios" / "hasty.yaml").write_text(SCENARIO_TEXT)
    cache = Cache.default()
    artifacts = Artifacts(cache, Catalog.open(cache))

    def prepared() -> tuple[Runner, list[tuple[Expanded, Kernel]]]:
        options = lab.Options(perturb=True)
        return lab.prepare(projects.find(tmp_path), artifacts, ["hasty"], [], kernel, options)

    def same(one: Run) -> tuple[bytes, bytes]:
        return (Path(one.dir) / "console").read_bytes(), (Path(one.dir) / "results").read_bytes()

    runner, (wrong, right) = prepared()
    # Only those of the plain clock: a snapshot of another shift is not worth its boot here.
    seeds = [seed for seed in range(100) if perturbation(seed).dilation == 0][:10]
    ran = explore(runner, [Task(*wrong, seed) for seed in seeds], 1, lambda task: None)
    hit = next(one for one in ran if one.run.judgement.verdict is Verdict.FAILED)
    ran.close()
    assert LOST.search(same(hit.run)[0])

    runner, _ = prepared()
    again = runner.run(*wrong, again=1, seed=hit.seed)
    assert again.judgement == hit.run.judgement
    assert same(again) == same(hit.run)
    fixed = [runner.run(*right, again=seed, seed=seed) for seed in (hit.seed, *seeds[-2:])]
    assert [one.judgement.verdict for one in fixed] == [Verdict.PASSED] * 3
    assert same(fixed[1]) != same(fixed[2])


def test_a_narrow_terminal_shows_name_and_reason_too():
    kernel = "5.10.0-32-amd64"
    one = replace(run(Verdict.FAILED, "no [match]", 2, kernel=kernel), scenario="zombie-detect")
    shown = text(outcomes(found((7, one))), 80)
    assert f"\nfailed: zombie-detect on {kernel} first with seed 7, in step 2" in shown
    assert "\n  reason: no [match]\n" in shown
