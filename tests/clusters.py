"""A cluster of processes on this machine, whose guests are stand-ins."""

import os
import subprocess
import sys
import time
from pathlib import Path

import stand_in

from vmlab.cluster.backend import ClusterBackend
from vmlab.cluster.crew import Crew, connect
from vmlab.executor import each
from vmlab.lab import load
from vmlab.project import Project, Settings
from vmlab.runner import Run, Runner

# As the tests have it, the stand-in is no other user's to run.
WORKER = """
import os, sys
from vmlab.guest import confine
if os.environ.get("VMLAB_FAKE_CLUSTER"):
    confine.root = lambda: False
from vmlab.cli import main
main()
"""


class Cluster:
    """A scheduler with workers; all of them end with it."""

    def __init__(self, folder: Path, fake: bool = True, **environment: str) -> None:
        self.folder = folder
        self.environment = environment | ({"VMLAB_FAKE_CLUSTER": "1"} if fake else {})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.crews: list[Crew] = []
        self.file = folder / "scheduler.json"
        self._start(
            "scheduler", {}, "-m", "distributed.cli.dask_scheduler", "--no-dashboard",
            "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(self.file),
        )  # fmt: skip
        wait(lambda: self.file.exists() and b'"address"' in self.file.read_bytes())
        self.address = self.file.read_text().split('"address": "')[1].split('"')[0]

    def _start(self, name: str, environment: dict[str, str], *words: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words], env=os.environ | self.environment | environment,
                stdout=log, stderr=subprocess.STDOUT, cwd=self.folder,
            )  # fmt: skip

    def worker(self, name: str, jobs: int = 2, **environment: str) -> Path:
        """Starts one with a cache of its own, which is returned."""
        cache = self.folder / f"cache-{name}"
        known = {"VMLAB_CACHE": str(cache)} | environment
        words = ("worker", self.address, "--name", name, "-j", str(jobs))
        self._start(name, known, "-c", WORKER, *words)
        return cache

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def crew(self, say=lambda line: None, workers: int = 0) -> Crew:
        """A connection, once so many workers are there."""
        made = connect(self.address, say)
        self.crews.append(made)
        if workers:
            made.client.wait_for_workers(workers, timeout=60)
        return made

    def end_workers(self) -> None:
        for crew in self.crews:
            crew.client.close()
        self.crews.clear()
        for name in [name for name in self.processes if name != "scheduler"]:
            self.kill(name)
            del self.processes[name]

    def close(self) -> None:
        self.end_workers()
        self.kill("scheduler")


def die(order) -> None:
    """In the place of a guest that takes its worker with it."""
    os._exit(1)


def wait(condition, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


def runner(folder: Path, crew: Crew | None, backend=None) -> Runner:
    """Of a project whose guests run on the cluster, or where the backend says."""
    folder.mkdir(exist_ok=True)
    made = stand_in.artifacts(folder)
    return Runner(Project(folder, Settings()), made, backend or ClusterBackend(crew, False))


def runs(made: Runner, count: int, command: str = "sleep 0.2", jobs: int = 8, seen=None):
    """As many runs as that, which differ in what their guests say; yields them as they end."""
    scenarios = made.project.root / "scenarios"
    scenarios.mkdir(exist_ok=True)
    numbers = ", ".join(str(number) for number in range(count))
    (scenarios / "many.yaml").write_text(
        f"name: many\nabout: x\ntimeout: 20s\nparameters:\n  n: [{numbers}]\nsteps:\n"
        f"  - run: '{command}; echo said {{n}}'\n    output: said {{n}}\n"
        "  - write: /dev/kmsg number {n}\n  - console: number {n}\n"
    )
    kernel = made.catalog.select(stand_in.KERNEL)[0]
    scenarios_ = load(made.project, made.catalog, [], [])
    yield from each(
        lambda one: made.run(one, kernel), scenarios_, jobs, seen or (lambda one: None), made.stop
    )


def output(run: Run) -> tuple[str, bytes, bytes]:
    """What a run is told from others by."""
    files = (Path(run.dir) / name for name in ("console", "results"))
    return (run.scenario, *(path.read_bytes() for path in files))
