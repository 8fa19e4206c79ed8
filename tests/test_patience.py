import os
import signal
import subprocess
import sys
import time

import pytest

from vmlab.guest import launch, patience
from vmlab.guest.patience import Patience, used_s


class Host:
    """A clock and a process's CPU time that the test moves."""

    def __init__(self, monkeypatch) -> None:
        self.now = self.used = 0.0
        self.state = "R"
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(patience, "used_s", lambda pid: (self.used, self.state))

    def again(self) -> "Host":
        self.now = self.used = 0.0
        return self

    def passes(self, wall: float, used: float) -> None:
        self.now += wall
        self.used += used


@pytest.fixture
def host(monkeypatch) -> Host:
    return Host(monkeypatch)


def ends(host: Host, one: Patience, share: float) -> "tuple[float, patience.End]":
    """When it is over for a guest that gets this share of a CPU, and why."""
    while not (over := one.over()):
        host.passes(0.5, 0.5 * share)
        assert host.now < 1000
    return host.now, over


@pytest.mark.parametrize(
    ("share", "when", "how"),
    [
        (1.0, (10, 11), "timeout"),  # it loops
        (0.5, (20, 21), "timeout"),  # it loops on half a CPU
        (0.1, (50, 51), "lost"),  # the host is too busy: nothing is known of the guest
        (0.0, (10, 12), "timeout"),  # it waits for what does not come
    ],
)
def test_the_host_s_load_is_not_held_against_a_guest(host, share, when, how):
    at, over = ends(host, Patience(1, 10), share)
    assert when[0] <= at <= when[1]
    assert over[0] == how
    assert ("run fewer guests at once" in over[1]) == (how == "lost")
    assert launch.Ended(*over).starved == (how == "lost")


def test_a_paced_guest_may_sleep_but_not_for_ever(host):
    """It is idle between what it does; the host, which is busy, has taken most of its time."""
    one = Patience(1, 10, paced=True)
    while host.now < 49:
        assert one.over() is None
        host.passes(3, 0)
        host.passes(1, 0.2)
    assert ends(host.again(), Patience(1, 10, paced=True), 0.0)[0] == 20
    assert ends(host.again(), Patience(1, 10, paced=True), 1.0)[0] == 10


def test_a_guest_that_was_busy_and_falls_idle_is_over_soon(host):
    one = Patience(1, 10)
    host.passes(10, 5)
    assert one.over() is None
    at, over = ends(host, one, 0.0)
    assert (at <= 12, over[0]) == (True, "timeout")


def test_a_process_that_was_stopped_is_told_from_a_guest_that_hangs():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        one = Patience(process.pid, 0.3)
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while not (over := one.over()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert over == ("lost", "QEMU was stopped by a signal")
    finally:
        process.kill()
        process.wait()


def test_cpu_time_is_the_process_s_own():
    began = used_s(os.getpid())[0]
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    assert 0.2 < used_s(os.getpid())[0] - began < 5
    assert used_s(0x3FFFFFFF) == (0.0, "X")
