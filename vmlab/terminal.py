"""The user's terminal, lent to a guest: raw while it is, and as before whatever happens."""

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from vmlab.plain import plain

LOOK_S = 0.05
"""How often the terminal's size, the guest and its console are looked at, seconds."""
PLAIN_SIZE = (24, 80)
HELP = "at a line's beginning: ~. ends the guest, ~c shows the kernel's messages, ~~ is one ~"
# Ctrl-D, on an empty line: what is typed before a program reads it stands in the line as a zero.
_END_OF_INPUT = b"\x15\x04"
_AGAIN_S = 0.5
_MOST = 1 << 20  # bytes that are typed ahead of a guest that takes none
_OTHER_SCREEN = (b"\x1b[?1049h", b"\x1b[?1049l")
_AS_USUAL = b"\x1b[0m\x1b[?25h"  # colours, and the cursor is seen
_ENDS = (signal.SIGTERM, signal.SIGHUP)


@dataclass
class Escapes:
    """Finds `~` commands at the beginning of a line in what is typed, as ssh does."""

    fresh: bool = True  # at the beginning of a line
    held: bool = False  # a ~ was typed there

    def feed(self, text: bytes) -> tuple[bytes, bytes]:
        """What goes to the guest, and the commands' letters."""
        out, commands = bytearray(), bytearray()
        for byte in (text[at : at + 1] for at in range(len(text))):
            if self.held:
                self.held = False
                if byte in b".c?":
                    commands += byte
                    self.fresh = True
                    continue
                out += byte if byte == b"~" else b"~" + byte
            elif self.fresh and byte == b"~":
                self.held = True
                continue
            else:
                out += byte
            self.fresh = byte in b"\r\n"
        return bytes(out), bytes(commands)


@dataclass
class Follower:
    """What is added to a console's file, line by line, with nothing in it that moves a cursor."""

    path: Path
    shown: bool
    _at: int = 0
    _left: bytes = b""

    def lines(self) -> list[str]:
        """The whole lines since the last call; none while it is hidden, and those are passed by."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                content = file.read()
        except FileNotFoundError:
            return []
        self._at += len(content)
        *lines, self._left = (self._left + content).split(b"\n")
        texts = (line.rstrip(b"\r").decode(errors="replace") for line in lines)
        return [plain(text) for text in texts] if self.shown else []


@dataclass
class Lent:
    """Standard input and output as they are now."""

    interactive: bool = field(default_factory=lambda: sys.stdin.isatty() and sys.stdout.isatty())
    other_screen: bool = False

    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        if not self.interactive:
            return PLAIN_SIZE
        found = os.get_terminal_size(sys.stdout.fileno())
        return found.lines or PLAIN_SIZE[0], found.columns or PLAIN_SIZE[1]

    def show(self, text: bytes) -> None:
        """What the guest says, as it says it."""
        on, off = (text.rfind(one) for one in _OTHER_SCREEN)
        if on != off:
            self.other_screen = on > off
        while text:
            text = text[os.write(sys.stdout.fileno(), text) :]

    def tell(self, line: str) -> None:
        """A line of the lab's own, in between."""
        self.show(f"\r\n{line}\r\n".encode() if self.interactive else f"{line}\n".encode())

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Keys go to the guest, Ctrl-C too; the terminal is as before after the block."""
        if not self.interactive:
            yield
            return
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        handlers = {number: signal.signal(number, _leave) for number in _ENDS}
        try:
            tty.setraw(descriptor)
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            self.show(_AS_USUAL + (_OTHER_SCREEN[1] if self.other_screen else b""))
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


class Relay:
    """Between a terminal and a guest's port, until one of them ends."""

    def __init__(
        self,
        terminal: Lent,
        port: socket.socket,
        over: Callable[[], bool],
        console: Follower,
        typed: Callable[[bytes], bytes],
        resized: Callable[[int, int], bytes],
    ) -> None:
        self._terminal, self._port, self._over = terminal, port, over
        self._console, self._typed, self._resized = console, typed, resized
        port.setblocking(False)
        self._size = terminal.size()
        self._escapes = Escapes()
        self._input = True  # whether there may be more of it
        self._out = bytearray()  # what the guest has not taken yet
        self._left = False

    def run(self) -> None:
        """Returns when the guest is over, the port closed, or the user has left."""
        waited = 0.0
        while not self._left:
            ready = self._ready()
            if self._port.fileno() in ready and not self._from_guest():
                return
            if self._input and sys.stdin.fileno() in ready:
                self._from_user()
            self._push()
            self._look()
            if not ready and self._over():
                return
            waited = 0.0 if self._input or ready else waited + LOOK_S
            if waited >= _AGAIN_S:  # again and again: who reads now may not be the shell
                self._send(_END_OF_INPUT)
                waited = 0.0

    def _ready(self) -> list[int]:
        poll = select.poll()
        poll.register(self._port.fileno(), select.POLLIN | (select.POLLOUT if self._out else 0))
        if self._input and len(self._out) < _MOST:
            poll.register(sys.stdin.fileno(), select.POLLIN)
        wanted = select.POLLIN | select.POLLHUP | select.POLLERR
        found = poll.poll(LOOK_S * 1000)
        return [descriptor for descriptor, events in found if events & wanted]

    def _from_guest(self) -> bool:
        try:
            block = self._port.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._terminal.show(block)
        return bool(block)

    def _from_user(self) -> None:
        block = os.read(sys.stdin.fileno(), 4096)
        self._input = bool(block)
        if not self._terminal.interactive:
            self._send(self._typed(block or b"\n"))  # the last line may lack it
            return
        text, commands = self._escapes.feed(block)
        self._send(self._typed(text))
        for letter in commands.decode():
            self._obey(letter)
        self._left = self._left or not block

    def _obey(self, letter: str) -> None:
        if letter == ".":
            self._left = True
        elif letter == "c":
            self._console.shown = not self._console.shown
            word = "shown" if self._console.shown else "hidden"
            self._terminal.tell(f"[the kernel's messages are {word}]")
        else:
            self._terminal.tell(f"[{HELP}]")

    def _look(self) -> None:
        for line in self._console.lines():
            self._terminal.tell(line)
        now = self._terminal.size()
        if now != self._size:
            self._size = now
            self._send(self._resized(*now))

    def _send(self, text: bytes) -> None:
        self._out += text
        self._push()

    def _push(self) -> None:
        with contextlib.suppress(OSError):  # it takes no more now, or is gone: a look says which
            while self._out:
                del self._out[: self._port.send(self._out)]
