"""A guest that is driven step by step, for tests in Python and for the shell.

Same agent, same steps, same results as a program; on the virtual clock the guest stops itself
between steps, so that its time stands while the host thinks.
"""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from qemu.qmp import QMPError

from vmlab.errors import VmlabError
from vmlab.guest import launch, program, qemu, qmp, results, sockets
from vmlab.guest.console import Console

_WAITING = b"# waiting\n"
_BOOT_S = 60
_STOP_PAUSE_S = 0.001


class GuestLost(VmlabError):
    """The guest is gone, or does not answer any more."""


class Session:
    """One running guest. Made by `session`; `console` is pexpect on ttyS0."""

    def __init__(
        self,
        boot: qemu.Boot,
        process: "subprocess.Popen[bytes]",
        port: socket.socket,
        monitor: socket.socket,
    ) -> None:
        self._boot = boot
        self._process = process
        self._port = port
        self._said = b""
        self._qmp = qmp.greeted(monitor)
        self.console = Console(boot.run.console, lambda: process.poll() is None)

    def step(self, line: str, timeout_s: float = 60) -> results.StepResult:
        """Runs one step (`program.step` makes its line) and returns its result.

        Whether the outcome is as expected is in the result's state. Raises GuestLost where the
        guest ends or does not answer within `timeout_s` host seconds.
        """
        self._port.sendall(line.encode() + b"\n")
        self.resume()
        self.wait(timeout_s)
        return self.results().steps[-1]

    def resume(self) -> None:
        """Lets the guest go on, whose clock stands while it waits.

        It says that it waits just before it stops: going on too early would leave it stopped.
        """
        if self._boot.machine.clock != "virtual":
            return
        deadline = time.monotonic() + _BOOT_S
        while self._running():
            if time.monotonic() > deadline:
                raise GuestLost(f"the guest did not stop after its step{self._tail()}")
            time.sleep(_STOP_PAUSE_S)
        self._qmp.cmd("cont")

    def _running(self) -> bool:
        try:
            return bool(cast(dict[str, Any], self._qmp.cmd("query-status"))["running"])
        except (QMPError, OSError, EOFError) as error:
            raise GuestLost(f"the guest ended{self._tail()}") from error

    def wait(self, timeout_s: float) -> None:
        """Reads results until the agent waits for a step."""
        deadline = time.monotonic() + timeout_s
        start = len(self._said)
        while not self._said.endswith(_WAITING) or len(self._said) == start:
            self._port.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                block = self._port.recv(65536)
            except TimeoutError as error:
                raise GuestLost(
                    f"no answer from the guest in {timeout_s:g} s{self._tail()}"
                ) from error
            if not block:
                raise GuestLost(f"the guest ended{self._tail()}")
            self._said += block
        self._boot.run.results.write_bytes(self._said)

    def results(self) -> results.Results:
        """All so far. Places in the console are counted in bytes: the text may be no UTF-8."""
        transcript = self._boot.run.transcript.read_bytes()
        offsets = results.console_offsets(transcript, self._said)
        return results.parse(self._said.decode(errors="replace"), offsets)

    def printed(self, since: int = 0) -> bytes:
        """What the kernel has printed, from a place in bytes on."""
        with self._boot.run.console.open("rb") as file:
            file.seek(since)
            return file.read()

    def close(self) -> None:
        """Ends the guest's process."""
        with contextlib.suppress(OSError, QMPError, EOFError):
            self._qmp.close()
        self.console.close()
        self._port.close()

    def _tail(self) -> str:
        text = self._boot.run.console.read_text(errors="replace")
        return "; the console's last lines:\n" + "\n".join(text.splitlines()[-10:])


@contextlib.contextmanager
def session(boot: qemu.Boot, files: dict[str, bytes]) -> Iterator[Session]:
    """Boots a guest with these files in its program and gives it once it waits for steps."""
    boot.run.program.write_bytes(program.archive([], files))
    option = "freeze" if boot.machine.clock == "virtual" else "poll"
    boot.run.mode.write_text(program.mode(0, boot.machine.seed, f"interactive {option}"))
    with sockets.folder() as control:
        boot = replace(boot, control=control, port=True)
        process = launch.start(boot)
        with launch.ended(process), contextlib.closing(_connect(boot, process)) as opened:
            if boot.memory:
                opened.resume()
            opened.wait(_BOOT_S)
            yield opened


def _connect(boot: qemu.Boot, process: "subprocess.Popen[bytes]") -> Session:
    deadline = time.monotonic() + _BOOT_S
    opened: list[socket.socket] = []
    for path in (boot.port_socket, boot.qmp_socket):
        if made := sockets.connected(path, lambda: process.poll() is None, deadline):
            opened.append(made)
    if len(opened) == 2:
        with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
            return Session(boot, process, *opened)
    for made in opened:
        made.close()
    said = b""
    if process.poll() is not None and process.stderr:
        said = process.stderr.read()[-400:]
    raise GuestLost(f"starting QEMU: it did not answer {said.decode(errors='replace')}")
