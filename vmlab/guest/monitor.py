"""QEMU's monitor on a guest's stdin and stdout: asked nothing until the guest is dead."""

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from typing import Any, Literal

from vmlab.errors import LabError

_LONGEST = 1 << 20  # bytes of a line; QEMU's own are short

Stands = Literal["", "reset", "off", "panicked"]
"""Why a guest stands still: it reset itself, powered off (QEMU 10: or its agent left), or its
kernel says by pvpanic that it panicked. Empty while it runs."""
_REASONS: dict[str, Stands] = {"guest-reset": "reset", "guest-shutdown": "off"}


class MonitorError(LabError):
    """QEMU did not do what it was told to."""


class Monitor:
    """Reads events as they come and gives commands; `qmp_capabilities` was said before."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None and process.stdout is not None
        self._process = process
        self._input, self._output = process.stdin, process.stdout
        self._said = b""
        self._ended = False
        self.stands: Stands = ""

    @property
    def descriptor(self) -> int:
        """What can be polled for more; -1 once there will be no more."""
        return -1 if self._ended else self._output.fileno()

    def read(self) -> list[dict[str, Any]]:
        """All whole messages that are there, after waiting for something to be there."""
        block = os.read(self._output.fileno(), 65536)
        self._ended = not block
        *lines, self._said = (self._said + block).split(b"\n")
        if len(self._said) > _LONGEST:
            raise MonitorError("QEMU's monitor sends a line without an end")
        try:
            messages = [json.loads(line) for line in lines if line.strip()]
            for message in messages:
                self._note(message)
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise MonitorError("QEMU's monitor says what is none of QEMU's") from error
        return messages

    def _note(self, message: Mapping[str, Any]) -> None:
        about = message.get("data", {})
        if message.get("event") == "SHUTDOWN":
            self.stands = _REASONS.get(about.get("reason"), self.stands)
        elif message.get("event") == "GUEST_PANICKED" and about.get("action") == "pause":
            self.stands = "panicked"

    def command(self, name: str, arguments: Mapping[str, object], within_s: float) -> object:
        """What QEMU returns. Raises MonitorError where it refuses, is gone, or takes too long."""
        deadline = time.monotonic() + within_s
        content = {"execute": name, "arguments": arguments, "id": name}
        try:
            self._input.write(json.dumps(content).encode() + b"\n")
            self._input.flush()
        except OSError as error:
            raise MonitorError(f"{name}: QEMU is gone") from error
        while not self._ended:
            poll = select.poll()
            poll.register(self._output.fileno(), select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise MonitorError(f"{name}: QEMU did not answer in time")
            for message in self.read():
                if message.get("id") == name and "error" in message:
                    raise MonitorError(f"{name}: QEMU says: {message['error'].get('desc')}")
                if message.get("id") == name:
                    return message.get("return")
        raise MonitorError(f"{name}: QEMU is gone")

    def quit(self) -> None:
        """Lets QEMU leave, with the status that it would have left with."""
        try:
            self._input.write(b'{"execute":"quit"}\n')
            self._input.flush()
        except OSError:
            pass  # it is gone already: its status says why
