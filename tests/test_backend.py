"""What becomes of a guest that is lost before it began."""

import io
from pathlib import Path

import pytest
import stand_in

from vmlab import backend
from vmlab.arch import ARCHES
from vmlab.backend import Job, QemuBackend
from vmlab.catalog import Kernel
from vmlab.errors import LabError
from vmlab.guest import qemu
from vmlab.guest.launch import Ended
from vmlab.guest.patience import STARVED


class Stub:
    """Snapshots that are told which to throw away."""

    def __init__(self) -> None:
        self.made, self.reasons = 1, []

    def memory(self, boot, stopped) -> qemu.Memory:
        return qemu.Memory(Path("ram"), Path("state"), self.made)

    def discard(self, memory: qemu.Memory, reason: str) -> None:
        assert memory.state == Path("state")  # the snapshot's, not a copy that a guest has
        self.made += 1
        self.reasons.append(reason)


STARVING = f"{STARVED} 1 s of CPU time in 300 s"


@pytest.mark.parametrize(
    ("ends", "said", "reasons", "from_"),
    [
        ([Ended("off")], b"begun", [], [1]),
        ([Ended("lost", "killed"), Ended("off")], b"", ["killed"], [1, 2]),
        ([Ended("lost", "killed")] * 2, b"", ["killed"], [1, 2]),
        ([Ended("lost", "killed")], b"begun", [], [1]),
        ([Ended("lost", STARVING), Ended("off")], b"", [], [1, 1]),
    ],
    ids=["no", "once", "twice", "begun", "starved"],
)
def test_it_is_run_once_more_and_a_snapshot_that_may_be_bad_is_made_anew(
    tmp_path, monkeypatch, ends, said, reasons, from_
):
    files = qemu.RunDirectory(tmp_path)
    began = []

    def run(boot, *_) -> Ended:
        began.append(boot.memory.made)
        files.results.write_bytes(said)
        return ends[len(began) - 1]

    monkeypatch.setattr(backend.launch, "run", run)
    job = job_of(qemu.Machine(ARCHES["i386"]), tmp_path)
    snapshots = Stub()
    ended = QemuBackend(snapshots).boot(job, lambda: False)
    assert (ended.how, ended.restored) == (ends[-1].how, True)
    assert (snapshots.reasons, began) == (reasons, from_)


def job_of(machine: qemu.Machine, folder: Path) -> Job:
    kernel = Kernel(stand_in.KERNEL, machine.arch, True, (), ())
    return Job(kernel, machine, folder, folder, qemu.RunDirectory(folder), 60.0)


def test_a_paced_guest_has_a_state_of_its_own_each_time_and_leaves_none(tmp_path, monkeypatch):
    """What a device does in the host's time is waited for at that pace, the second time too."""
    states, ends = [], [Ended("lost", "killed"), Ended("off")]
    monkeypatch.setattr(backend.begin, "state", lambda memory: io.BytesIO(b"of the snapshot"))
    monkeypatch.setattr(backend.handover, "pace", lambda state: state.write_bytes(b"paced"))

    def run(boot, *_) -> Ended:
        states.append((boot.memory.made, boot.memory.state.read_bytes()))
        return ends[len(states) - 1]

    monkeypatch.setattr(backend.launch, "run", run)
    snapshots = Stub()
    job = job_of(qemu.Machine(ARCHES["i386"], devices=("edu",)), tmp_path)
    assert QemuBackend(snapshots).boot(job, lambda: False).how == "off"
    assert (snapshots.reasons, states) == (["killed"], [(1, b"paced"), (2, b"paced")])
    assert not (tmp_path / "state").exists()


def test_a_guest_that_cannot_be_begun_leaves_no_state(tmp_path, monkeypatch):
    monkeypatch.setattr(backend.begin, "state", lambda memory: io.BytesIO(b"of the snapshot"))
    monkeypatch.setattr(backend.handover, "pace", lambda state: None)

    def run(*_) -> Ended:
        raise LabError("no QEMU")

    monkeypatch.setattr(backend.launch, "run", run)
    job = job_of(qemu.Machine(ARCHES["i386"], devices=("edu",)), tmp_path)
    with pytest.raises(LabError, match="no QEMU"):
        QemuBackend(Stub()).boot(job, lambda: False)
    assert not (tmp_path / "state").exists()
