"""What becomes of a guest that is lost before it began."""

from pathlib import Path

import pytest
import stand_in

from vmlab import backend
from vmlab.arch import ARCHES
from vmlab.backend import Job, QemuBackend
from vmlab.catalog import Kernel
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
    arch = ARCHES["i386"]
    job = Job(
        Kernel(stand_in.KERNEL, arch, True, (), ()), qemu.Machine(arch), tmp_path, tmp_path, files,
        60.0,
    )  # fmt: skip
    snapshots = Stub()
    ended = QemuBackend(snapshots).boot(job, lambda: False)
    assert (ended.how, ended.restored) == (ends[-1].how, True)
    assert (snapshots.reasons, began) == (reasons, from_)
