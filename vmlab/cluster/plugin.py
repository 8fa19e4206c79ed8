"""Ends the guests of what nobody waits for any more: cancelled runs, and a lab that is gone."""

from typing import Any

from distributed import WorkerPlugin

from vmlab.cluster import work

_OVER = ("cancelled", "released", "forgotten")


class Guests(WorkerPlugin):  # type: ignore[misc]
    """One in each worker; it is told of what becomes of each task."""

    name = "vmlab-guests"

    def transition(self, key: Any, start: Any, finish: Any, **more: Any) -> None:
        if finish in _OVER:
            work.stop(str(key))
