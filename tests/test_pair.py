"""Two guests as one run, with stand-ins for the guests."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vmlab import pair
from vmlab.arch import ARCHES
from vmlab.backend import Job
from vmlab.catalog import Kernel
from vmlab.crash.model import Crash
from vmlab.guest import handover, program, qemu
from vmlab.guest.launch import Ended
from vmlab.guest.results import Results, StepResult
from vmlab.scenario import Expanded, Known, expand, load
from vmlab.verdict import Judgement, Verdict

TEXT = """\
name: case
about: a case
network: pair
devices: [e1000]
timeout: 5s
steps:
  - run: one
  - run: two
    on: b
  - console: three
"""
PASSED = Judgement(Verdict.PASSED)
NOTHING = Results(None, (), 0, None)


def expanded(folder: Path) -> Expanded:
    (folder / "case.yaml").write_text(TEXT)
    return expand(load(folder / "case.yaml", Known()))[0]


def jobs(folder: Path) -> list[Job]:
    machine = qemu.Machine(ARCHES["i386"], devices=("e1000",), role="a", seed=(1 << 32) - 1)
    kernel = Kernel("6.1.0-50-686", ARCHES["i386"], False, (), ())
    first = Job(kernel, machine, folder / "image", folder / "vmlinuz", qemu.RunDirectory(folder), 5)
    return [first, pair.peer(first, expanded(folder), {"x": b"x"})]


def failed(step: int, reason: str, verdict: Verdict = Verdict.FAILED, **more: object) -> Judgement:
    return replace(Judgement(verdict, reason, step), **more)


LET_GO = Ended("lost", "the other guest was lost")


def told(folder: Path, *judgements: Judgement) -> list[pair.Told]:
    """A guest whose reason is `let go` was ended for the other's sake."""
    ways = [expanded(folder).of_guest(role) for role in pair.ROLES]
    return [
        pair.told(way, LET_GO if judgement.reason == "let go" else None, judgement, NOTHING, b"")
        for way, judgement in zip(ways, judgements, strict=True)
    ]


class Backend:
    """Ends guests as it is told; one that is to wait does so until it is stopped."""

    name = "stand-in"

    def __init__(self, **ends: Ended | Exception | None) -> None:
        self.ends, self.unready, self.wires = ends, {}, {}
        self.both = threading.Barrier(2)

    def ready(self, job, stopped):
        return self.unready.get(job.machine.role)

    def boot(self, job, stopped):
        self.wires[job.machine.role] = job.wire
        self.both.wait(5)
        os.write(job.wire.port, job.machine.role.encode())
        assert os.read(job.wire.port, 1).decode() != job.machine.role
        end = self.ends[job.machine.role]
        if isinstance(end, Exception):
            raise end
        while end is None:
            if stopped():
                return Ended("lost", "the lab was stopped")
            time.sleep(0.01)
        return end

    def forget(self):
        pass


def test_the_second_guest_has_a_program_a_seed_and_a_place_of_its_own(tmp_path):
    first, second = jobs(tmp_path)
    assert second.run.path == tmp_path / "b"
    assert (second.machine.role, second.machine.seed) == ("b", 0)
    assert second.run.mode.read_text() == "5000 0 peer"
    assert program.names(second.run.program.read_bytes()) == ["steps", "x"]
    assert second.machine.devices == first.machine.devices


def test_both_end_by_themselves(tmp_path):
    backend = Backend(a=Ended("off"), b=Ended("off"))
    assert pair.boot(backend, jobs(tmp_path), lambda: False) == [Ended("off")] * 2
    opened = [backend.wires[role] for role in "ab"]
    assert len({one.port for one in opened} | {one.network for one in opened}) == 4
    for wire in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(wire.network)


def test_a_guest_whose_other_one_is_lost_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(pair, "GRACE_S", 0.05)
    gone = Ended("reset", "it panicked")
    ends = pair.boot(Backend(a=None, b=gone), jobs(tmp_path), lambda: False)
    assert ends == [LET_GO, gone]
    with pytest.raises(ValueError, match="no disk"):
        pair.boot(Backend(a=None, b=ValueError("no disk")), jobs(tmp_path), lambda: False)


def test_no_guest_is_begun_where_one_does_not_come_to_its_program(tmp_path):
    backend = Backend()
    backend.unready["b"] = Ended("reset", "no root")
    ends = pair.boot(backend, jobs(tmp_path), lambda: False)
    assert [one.detail for one in ends] == ["the other guest was lost", "no root"]
    assert not backend.wires


def test_a_lab_that_was_stopped_lost_neither(tmp_path):
    ends = pair.boot(Backend(a=None, b=None), jobs(tmp_path), lambda: True)
    assert [one.detail for one in ends] == ["the lab was stopped"] * 2


CRASH = Crash("panic", "asked to", "asked to", 1, 1)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (PASSED, PASSED, ""),
        (PASSED, failed(2, "bad"), "guest b: bad"),
        (failed(2, "waited"), failed(2, "bad"), "guest b: bad"),
        (failed(1, "bad"), failed(1, "waited"), "guest a: bad"),
        (failed(3, "no match"), PASSED, "guest a: no match"),
        (failed(2, "let go", Verdict.BROKEN), failed(2, "panic", crash=CRASH), "guest b: panic"),
        (failed(2, "starved", Verdict.BROKEN), failed(2, "panic", crash=CRASH), "guest b: panic"),
        (failed(2, "starved", Verdict.BROKEN), failed(2, "hung", Verdict.CRASHED), "guest b: hung"),
        (failed(2, "starved", Verdict.BROKEN), failed(1, "no answer"), "guest a: starved"),
        (failed(1, "no answer"), failed(2, "starved", Verdict.BROKEN), "guest b: starved"),
        (failed(1, "bad"), failed(2, "panic", Verdict.CRASHED, crash=CRASH), "guest b: panic"),
        (failed(2, "let go", Verdict.BROKEN), failed(2, "bad"), "guest b: bad"),
        (failed(3, "late"), failed(2, "early"), "guest b: early"),
        (failed(2, "stopped", Verdict.BROKEN), PASSED, "guest a: stopped"),
    ],
)
def test_what_went_wrong_itself_comes_before_what_waited_for_it(tmp_path, first, second, reason):
    guests = told(tmp_path, first, second)
    assert pair.judged(guests).reason == reason
    assert "ab"[pair.decided(guests)] == (reason.removeprefix("guest ")[:1] or "a")


def test_two_guests_as_one_run_are_told_by_the_one_that_decided(tmp_path):
    """Its end and its memory images are the run's, for they are what is looked at."""
    gone = Ended("reset", "it panicked")
    way, crashed = expanded(tmp_path), failed(2, "panic", Verdict.CRASHED, crash=CRASH)

    def one(guest, job, ended):
        return pair.told(guest, ended, crashed if ended is gone else PASSED, NOTHING, b"")

    backend = Backend(a=Ended("off"), b=gone)
    made = pair.both(backend, way, jobs(tmp_path), lambda: False, one)
    assert (made.role, made.ended, made.judgement.crash) == ("b", gone, CRASH)
    assert [step["on"] for step in made.steps] == ["a", "b", "a"]
    backend = Backend(a=Ended("off"), b=Ended("off"))
    assert pair.both(backend, way, jobs(tmp_path), lambda: False, one).role == "a"


def test_each_step_is_told_as_its_own_guest_has_it(tmp_path):
    steps = pair.steps(told(tmp_path, failed(2, "waited"), failed(2, "bad")))
    assert [(step["on"], step["verb"]) for step in steps] == [
        ("a", "run"), ("b", "run"), ("a", "console"),
    ]  # fmt: skip
    assert [step["state"] for step in steps] == ["not reached", "failed", "not reached"]


@pytest.mark.parametrize("armed", [True, False])
def test_a_paced_guest_does_not_sleep_until_a_time_of_its_snapshot_s_qemu(tmp_path, armed):
    timer = b"\x05timer\0\0\0\0\0\0\0\2" + bytes(16) + (25_407_487_659).to_bytes(8, "big")
    warp = b"\x05\x17timer/icount/warp_timer\0\0\0\1" + bytes(range(16)) + b"\x7e"
    state = tmp_path / "state"
    state.write_bytes(b"x" * 100 + timer + (warp if armed else b"\x7e"))
    handover.pace(state)
    wanted = warp.replace(bytes(range(16)), b"\xff" * 16) if armed else b"\x7e"
    assert state.read_bytes() == b"x" * 100 + timer[:-8] + bytes(8) + wanted


WAITS = """\
name: case
about: a case
network: pair
devices: [e1000]
steps:
  - run: one
    output: fine
  - run: two
    on: b
  - expect_crash: {kind: panic}
    on: b
"""
LOST = LET_GO
DONE = StepResult("run", "one", "passed", 0, 1.0, 1, "fine", (0, 0), {})


@pytest.mark.parametrize(
    ("results", "console", "verdict"),
    [
        ((DONE,), b"", Verdict.PASSED),
        ((replace(DONE, output="bad"),), b"", Verdict.FAILED),
        ((replace(DONE, outcome=1),), b"", Verdict.FAILED),
        ((DONE,), b"[    1.0] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n", Verdict.CRASHED),
        ((), b"", Verdict.BROKEN),  # it had not done its own
    ],
)
def test_who_waited_for_a_crash_that_came_is_judged_by_what_it_did(
    tmp_path, results, console, verdict
):
    (tmp_path / "case.yaml").write_text(WAITS)
    (way,) = expand(load(tmp_path / "case.yaml", Known()))
    both = jobs(tmp_path)
    both[0].run.console.write_bytes(console)
    found = Results("6.1.0-50-686", results, len(results) + 1, "the results end early")

    def one(guest, job, ended):
        if ended is LOST:
            told = found, Judgement(Verdict.BROKEN, "the lab was stopped", 2)
        else:
            told = NOTHING, replace(PASSED, crash=CRASH)
        return pair.told(guest, ended, told[1], told[0], b"")

    backend = Backend(a=LOST, b=Ended("reset", "it panicked"))
    made = pair.both(backend, way, both, lambda: False, one)
    assert made.judgement.verdict is verdict
    assert made.judgement.reason.startswith("guest a: " if verdict is not Verdict.PASSED else "")


def test_who_was_ended_though_no_crash_was_wanted_is_not_let_go(tmp_path):
    def one(guest, job, ended):
        lost = Judgement(Verdict.BROKEN, "the lab was stopped")
        return pair.told(guest, ended, lost if ended is LOST else PASSED, NOTHING, b"")

    backend = Backend(a=LOST, b=Ended("off"))
    made = pair.both(backend, expanded(tmp_path), jobs(tmp_path), lambda: False, one)
    assert made.judgement.verdict is Verdict.BROKEN
