"""A project whose kernels and images are not there, for runs whose guests are stand-ins."""

import os
import threading
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import execute
from vmlab.lab import load
from vmlab.project import Project, Settings
from vmlab.runner import Run, Runner

KERNEL = "6.1.0-50-686"
STEPS = """
  - write: /dev/kmsg hello
  - console: hello
"""


class StandInCatalog(Catalog):
    def obtain(self, kernel):
        return kernel

    def image(self, kernel):
        return nothing(self.cache)


class StandInArtifacts(Artifacts):
    def image(self, arch):
        return nothing(self.cache)


def share_of_cores() -> int:
    """How many guests a test may run at once: the workers of pytest-xdist divide the cores."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)))


def nothing(cache: Cache) -> Path:
    """A file that stands for a kernel and for an image."""
    file = cache.root / "stand-in"
    cache.root.mkdir(exist_ok=True)
    if not file.exists():  # several threads read it
        made = file.with_name(f"stand-in-{threading.get_ident()}")
        made.write_text("no kernel, no image")
        made.rename(file)
    return file


def artifacts(folder: Path) -> Artifacts:
    cache = Cache(folder / "cache")
    return StandInArtifacts(cache, StandInCatalog.open(cache))


def runs(
    folder: Path,
    made: Artifacts,
    backend,
    timeout_s: float = 20,
    steps: str = STEPS,
    kernel_id: str = KERNEL,
):
    """Runs one scenario on one kernel; an iterator, as the executor gives it."""
    (folder / "scenarios").mkdir(exist_ok=True)
    text = f"name: one\nabout: x\ntimeout: {timeout_s * 1000:.0f}ms\nsteps:{steps}"
    (folder / "scenarios" / "one.yaml").write_text(text)
    project = Project(folder, Settings())
    runner = Runner(project, made, backend)
    kernel = made.catalog.obtain(made.catalog.select(kernel_id)[0])
    pairs = [(one, kernel) for one in load(project, made.catalog, [], [])]
    return execute(runner, pairs, 1, lambda pair: None)


def run(*arguments) -> Run:
    """The one run, see `runs`."""
    return next(iter(runs(*arguments)))
