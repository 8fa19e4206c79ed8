"""What a guest begins from is of one snapshot, whatever another process does to it meanwhile."""

import contextlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from vmlab import interactive
from vmlab.arch import ARCHES
from vmlab.guest import begin, confine, qemu
from vmlab.guest.snapshot import Snapshot


def made(folder: Path, content: bytes) -> Snapshot:
    folder.mkdir()
    snapshot = Snapshot(folder)
    for path in (snapshot.ram, snapshot.state):
        path.write_bytes(content)
    snapshot.sums.write_text("{}")
    return snapshot


@pytest.fixture
def looked_at(tmp_path) -> qemu.Memory:
    """One that was found whole, before another process comes."""
    return made(tmp_path / "one", b"first").memory()


def anew(memory: qemu.Memory) -> None:
    """As the cache does it: the directory is renamed away, another takes its place."""
    folder = memory.ram.parent
    folder.rename(folder.with_name("gone"))
    sums = made(folder, b"second").sums
    os.utime(sums, ns=(memory.made + 1, memory.made + 1))


def opened(memory: qemu.Memory) -> list[bytes]:
    return [file.read() for file in (begin.ram(memory), begin.state(memory))]


def test_both_files_are_of_the_snapshot_that_was_looked_at(looked_at):
    assert opened(looked_at) == [b"first", b"first"]
    anew(looked_at)
    for open_one in (begin.ram, begin.state):
        with pytest.raises(begin.GoneError, match="was made anew by another process meanwhile"):
            open_one(looked_at)
    assert opened(Snapshot(looked_at.ram.parent).memory()) == [b"second", b"second"]


@pytest.mark.parametrize("gone", ["one", "one/ram", "one/state", "one/sums.json"])
def test_one_that_was_taken_away_is_told(tmp_path, looked_at, gone):
    path = tmp_path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(begin.GoneError, match=r"the snapshot's (ram|state) .* is gone; run again"):
        opened(looked_at)


def test_a_state_of_one_s_own_is_as_it_is(tmp_path, looked_at):
    own = tmp_path / "state"
    own.write_bytes(b"changed")
    with begin.state(qemu.Memory(looked_at.ram, own, looked_at.made)) as file:
        assert file.read() == b"changed"


@pytest.mark.parametrize("root", [True, False])
def test_qemu_is_given_no_ram_of_another_snapshot(tmp_path, looked_at, monkeypatch, root):
    monkeypatch.setattr(confine, "root", lambda: root)
    run = qemu.RunDirectory(tmp_path)
    for path in (run.program, run.mode):
        path.write_bytes(b"x")
    boot = qemu.Boot(qemu.Machine(ARCHES["i386"]), tmp_path, tmp_path, run, memory=looked_at)
    with confine.handed(boot) as given:
        anew(looked_at)  # too late: what is open stays what it was
        assert given.boot.memory is not None
        assert given.boot.memory.ram.read_bytes() == b"first"
    monkeypatch.setattr(confine, "SEALED", confine.Sealed())  # as in another process
    with pytest.raises(begin.GoneError), confine.handed(boot):
        pass


@pytest.mark.parametrize(("gone", "begun"), [(0, 1), (1, 2), (2, 2)])
def test_a_session_is_begun_once_more_where_its_snapshot_has_gone(
    tmp_path, monkeypatch, gone, begun
):
    made = []

    @contextlib.contextmanager
    def session(boot, files):
        made.append(boot.memory.made)
        if len(made) <= gone:
            raise begin.GoneError("taken away")
        yield boot

    monkeypatch.setattr(interactive, "session", session)
    memory = SimpleNamespace(memory=lambda boot: qemu.Memory(tmp_path, tmp_path, len(made)))
    boot = qemu.Boot(qemu.Machine(ARCHES["i386"]), tmp_path, tmp_path, qemu.RunDirectory(tmp_path))
    with contextlib.suppress(begin.GoneError), interactive._begun(boot, {}, memory) as inner:
        assert inner.memory.made == gone < 2
    assert made == list(range(begun))
