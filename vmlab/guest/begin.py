"""Opens the files that a guest begins from, all of them of the snapshot that is meant.

Another process may take a snapshot away, or make it anew under the same name, at any time: RAM of
one and state of the other would be a guest that never was.
"""

import os
from pathlib import Path
from typing import BinaryIO

from vmlab.errors import LabError
from vmlab.guest import qemu

SUMS = "sums.json"
"""The file that a snapshot gets last; when it was written tells one from a later one."""


class GoneError(LabError):
    """The snapshot was taken away, or made anew, since it was looked at."""


def ram(memory: qemu.Memory) -> BinaryIO:
    """The RAM, to be read. Raises GoneError."""
    return _opened(memory, memory.ram)


def state(memory: qemu.Memory) -> BinaryIO:
    """The rest of the state, which may be a copy of this guest's own. Raises GoneError."""
    assert memory.state is not None
    if memory.state.parent != memory.ram.parent:
        return memory.state.open("rb")
    return _opened(memory, memory.state)


def _opened(memory: qemu.Memory, path: Path) -> BinaryIO:
    """A file of the snapshot's directory, which is renamed as a whole and never written into."""
    if not memory.made:  # nobody else knows of it
        return path.open("rb")
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if os.stat(SUMS, dir_fd=folder).st_mtime_ns != memory.made:
                raise GoneError(
                    f"the snapshot {path.parent.name} was made anew by another process meanwhile; "
                    "run again"
                )
            return os.fdopen(os.open(path.name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb")
        finally:
            os.close(folder)
    except FileNotFoundError as error:
        raise GoneError(f"the snapshot's {path.name} {path} is gone; run again") from error
