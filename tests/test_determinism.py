from contextlib import nullcontext
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from threading import Lock
from time import sleep
from types import SimpleNamespace
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from vmlab.arch import ARCHES
from vmlab.catalog import Kernel
from vmlab.cli import app
from vmlab.cli.determinism import line, total
from vmlab.determinism import Outcome, compare, rounds, verify
from vmlab.guest import qemu
from vmlab.runner import Run
from vmlab.tokens import How
from vmlab.verdict import Judgement, Verdict

RESULTS = b"KTAP version 1\n# uptime=3.500000 printk=1 outcome=0\nok 1 - run x\n"
CONSOLE = b"[    1.000000] one\n[    2.000000] two\nno time\n"
FILES = {"console": CONSOLE, "results": RESULTS}


@pytest.mark.parametrize(
    ("name", "content", "line", "guest_s", "other"),
    [
        ("console", CONSOLE.replace(b"two", b"three"), 2, 2.0, "[    2.000000] three"),
        ("console", CONSOLE.replace(b"no time", b"time"), 3, 2.0, "time"),
        ("console", CONSOLE[:-8], 3, 2.0, "(the end)"),
        ("results", RESULTS.replace(b"run x", b"run y"), 3, 3.5, "ok 1 - run y"),
        ("results", RESULTS.replace(b"KTAP", b"TAP"), 1, None, "TAP version 1"),
    ],
)
def test_the_first_difference_has_its_place_and_time(name, content, line, guest_s, other):
    found = compare(7, FILES, FILES | {name: content})
    assert (found.run, found.file, found.line, found.guest_s) == (7, name, line, guest_s)
    assert found.other == other
    assert compare(7, FILES, dict(FILES)) is None


class Runner:
    """Gives each run the files it is told to; one that has none is a run without a guest."""

    verdict = Verdict.FAILED
    exact = True
    reasons: ClassVar[dict[int, str]] = {}

    def __init__(self, directory: Path, *runs: bytes | None) -> None:
        self.directory, self.runs = directory, list(runs)

    def run(self, expanded, kernel, number) -> Run:
        console = self.runs[number - 1]
        folder = self.directory / f"{expanded.name}-{kernel.id}-{number}"
        folder.mkdir()
        judgement = Judgement(self.verdict, self.reasons.get(number, "said so"))
        run = Run(expanded.name, kernel.id, "i386", "qemu", judgement, 1.0, 1.0, str(folder))
        if console is None:
            return run
        (folder / "console").write_bytes(console)
        how = How(self.exact, console != b"booted", False, False)
        return replace(run, token=SimpleNamespace(how=how))

    backend = SimpleNamespace(name="qemu", forget=lambda: None)

    def machine(self, expanded, kernel) -> qemu.Machine:
        return qemu.Machine(kernel.arch, clock="virtual" if self.exact else "real")

    def stop(self) -> None:
        raise AssertionError("nobody asked for that")


KERNEL = Kernel("6.1.0-50-686", ARCHES["i386"], True, (), ())
OTHER = Kernel("6.1.0-50-amd64", ARCHES["x86_64"], True, (), ())
X, Y = SimpleNamespace(name="x"), SimpleNamespace(name="y")


ODD: list[int] = []


def outcome(tmp_path: Path, *runs: bytes | None) -> tuple[Outcome, int]:
    remade: list[int] = []
    begun: list[int] = []
    ODD.clear()
    runner = Runner(tmp_path, *runs)
    (found,) = verify(
        runner, [(X, KERNEL)], len(runs), 1, lambda: remade.append(1),
        lambda pair, number: begun.append(number), lambda pair, number: ODD.append(number),
    )  # fmt: skip
    assert begun == list(range(1, len(begun) + 1)) != []
    return found, len(remade)


def test_runs_that_are_alike_are_counted_and_the_snapshot_is_made_anew(tmp_path):
    found, remade = outcome(tmp_path, *[b"same"] * 4)
    assert (found.identical, found.fine, remade) == (4, True, 1)
    assert line(found) == "6.1.0-50-686: x: 4 of 4 identical"
    assert [path.name for path in tmp_path.iterdir()] == ["x-6.1.0-50-686-1"]


def test_one_that_differs_is_shown_beside_the_first(tmp_path):
    found, _ = outcome(tmp_path, b"[ 1.5] a", b"[ 1.5] a", b"[ 1.5] b", b"[ 1.5] c")
    assert (found.identical, found.fine, ODD) == (2, False, [3, 4])
    assert line(found).splitlines() == [
        "6.1.0-50-686: x: 2 of 4 identical; first difference in run 3, console line 1, "
        "1.500000 s of guest time:",
        "  run 1:  [ 1.5] a",
        "  run 3: [ 1.5] b",
    ]
    assert len(list(tmp_path.iterdir())) == 3  # those that differ are there to be looked at


def test_one_of_another_verdict_is_no_repetition_whatever_its_bytes_are(tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "reasons", {3: "another"})
    found, _ = outcome(tmp_path, *[b"same"] * 4)
    assert (found.identical, found.fine) == (3, False)
    assert line(found).splitlines()[1:] == [
        "  run 1:  failed, step None: said so", "  run 3: failed, step None: another",
    ]  # fmt: skip


def test_ctrl_c_comes_after_what_was_found_until_then(tmp_path):
    def stop(pair, number):
        if number == 4:
            raise KeyboardInterrupt

    class Stopped(Runner):
        def stop(self) -> None:
            """What runs is ended."""

    told = verify(Stopped(tmp_path, *[b"same"] * 6), [(X, KERNEL)], 6, 1, lambda: None, stop)
    found = next(told)
    assert (found.identical, found.runs) == (3, 3)
    with pytest.raises(KeyboardInterrupt):
        next(told)


def test_a_guest_that_booted_is_compared_with_none_that_began_from_a_snapshot(tmp_path):
    found, _ = outcome(tmp_path, b"a", b"booted", b"a")
    assert not found.fine
    assert "1 of 3 identical; of runs 1 and 2 one began from a snapshot" in line(found)


@pytest.mark.parametrize("exact", [True, False])
def test_what_was_never_promised_is_said(tmp_path, monkeypatch, exact):
    monkeypatch.setattr(Runner, "exact", exact)
    found, _ = outcome(tmp_path, b"a", b"b", b"a")
    assert (bool(found.why_inexact), found.fine) == (not exact, False)
    said = "no run of it is promised to repeat: it is on the real clock"
    assert (said in line(found)) is not exact


def test_runs_without_a_guest_are_no_proof(tmp_path):
    found, _ = outcome(tmp_path, b"a", None, b"a")
    assert not found.fine
    assert line(found).endswith("1 of 3 identical; said so")


def test_what_is_skipped_on_a_kernel_counts_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "verdict", Verdict.SKIPPED)
    found, _ = outcome(tmp_path, None, None)
    assert (found.fine, found.runs, ODD) == (True, 0, [])
    assert line(found) == "6.1.0-50-686: x: skipped: said so"


@pytest.mark.parametrize(
    ("runs", "sizes"),
    [(2, [1, 1]), (4, [3, 1]), (26, [25, 1]), (100, [25] * 4), (60, [25, 25, 10])],
)
def test_every_run_is_in_a_round_and_there_is_more_than_one(runs, sizes):
    made = rounds(runs)
    assert [len(one) for one in made] == sizes
    assert [number for one in made for number in one] == list(range(1, runs + 1))


def test_what_is_made_anew_is_shared_by_all_that_runs_on_a_kernel(tmp_path):
    """A boot for each round of each kernel, not of each scenario; and no more runs at once."""
    told: list[str] = []
    at_once, most = 0, 0
    guard = Lock()

    class Slow(Runner):
        def run(self, expanded, kernel, number) -> Run:
            nonlocal at_once, most
            with guard:
                at_once += 1
                most = max(most, at_once)
            sleep(0.01)
            made = super().run(expanded, kernel, number)
            with guard:
                at_once -= 1
            return made

    pairs = [(one, kernel) for one in (X, Y) for kernel in (KERNEL, OTHER)]
    runner = Slow(tmp_path, *[b"same"] * 30)
    found = list(
        verify(
            runner, pairs, 30, 3, lambda: told.append("remade"),
            lambda pair, number: told.append(pair[1].id),
        )
    )  # fmt: skip
    assert [(one.scenario, one.kernel) for one in found] == [
        ("x", KERNEL.id), ("y", KERNEL.id), ("x", OTHER.id), ("y", OTHER.id),
    ]  # fmt: skip
    assert [(word, len(list(same))) for word, same in groupby(told)] == [
        (KERNEL.id, 50), ("remade", 1), (KERNEL.id, 10),
        (OTHER.id, 50), ("remade", 1), (OTHER.id, 10),
    ]  # fmt: skip
    assert most == 3
    assert total(found) == "120 of 120 identical, 4 scenarios on kernels"


def test_all_of_it_is_said_in_a_line_that_names_what_is_not_so():
    fine, bad = Outcome("k", 9, 9, None, scenario="x"), Outcome("k", 9, 7, None, scenario="y")
    assert total([fine, bad, Outcome("l", 0, 0, None, skipped="old", scenario="x")]) == (
        "16 of 18 identical, 2 scenarios on kernels (1 more skipped); not so: y on k"
    )


@pytest.mark.parametrize(("odd", "status"), [(b"same", 0), (b"other", 1)])
def test_one_command_tells_of_all_of_them(tmp_path, monkeypatch, odd, status):
    runner = Runner(tmp_path, b"same", b"same", b"same", odd)
    asked = []

    def prepare(project, artifacts, names, tags, kernels, options):
        asked.append((names, kernels))
        return runner, [(X, KERNEL), (Y, OTHER)]

    monkeypatch.setattr("vmlab.lab.prepare", prepare)
    monkeypatch.setattr("vmlab.cli.common.project", lambda: None)
    monkeypatch.setattr("vmlab.cli.common.artifacts", lambda: None)
    monkeypatch.setattr("vmlab.determinism.busy_core", nullcontext)
    done = CliRunner().invoke(app, ["verify-determinism", "--runs", "4", "--kernel", "all"])
    assert asked == [([], "all")]
    count = 4 if status == 0 else 3
    assert f"6.1.0-50-686: x: {count} of 4 identical" in done.output
    assert f"6.1.0-50-amd64: y: {count} of 4 identical" in done.output
    assert ("x: run 4 is not as the others" in done.output) is (status == 1)
    assert f"{2 * count} of 8 identical, 2 scenarios on kernels" in done.output
    assert done.exit_code == status
