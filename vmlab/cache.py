"""Directories made once from named inputs and shared by every vmlab process of a user."""

import contextlib
import errno
import glob
import hashlib
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import platformdirs

from vmlab.errors import LabError

if TYPE_CHECKING:
    import filelock  # and where there is something to make

ENVIRONMENT = "VMLAB_CACHE"
_MAKING = ".making-"
_LOCK = ".lock"
_LOOK_S = 0.3
"""How often who waits for a lock looks whether it is to go."""
_PATIENT_S = 2.0
"""How long it waits before it says so, seconds."""


@dataclass(frozen=True)
class Entry:
    """One directory of the cache."""

    kind: str
    key: str
    path: Path
    size: int  # bytes on disk
    used: float  # when it was last asked for, seconds since the epoch
    whole: bool = True  # else half-made: under way, or left by a maker that was killed


class Cache:
    """A directory of directories: `root/kind/key`, each made whole or not there.

    A directory is made beside its place, under a lock, and renamed into it; a maker that is killed
    leaves only a directory that the next one removes. One key never changes content.
    """

    _held: ClassVar[set[Path]] = set()
    """The locks that threads of this process have now."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.say: Callable[[str], None] = lambda line: None
        """Is told what is waited for."""
        self._ends = 0

    @classmethod
    def default(cls) -> "Cache":
        """The directory of VMLAB_CACHE, else the user's cache directory.

        By its real name, which is the one that compilers write down and that is mapped away.
        """
        chosen = os.environ.get(ENVIRONMENT)
        return cls((Path(chosen) if chosen else platformdirs.user_cache_path("vmlab")).resolve())

    def find(self, kind: str, key: str) -> Path | None:
        """The finished directory, None where it is not there."""
        path = self.root / kind / key
        return path if path.is_dir() else None

    def get(self, kind: str, key: str, make: Callable[[Path], None]) -> Path:
        """The finished directory; `make` fills an empty one where it is not there yet.

        What `make` raises goes through and leaves nothing. Raises LabError where the cache cannot
        be written.
        """
        path = self.root / kind / key
        if path.is_dir():
            _touch(path)
            return path
        with _explained(self.root), self._locked(kind, key):
            if not path.is_dir():
                self._make(path, make)
        return path

    @contextlib.contextmanager
    def workspace(self, kind: str, key: str) -> Iterator[Path]:
        """A directory that one process at a time changes in place, and that a killed one leaves.

        For what checks itself and is continued: downloads, apt's indexes. Raises LabError where
        the cache cannot be written.
        """
        path = self.root / kind / key
        with _explained(self.root), self._locked(kind, key):
            path.mkdir(parents=True, exist_ok=True)
            _touch(path)
            yield path

    @contextlib.contextmanager
    def alone(self, kind: str, key: str) -> Iterator[None]:
        """Nobody else has this name for the block; nothing is made under it.

        Raises LabError where the cache cannot be written.
        """
        with _explained(self.root), self._locked(kind, key):
            yield

    def entries(self) -> list[Entry]:
        """What is finished, by kind and key."""
        paths = sorted(self.root.glob("*/[!.]*"))
        return [_entry(path, path.name) for path in paths if path.is_dir()]

    def unfinished(self) -> list[Entry]:
        """What is half-made: under way now, or left by makers that were killed."""
        return [
            _entry(path, path.name.removeprefix(_MAKING).rpartition("-")[0], whole=False)
            for path in sorted(self.root.glob(f"*/{_MAKING}*"))
        ]

    def sweep(self) -> None:
        """Removes what killed makers left, and the locks' files. For who knows that nobody else is
        at work."""
        for left in self.unfinished():
            shutil.rmtree(left.path, ignore_errors=True)
        for lock in set(self.root.glob(f"*/.*{_LOCK}")) - self._held:
            lock.unlink(missing_ok=True)

    def prune(self, older_s: float | None, dry_run: bool) -> list[Entry]:
        """Removes what was not used for `older_s` seconds, everything for None; returns it.

        What killed makers left goes too, whatever its age.
        """
        limit = math.inf if older_s is None else time.time() - older_s
        old = [entry for entry in self.entries() if entry.used < limit]
        gone = old if dry_run else [entry for entry in old if self._pruned(entry, limit)]
        return gone + [left for left in self.unfinished() if self._swept(left, dry_run)]

    def _pruned(self, entry: Entry, limit: float) -> bool:
        """Whether it went: under its lock, for it may have been used or made anew meanwhile."""
        with _explained(self.root), self._locked(entry.kind, entry.key):
            if _used(entry.path) >= limit:
                return False
            self._remove(entry.path)
        return True

    def _swept(self, left: Entry, dry_run: bool) -> bool:
        """Whether it went, or would: its maker lives as long as somebody has the lock."""
        import filelock

        with _explained(self.root), contextlib.suppress(filelock.Timeout):
            with self._lock(left.kind, left.key).acquire(timeout=0):
                if not dry_run:
                    shutil.rmtree(left.path, ignore_errors=True)
            return True
        return False

    def remove(
        self, kind: str, key: str, really: Callable[[Path], bool] = lambda path: True
    ) -> None:
        """Takes one directory away; whoever has its files open keeps them.

        `really` is asked under the lock: one that was made anew meanwhile may stay.
        """
        path = self.root / kind / key
        with _explained(self.root), self._locked(kind, key):
            if really(path):
                self._remove(path)

    def _make(self, path: Path, make: Callable[[Path], None]) -> None:
        self._sweep(path)
        making = Path(tempfile.mkdtemp(prefix=f"{_MAKING}{path.name}-", dir=path.parent))
        making.chmod(0o755)
        try:
            make(making)
            making.rename(path)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        _touch(path)

    def _sweep(self, path: Path) -> None:
        """Removes what killed makers of the same key left; the lock says that they are dead."""
        for left in path.parent.glob(f"{_MAKING}{glob.escape(path.name)}-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _remove(self, path: Path) -> None:
        """Out of its place first, so that nobody takes half of it as whole."""
        away = Path(tempfile.mkdtemp(prefix=f"{_MAKING}{path.name}-", dir=path.parent))
        with contextlib.suppress(FileNotFoundError):
            path.rename(away / "gone")
        shutil.rmtree(away, ignore_errors=True)

    def end_waits(self) -> None:
        """Lets those go, with a LabError, who wait now for what another process makes."""
        self._ends += 1

    @contextlib.contextmanager
    def _locked(self, kind: str, key: str) -> Iterator[None]:
        """Has a key's lock for the block. Raises LabError where `end_waits` came before that."""
        import filelock

        lock, ends, began, said = self._lock(kind, key), self._ends, time.monotonic(), False
        place = Path(lock.lock_file)
        while True:
            with contextlib.suppress(filelock.Timeout):
                lock.acquire(timeout=_LOOK_S)
                break
            if self._ends != ends:
                raise LabError("the lab was stopped")
            waited = time.monotonic() - began
            if waited > _PATIENT_S and not said and place not in self._held:
                self.say(f"waiting for another vmlab, which is making {kind}/{key}")
                said = True
        self._held.add(place)
        try:
            yield
        finally:
            self._held.discard(place)
            lock.release()

    def _lock(self, kind: str, key: str) -> "filelock.BaseFileLock":
        import filelock

        folder = self.root / kind
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / f".{key}{_LOCK}")


def content_key(*parts: bytes | str) -> str:
    """16 hexadecimal digits that name these inputs; their order and borders count."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()[:16]


_NEXT_STEP = {
    errno.EROFS: f"make it writable, or name another directory in {ENVIRONMENT}",
    errno.EACCES: f"make it writable, or name another directory in {ENVIRONMENT}",
    errno.EPERM: f"make it writable, or name another directory in {ENVIRONMENT}",
    errno.ENOSPC: f"free some space (`vmlab cache prune`), or name another disk in {ENVIRONMENT}",
    errno.EDQUOT: f"free some space (`vmlab cache prune`), or name another disk in {ENVIRONMENT}",
    errno.ENOTDIR: f"name a directory in {ENVIRONMENT}",
}


def linked(source: str, target: str) -> str:
    """A second name for a file that never changes; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@contextlib.contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        step = _NEXT_STEP.get(error.errno or 0)
        if step is None:
            raise
        found = os.strerror(error.errno or 0).lower()
        raise LabError(f"writing the cache {root}: {found}; {step}") from error


def _touch(path: Path) -> None:
    """Notes the use; a cache that cannot be written serves all the same."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _entry(path: Path, key: str, whole: bool = True) -> Entry:
    return Entry(path.parent.name, key, path, _size(path), _used(path), whole)


def _used(path: Path) -> float:
    """When it was last asked for, seconds since the epoch; never, where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
