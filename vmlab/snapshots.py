"""Snapshots in the cache: made by one cold boot, checked once by each process that uses them."""

import shutil
import subprocess
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

from vmlab import bootable
from vmlab.cache import Cache, content_key
from vmlab.errors import LabError
from vmlab.guest import devices, qemu, snapshot
from vmlab.guest.snapshot import BootError, Snapshot, SnapshotError

KIND = "snapshots"
_ELF = b"\x7fELF"


class Snapshots:
    """Gives each guest what it may begin from. Safe to use from several threads."""

    def __init__(self, cache: Cache, say: Callable[[str], None]) -> None:
        self._cache = cache
        self._say = say
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._checked: dict[str, qemu.Memory] = {}
        self._without: set[str] = set()
        self._failed: dict[str, BootError] = {}

    def memory(
        self, boot: qemu.Boot, stopped: Callable[[], bool] = lambda: False
    ) -> qemu.Memory | None:
        """What this guest begins from, None where it must boot cold; `say` is told why.

        Raises BootError where a guest does not come to its program, and tries only once.
        """
        if boot.machine.clock != "virtual" or not devices.frozen(boot.machine.devices):
            return None
        if devices.forgotten(boot.machine.devices) and not bootable.finds_anew(boot.kernel):
            return None
        key = name(boot)
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key in self._failed:
                raise self._failed[key]
            if key in self._checked and not _as_it_was(self._checked[key]):
                del self._checked[key]
            if key not in self._checked and key not in self._without:
                self._try(key, boot, stopped)
            return self._checked.get(key)

    def _try(self, key: str, boot: qemu.Boot, stopped: Callable[[], bool]) -> None:
        try:
            self._checked[key] = self._whole(key, boot, stopped).memory()
        except BootError as error:
            self._failed[key] = error
            raise
        except LabError as error:
            self._without.add(key)
            if not stopped():
                self._say(f"booting cold: {error}")

    def discard(self, memory: qemu.Memory, reason: str) -> None:
        """Takes a snapshot that a guest could not begin from out of the cache.

        One that was made anew since that guest began stays.
        """
        key = memory.ram.parent.name
        with self._guard:
            if self._checked.get(key, memory) != memory:
                return
            self._checked.pop(key, None)
        self._say(f"snapshot {key} is made anew: {reason}")
        self._remove(memory.ram.parent, memory.made)

    def forget(self) -> None:
        """Takes the snapshots that were used out of the cache."""
        with self._guard:
            gone = list(self._checked.values())
            self._checked.clear()
        for memory in gone:
            self._remove(memory.ram.parent, memory.made)

    def _remove(self, directory: Path, made: int) -> None:
        """Takes one away unless another process has made it anew since."""
        self._cache.remove(KIND, directory.name, lambda path: Snapshot(path).made() in (0, made))

    def _whole(self, key: str, boot: qemu.Boot, stopped: Callable[[], bool]) -> Snapshot:
        found = self._get(key, boot, stopped)
        made = found.made()
        try:
            found.check()
        except SnapshotError as error:
            self._say(f"made anew: {error}")
            self._remove(found.directory, made)
            found = self._get(key, boot, stopped)
            found.check()
        return found

    def _get(self, key: str, boot: qemu.Boot, stopped: Callable[[], bool]) -> Snapshot:
        def make(directory: Path) -> None:
            self._say(f"warming a snapshot of {boot.kernel.name} ({boot.machine.memory_mib} MiB)")
            snapshot.warm(boot, directory, stopped)

        return Snapshot(self._cache.get(KIND, key, make))


def _as_it_was(memory: qemu.Memory) -> bool:
    """Whether it is the one that was found whole, and no other under its name."""
    found = Snapshot(memory.ram.parent)
    return found.made() == memory.made and found.untouched()


def name(boot: qemu.Boot) -> str:
    """The kernel, and the hash of all that a snapshot depends on."""
    machine = boot.machine
    parts = (
        qemu_identity(boot.runs_in.program),
        *(str(path.parent.name) + path.name for path in (boot.kernel.parent, boot.initramfs)),
        boot.kernel.name, *qemu.recipe(machine), str(snapshot.FORMAT), str(snapshot.MARGIN_NS),
        *([] if qemu.append(boot) == boot.append else [qemu.append(boot)]),
    )  # fmt: skip
    return f"{boot.kernel.name}-{content_key(*parts)}"


@cache
def qemu_identity(program: str) -> str:
    """Which QEMU this is: its words, and its file's size and time."""
    where = shutil.which(program)
    if where is None:
        return "none"
    about = Path(where).resolve().stat()
    return f"{qemu_version(program)} {about.st_size} {about.st_mtime_ns}"


@cache
def qemu_version(program: str) -> str:
    """The first line that QEMU says of itself; `none` where it is not here.

    A program that is the same file is not asked again: its start takes as long as a guest's. A
    script is: what it starts may have changed.
    """
    where = shutil.which(program)
    if where is None:
        return "none"
    path = Path(where).resolve()
    with path.open("rb") as file:
        if file.read(len(_ELF)) != _ELF:
            return _said(where)
    about = path.stat()
    key = content_key(where, *map(str, (about.st_ino, about.st_size, about.st_mtime_ns)))

    def make(directory: Path) -> None:
        said = _said(where)
        if not said:
            raise LabError(f"{where} --version says nothing")
        (directory / "version").write_text(said)

    try:
        return (Cache.default().get("probes", f"qemu-{key}", make) / "version").read_text()
    except (LabError, OSError):  # nothing that can be remembered, or nowhere to
        return _said(where)


def _said(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0]
