"""A worker's inputs, each in a directory named by the hash of what it holds."""

import hashlib
import threading
from pathlib import Path

from vmlab import bootable
from vmlab.cache import Cache
from vmlab.cluster.order import File
from vmlab.errors import LabError

KIND = "cluster"


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def digest_of(path: Path) -> str:
    return digest(path.read_bytes())


class Content:
    """Kept in the worker's cache, for later commands too. Safe to use from several threads."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._guard = threading.Lock()
        self._checked: dict[Path, tuple[int, int]] = {}

    def missing(self, files: tuple[File, ...]) -> tuple[str, ...]:
        """The digests of those that are not here; one that is damaged is taken away."""
        return tuple(file.digest for file in files if not self._whole(file))

    def put(self, file: File, data: bytes) -> None:
        """Raises LabError where the data is not what the hash says."""
        if (found := digest(data)) != file.digest:
            raise LabError(f"{file.name} came with another content: {found}, not {file.digest}")

        def make(directory: Path) -> None:
            (directory / file.name).write_bytes(data)
            bootable.note(directory / file.name)

        self._cache.get(KIND, _key(file), make)

    def path(self, file: File) -> Path:
        return self._cache.root / KIND / _key(file) / file.name

    def _whole(self, file: File) -> bool:
        """Read through when it is first used, and again when it looks changed."""
        path = self.path(file)
        with self._guard:
            if not path.is_file():
                return False
            about = path.stat()
            seen = about.st_size, about.st_mtime_ns
            if self._checked.get(path) == seen:
                return True
            if digest_of(path) != file.digest:
                self._cache.remove(KIND, _key(file))
                return False
            self._checked[path] = seen
            return True


def _key(file: File) -> str:
    return f"{file.name}-{file.digest}"
