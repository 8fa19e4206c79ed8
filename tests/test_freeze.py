"""A guest that is warmed is waited for until it stands."""

import pytest

from vmlab.guest import qemu
from vmlab.guest.snapshot import _until_stopped


class Deaf:
    """A monitor whose events do not come; the guest runs for so many questions."""

    def __init__(self, runs: int) -> None:
        self.runs, self.asked = runs, 0

    def pull_event(self, wait: float) -> None:
        raise TimeoutError

    def cmd(self, name: str) -> dict[str, bool]:
        self.asked += 1
        return {"running": self.asked <= self.runs}


@pytest.mark.parametrize("runs", [0, 2])
def test_a_stop_whose_event_is_lost_is_asked_for_once_the_guest_has_said_its_last(tmp_path, runs):
    run, looks = qemu.RunDirectory(tmp_path), []
    run.results.write_text("")

    def check() -> None:
        looks.append(monitor.asked)
        if len(looks) == 3:
            run.results.write_text("# frozen tsc=12\n")
        assert len(looks) < 20

    monitor = Deaf(runs)
    _until_stopped(monitor, run, check)
    assert looks[:3] == [0, 0, 0] and monitor.asked == runs + 1
