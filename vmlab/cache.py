"""Directories made once from named inputs and shared by every vmlab process of a user."""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock
import platformdirs

from vmlab.errors import LabError

ENVIRONMENT = "VMLAB_CACHE"
_MAKING = ".making-"
_LOCK = ".lock"


@dataclass(frozen=True)
class Entry:
    """One finished directory of the cache."""

    kind: str
    key: str
    path: Path
    size: int  # bytes on disk
    used: float  # when it was last asked for, seconds since the epoch


class Cache:
    """A directory of directories: `root/kind/key`, each made whole or not there.

    A directory is made beside its place, under a lock, and renamed into it; a maker that is killed
    leaves only a directory that the next one removes. One key never changes content.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def default(cls) -> "Cache":
        """The directory of VMLAB_CACHE, else the user's cache directory."""
        chosen = os.environ.get(ENVIRONMENT)
        return cls(Path(chosen).absolute() if chosen else platformdirs.user_cache_path("vmlab"))

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

    def entries(self) -> list[Entry]:
        """What is finished, by kind and key."""
        return [
            Entry(path.parent.name, path.name, path, _size(path), path.stat().st_mtime)
            for path in sorted(self.root.glob("*/*"))
            if path.is_dir() and not path.name.startswith(".")
        ]

    def prune(self, older_s: float | None, dry_run: bool) -> list[Entry]:
        """Removes what was not used for `older_s` seconds, everything for None; returns it."""
        limit = time.time() - (older_s or 0)
        gone = [entry for entry in self.entries() if older_s is None or entry.used < limit]
        if not dry_run:
            for entry in gone:
                with _explained(self.root), self._locked(entry.kind, entry.key):
                    self._remove(entry.path)
        return gone

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

    def _locked(self, kind: str, key: str) -> filelock.BaseFileLock:
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


def _size(path: Path) -> int:
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
    return total
