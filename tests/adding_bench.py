"""A store of kernels, and the artifacts of a process that began when it was as it is now; each
catalog has nothing but what is in that store."""

from pathlib import Path

from vmlab.adding import With, add
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog, added, pins


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = added.Store(folder / "kernels")
        self.cache = Cache(folder / "cache")
        self.said: list[str] = []

    @property
    def artifacts(self) -> Artifacts:
        catalog = Catalog(self.cache, pins.Pins((), (), ()), self.said.append)
        catalog.added = self.store.kernels()
        return Artifacts(self.cache, catalog)

    def add(self, folder: Path, name: str, **more):
        return add(self.artifacts, self.store, folder, name, With("gcc"), **more)

    @property
    def names(self) -> list[str]:
        return [one.id for one in self.store.kernels()]

    @property
    def left(self) -> list[str]:
        """All directories of the store but kernels: parts, and what is half-made."""
        places = self.store._cache.root.glob("*/*")
        return [one.name for one in places if one.is_dir() and not (one / "kernel.json").exists()]
