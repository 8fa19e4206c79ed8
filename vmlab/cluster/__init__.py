"""Guests on other machines, by Dask: what a run is made of goes there, what it gave comes back.

Building and judging stay where the command was given. `order` is what a worker is told and what it
answers, `content` keeps inputs by the hash of what they hold, `work` is what a worker does, `crew`
knows the workers, `backend` gives them guests, `worker` is a worker's process.
"""

import importlib.metadata
import sys

from vmlab.errors import UsageError

_EXTRA = "cluster"


def without_dask(what: str, error: ImportError) -> UsageError:
    """What to do about it, for this Python."""
    lines = importlib.metadata.requires("vmlab") or []
    wanted = [line.partition(";")[0].strip() for line in lines if f'extra == "{_EXTRA}"' in line]
    command = f"{sys.executable} -m pip install '{' '.join(wanted) or 'distributed'}'"
    return UsageError(f"{what} needs Dask ({error}): install it with `{command}`")
