"""A client of gdb's remote serial protocol, as QEMU's stub speaks it (gdb's manual, appendix E).

A breakpoint changes nothing in the guest's memory: QEMU holds it by its virtual address, mapped or
not. A guest that follows a tape (qemu.Boot) is not changed by stops and steps either.
"""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from vmlab.errors import LabError
from vmlab.guest import sockets

LONGEST_READ = 2048  # bytes that QEMU's stub reads at once
_POLL_S = 0.01
_COUNT = re.compile(r"instruction count = (\d+)")


class StubError(LabError):
    """QEMU's stub did not answer, or refused."""


class Stub:
    """One connection; the guest is stopped by it and stays so when it is closed."""

    def __init__(self, path: Path, alive: Callable[[], bool], deadline: float) -> None:
        """Raises StubError where nothing answers until `deadline` (of the monotonic clock)."""
        self._deadline = deadline
        self._socket = _connected(path, alive, deadline)
        self._left = b""

    def __enter__(self) -> "Stub":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def stop_at(self, address: int) -> None:
        """Sets a breakpoint."""
        self._ask(f"Z0,{address:x},1", "OK")

    def pass_by(self, address: int) -> None:
        """Takes a breakpoint away."""
        self._ask(f"z0,{address:x},1", "OK")

    def go_on(self) -> bool:
        """Lets the guest run to the next breakpoint; False where it has ended instead."""
        return self._run("c")

    def step_over(self, address: int) -> None:
        """Does the instruction at a breakpoint that the guest stands at, and sets it again."""
        self.pass_by(address)
        self._run("s")
        self.stop_at(address)

    def count(self) -> int:
        """How many instructions a guest that follows a tape has done."""
        said = self._monitor("info replay")
        found = _COUNT.search(said)
        if found is None:
            raise StubError(f"QEMU does not tell where in its tape the guest is: {said!r}")
        return int(found[1])

    def stop_after(self, count: int) -> None:
        """Stops a guest that follows a tape once it has done so many instructions, once.

        There is one such stop at a time: a new one takes its place.
        """
        if said := self._monitor(f"replay_break {count}"):
            raise StubError(f"QEMU does not stop the guest after {count} instructions: {said}")

    def register(self, number: int, size: int) -> int:
        """One of the core registers, each `size` bytes long, by gdb's number."""
        return int.from_bytes(self._bytes("g")[number * size :][:size], "little")

    def read(self, address: int, size: int) -> bytes:
        """Memory at a virtual address. Raises StubError where it is not mapped."""
        found = bytearray()
        while len(found) < size:
            length = min(LONGEST_READ, size - len(found))
            found += self._bytes(f"m{address + len(found):x},{length:x}")
        return bytes(found)

    def _monitor(self, command: str) -> str:
        """What QEMU's own command says; it comes in packets before the answer."""
        said, packet = b"", f"qRcmd,{command.encode().hex()}"
        answer = self._asked(packet)
        while answer.startswith(b"O") and answer != b"OK":
            said += bytes.fromhex(answer[1:].decode())
            answer = self._answered(packet)
        if answer != b"OK":
            raise StubError(f"QEMU's stub refused {command!r}: {answer.decode() or 'unknown'}")
        return said.decode(errors="replace").strip()

    def _run(self, packet: str) -> bool:
        try:
            self._send(packet)
            return self._answer()[:1] in (b"T", b"S")
        except _Gone:
            return False

    def _bytes(self, packet: str) -> bytes:
        said = self._asked(packet)
        if said.startswith(b"E") or not said:
            raise StubError(f"QEMU's stub refused {packet!r}: {said.decode() or 'unknown to it'}")
        return bytes.fromhex(said.decode())

    def _ask(self, packet: str, wanted: str) -> None:
        said = self._asked(packet)
        if said != wanted.encode():
            raise StubError(f"QEMU's stub answered {packet!r} with {said.decode()!r}")

    def _asked(self, packet: str) -> bytes:
        with _ended_before(packet):
            self._send(packet)
            return self._answer()

    def _answered(self, packet: str) -> bytes:
        with _ended_before(packet):
            return self._answer()

    def _send(self, packet: str) -> None:
        data = packet.encode()
        try:
            self._socket.sendall(b"$%s#%02x" % (data, sum(data) % 256))
        except OSError as error:
            raise _Gone from error

    def _answer(self) -> bytes:
        """The next packet's data; acknowledgements are passed over, for sockets lose nothing."""
        while b"#" not in self._left or len(self._left.partition(b"#")[2]) < 2:
            self._receive()
        data, _, rest = self._left.partition(b"#")
        self._left = rest[2:]
        self._acknowledge()
        return data.partition(b"$")[2]

    def _receive(self) -> None:
        self._socket.settimeout(max(_POLL_S, self._deadline - time.monotonic()))
        try:
            block = self._socket.recv(65536)
        except TimeoutError as error:
            raise StubError("QEMU's stub did not answer in time") from error
        except OSError as error:
            raise _Gone from error
        if not block:
            raise _Gone
        self._left += block

    def _acknowledge(self) -> None:
        try:
            self._socket.sendall(b"+")
        except OSError as error:
            raise _Gone from error


class _Gone(Exception):
    """The connection is closed: QEMU has ended."""


@contextlib.contextmanager
def _ended_before(packet: str) -> Iterator[None]:
    try:
        yield
    except _Gone as error:
        raise StubError(f"the guest ended before QEMU's stub answered {packet!r}") from error


def _connected(path: Path, alive: Callable[[], bool], deadline: float) -> socket.socket:
    made = sockets.connected(path, alive, deadline)
    if made is None:
        raise StubError(f"QEMU's stub did not listen at {path}")
    return made
