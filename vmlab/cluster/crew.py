"""The workers of a cluster, as the lab sees them: who is there, and who is not given guests."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vmlab.cluster import without_dask
from vmlab.cluster.order import Refused
from vmlab.cluster.reach import trouble
from vmlab.errors import LabError, UsageError

ANSWER_S = 10.0
"""How long a scheduler may take to answer, seconds."""
_GRACE_S = 5.0  # in which Dask says by itself that nobody does
WORKERS_S = 60.0
"""How long is waited for a worker that takes guests, seconds."""
_LOOK_S = 1.0


@dataclass(frozen=True)
class Worker:
    """One worker."""

    name: str
    address: str
    threads: int  # guests at once


class Crew:
    """Safe to use from several threads."""

    def __init__(self, client: Any, address: str, say: Callable[[str], None]) -> None:
        self.client = client
        self.address = address
        self._say = say
        self._guard = threading.Lock()
        self._refused: dict[str, Refused] = {}
        self._seen: tuple[float, dict[str, Worker]] = (-_LOOK_S, {})
        self._uploads: dict[tuple[str, str], threading.Lock] = {}
        self._uploaded: dict[tuple[str, str], float] = {}

    def workers(self) -> dict[str, Worker]:
        """By address; looked at once a second. Raises LabError where the scheduler is gone."""
        with self._guard:
            if time.monotonic() - self._seen[0] >= _LOOK_S:
                before, now = self._seen[1], self._look()
                self._seen = time.monotonic(), now
                for gone in before.keys() - now.keys():
                    self._say(f"worker {before[gone].name} is gone: its runs are given to others")
            return self._seen[1]

    def _look(self) -> dict[str, Worker]:
        if self.client.status not in ("running", "connecting"):
            raise LabError(f"the cluster at {self.address} is gone: its scheduler hung up")
        try:
            known = self.client.sync(self.client.scheduler.identity, n_workers=-1)["workers"]
        except (OSError, TimeoutError) as error:
            raise LabError(f"the cluster at {self.address} does not answer any more") from error
        return {
            address: Worker(str(one["name"]), address, int(one["nthreads"]))
            for address, one in known.items()
        }

    def allowed(self) -> list[Worker]:
        """Those that take guests; waits for one. Raises LabError where none comes."""
        until = time.monotonic() + WORKERS_S
        while True:
            here = self.workers()
            found = [one for address, one in here.items() if address not in self._refused]
            if found:
                return found
            if here or time.monotonic() > until:
                raise LabError(self._nobody(here))
            time.sleep(_LOOK_S / 2)

    def _nobody(self, here: Mapping[str, Worker]) -> str:
        if not here:
            why = f"it has no worker, and none came in {WORKERS_S:.0f} s"
        else:
            why = "; ".join(f"worker {one.worker}: {one.why}" for one in self._refused.values())
        return (
            f"nobody at {self.address} takes guests: {why}; start one with "
            f"`vmlab worker {self.address}`"
        )

    def restricted(self) -> list[str] | None:
        """The addresses that a task is for; None where that is every worker."""
        allowed = self.allowed()
        return [one.address for one in allowed] if self._refused else None

    def refuse(self, refused: Refused) -> None:
        """It is given no more guests; that is said once."""
        with self._guard:
            if refused.address in self._refused:
                return
            self._refused[refused.address] = refused
        self._say(f"worker {refused.worker} is given no guests: {refused.why}")

    def upload(self, address: str, digest: str, since: float, send: Callable[[], None]) -> None:
        """Sends an input to a worker, unless another thread has since a time."""
        key = address, digest
        with self._guard:
            lock = self._uploads.setdefault(key, threading.Lock())
        with lock:
            if self._uploaded.get(key, -1.0) < since:
                send()
                self._uploaded[key] = time.monotonic()

    @property
    def threads(self) -> int:
        return sum(one.threads for one in self.workers().values())


def connect(address: str, say: Callable[[str], None]) -> Crew:
    """Raises UsageError for what is no address, LabError where nobody answers."""
    client_type, config, plugin = _dask()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    config.set({"distributed.admin.large-graph-warning-threshold": "1GiB"})
    try:
        client = _client(client_type, address)
    except ValueError as error:
        raise UsageError(
            f"{address!r} is no address of a cluster ({error}); it is HOST:PORT, "
            "tcp://HOST:PORT or tls://HOST:PORT"
        ) from error
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            f"the cluster at {address} is not spoken to: {error}; docs/cluster.md says how "
            "certificates are named"
        ) from error
    except (OSError, TimeoutError, MemoryError) as error:
        # Dask takes what another service says for the size of an answer.
        raise LabError(trouble(address, ANSWER_S)) from error
    client.register_plugin(plugin())
    return Crew(client, address, say)


def _client(client_type: Any, address: str) -> Any:
    """One that does not come up would wait once more, when it is thrown away.

    Its own timeout does not end the wait for one who takes the call and speaks something else.
    """
    made = client_type.__new__(client_type)
    trouble: list[BaseException] = []

    def begin() -> None:
        try:
            made.__init__(address, timeout=ANSWER_S, set_as_default=False)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=begin, daemon=True)
    thread.start()
    thread.join(ANSWER_S + _GRACE_S)
    if thread.is_alive() or trouble:
        made.status = "closed"
        raise trouble[0] if trouble else TimeoutError
    return made


def _dask() -> tuple[Any, Any, Any]:
    try:
        import dask.config
        from distributed import Client

        from vmlab.cluster.plugin import Guests
    except ImportError as error:
        raise without_dask("a cluster", error) from error
    return Client, dask.config, Guests
