"""Boots guests on a cluster's workers: to the runner it is a backend like the others."""

import contextlib
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from vmlab.backend import Job
from vmlab.cluster import content, work
from vmlab.cluster.crew import Crew
from vmlab.cluster.order import Answer, Done, File, Missing, Order, Refused, recipe_key
from vmlab.errors import LabError
from vmlab.guest.launch import Ended
from vmlab.snapshots import qemu_version

TRIES = 3
"""How often a run is given to workers that have trouble, or die with it."""
_ROUNDS = 1000  # of answers that ask for inputs; each worker asks once
_LOOK_S = 0.2


class ClusterBackend:
    """Direct kernel boot somewhere else. Safe to use from several threads."""

    name = "qemu"

    def __init__(
        self, crew: Crew, snapshot: bool, run: Callable[[Order], Answer] = work.run
    ) -> None:
        self.crew = crew
        self._snapshot = snapshot
        self._run = run  # what a worker does

    @property
    def at_once(self) -> int:
        """Guests that keep all workers busy: while some are judged here, others are under way."""
        return max(4, 2 * self.crew.threads)

    def boot(self, job: Job, stopped: Callable[[], bool]) -> Ended:
        order = self._order(job)
        troubles: list[str] = []
        for _ in range(_ROUNDS):
            began = time.monotonic()
            answer = self._asked(replace(order, key=f"vmlab-{uuid.uuid4().hex}"), stopped)
            if stopped():
                return Ended("lost", "the lab was stopped")
            match answer:
                case None:
                    time.sleep(_LOOK_S)  # the worker is gone, and that may not be known yet
                case Missing():
                    self._send(job, order, answer, began)
                case Refused(for_good=True):
                    self.crew.refuse(answer)
                case Done() if answer.how != "lost" or troubles:
                    return _taken(answer, job)
                case Done() | Refused():
                    troubles.append(_trouble(answer))
            if len(troubles) >= TRIES:
                break
        raise LabError("no worker could run it: " + "; ".join(dict.fromkeys(troubles)))

    def forget(self) -> None:
        self.crew.client.run(work.forget)

    def close(self) -> None:
        self.crew.client.close()

    def _order(self, job: Job) -> Order:
        files = job.run
        return Order(
            key="", kernel=job.kernel.id, release=job.kernel.release, machine=job.machine,
            vmlinuz=File(job.vmlinuz.name, _digest(job.vmlinuz)),
            image=File(job.image.name, _digest(job.image)),
            program=File(files.program.name, content.digest_of(files.program)),
            mode=files.mode.read_bytes(), timeout_s=job.timeout_s, flood=job.flood,
            snapshot=self._snapshot, qemu=qemu_version(job.runs_in.program),
            recipe=recipe_key(job.machine),
        )  # fmt: skip

    def _asked(self, order: Order, stopped: Callable[[], bool]) -> Answer | None:
        """A worker's answer; None where the run must be given away once more, or is stopped."""
        wanted = self.crew.restricted()
        client: Any = self.crew.client
        future = client.submit(self._run, order, key=order.key, workers=wanted, pure=False)
        with _released(future):
            ended = threading.Event()
            future.add_done_callback(lambda _: ended.set())
            while not ended.wait(_LOOK_S):
                if stopped():
                    return None
                here = {one.address for one in self.crew.allowed()}
                if wanted is not None and here.isdisjoint(wanted):
                    return None
            return self._result(future, order)

    def _result(self, future: Any, order: Order) -> Answer | None:
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            answer: Answer = future.result()
        except KilledWorker as error:
            name = error.last_worker.name
            raise LabError(f"workers died with this run, the last of them {name}") from error
        except FutureCancelledError:
            self.crew.workers()  # says so where the scheduler is gone
            return None
        except (OSError, TimeoutError):
            return None  # it died while it answered
        except Exception as error:  # of Dask, or of a vmlab that is not this one
            said = f"{type(error).__name__}: {error}"
            raise LabError(f"a worker could not take the run: {said}") from error
        return answer

    def _send(self, job: Job, order: Order, missing: Missing, since: float) -> None:
        paths = dict(zip(order.files, (job.vmlinuz, job.image, job.run.program), strict=True))
        for file, path in paths.items():
            if file.digest in missing.digests:
                put = partial(self._put, missing.address, file, path)
                self.crew.upload(missing.address, file.digest, since, put)

    def _put(self, address: str, file: File, path: Path) -> None:
        """A worker that dies meanwhile asks no more."""
        with contextlib.suppress(OSError, TimeoutError, KeyError):
            said = self.crew.client.run(work.put, file, path.read_bytes(), workers=[address])
            if wrong := said.get(address):
                raise LabError(f"sending {path} to {address}: {wrong}")


def _trouble(answer: Done | Refused) -> str:
    said = answer.detail if isinstance(answer, Done) else answer.why
    return f"worker {answer.worker}: {said}"


def _taken(done: Done, job: Job) -> Ended:
    """Leaves the guest's files where a guest here would have."""
    for name, packed in done.files.items():
        (job.run.path / name).write_bytes(zlib.decompress(packed))
    return Ended(done.how, done.detail, done.restored, worker=done.worker)


@contextlib.contextmanager
def _released(future: Any) -> Iterator[None]:
    """What nobody waits for any more is taken from the workers."""
    try:
        yield
    finally:
        if not future.done():
            future.cancel()
        future.release()


def _digest(path: Path) -> str:
    """Of a file in the cache, which never changes its content under one name."""
    about = path.stat()
    return _once(path, about.st_size, about.st_mtime_ns)


@cache
def _once(path: Path, size: int, time_ns: int) -> str:
    return content.digest_of(path)
