"""A worker's process: takes guests from a scheduler until it is told to stop."""

import asyncio
import logging
import os
import platform
from collections.abc import Callable

from vmlab.cluster import without_dask
from vmlab.cluster.crew import ANSWER_S
from vmlab.cluster.reach import trouble
from vmlab.errors import LabError, UsageError


def default_name() -> str:
    """Of the machine and the process: no other worker has it."""
    return f"{platform.node()}-{os.getpid()}"


def serve(address: str, name: str, threads: int, say: Callable[[str], None]) -> None:
    """Returns when the scheduler ends it. Raises UsageError and LabError where it cannot begin."""
    try:
        from distributed import Worker
    except ImportError as error:
        raise without_dask("a worker", error) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    async def work() -> None:
        worker = Worker(
            address, nthreads=threads, name=name, memory_limit=0, dashboard=False,
            death_timeout=ANSWER_S,
        )  # fmt: skip
        async with worker:
            say(f"worker {name} takes guests from {address}, {threads} at once")
            await worker.finished()

    try:
        asyncio.run(work())
    except Exception as error:
        raise _explained(error, address, name) from error


def _explained(error: Exception, address: str, name: str) -> LabError | UsageError:
    causes = _causes(error)
    said = " ".join(str(one) for one in causes)
    if "name taken" in said:
        return LabError(
            f"the cluster at {address} has a worker of the name {name} already; give this one "
            "another --name"
        )
    if any("ssl_context" in str(one) or "encryption required" in str(one) for one in causes):
        return UsageError(
            f"the cluster at {address} is not spoken to: {causes[-1]}; docs/cluster.md says how "
            "certificates are named"
        )
    if bad := [one for one in causes if type(one) in (ValueError, TypeError)]:
        return UsageError(
            f"{address!r} is no address of a cluster ({bad[-1]}); it is tcp://HOST:PORT or "
            "tls://HOST:PORT"
        )
    return LabError(trouble(address, ANSWER_S))


def _causes(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
