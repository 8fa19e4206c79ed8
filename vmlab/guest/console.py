"""The console, ttyS0, as it grows in its file, for pexpect.

A plain `fdspawn` on a growing file sees its end at once; this waits for more until the guest is
gone.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pexpect
from pexpect.spawnbase import SpawnBase

from vmlab.plain import plain

_PAUSE_S = 0.002
_SHOWN = 20  # lines of what did not match


class Console(SpawnBase):  # type: ignore[misc]  # pexpect has no types
    """pexpect on a guest's console: `expect`, `expect_exact`, `before`, `match` as usual.

    Patterns see text; timeouts are host seconds. EOF comes once `alive` says no and the file has
    been read to its end.
    """

    def __init__(self, path: Path, alive: Callable[[], bool], timeout: float = 30) -> None:
        super().__init__(timeout=timeout, encoding="utf-8", codec_errors="replace")
        self.path = path
        self._alive = alive
        self._file = path.open("rb")

    def read_nonblocking(self, size: int = 1, timeout: float | None = -1) -> str:
        """What there is, at most `size` bytes; raises pexpect's TIMEOUT and EOF."""
        if timeout == -1:
            timeout = self.timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            last = not self._alive()
            if block := self._file.read(size):
                return self._decoded(block)
            if last:
                self.flag_eof = True
                raise pexpect.EOF(f"the guest's console {self.path} has ended")
            if deadline is not None and time.monotonic() >= deadline:
                raise pexpect.TIMEOUT(f"nothing more on the guest's console {self.path}")
            time.sleep(_PAUSE_S)

    def __str__(self) -> str:
        """What pexpect's errors say of it: what was there, and did not match."""
        lines = (self.before if isinstance(self.before, str) else "").splitlines()
        seen = "".join(f"\n  {line}" for line in lines[-_SHOWN:])
        return plain(f"seen on the console, and no match:{seen or ' nothing'}")

    def close(self) -> None:
        self._file.close()
        self.closed = True

    def _decoded(self, block: bytes) -> str:
        text: str = self._decoder.decode(block, final=False)
        self._log(text, "read")
        return text
