"""What a session makes of the bytes on the results port."""

from vmlab.arch import ARCHES
from vmlab.guest import qemu
from vmlab.guest.session import Session


class Monitor:
    """In the place of QEMU's: nothing is asked of it here."""

    def __init__(self, path: str) -> None:
        pass

    def connect(self) -> None:
        pass


class Port:
    """In the place of the socket: gives these pieces, one a call."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def settimeout(self, seconds: float) -> None:
        pass

    def recv(self, size: int) -> bytes:
        return self.pieces.pop(0)


END = b"\x1e# uptime=%d.0 printk=0 outcome=0\nok %d - run x\n# waiting\n"


def test_bytes_that_are_no_text_move_no_place_in_the_console(tmp_path, monkeypatch):
    """Also where the pieces that come in are cut in the middle of a character."""
    monkeypatch.setattr("vmlab.guest.qmp.greeted", lambda *_: Monitor("qmp"))
    run = qemu.RunDirectory(tmp_path)
    run.console.write_bytes(b"")
    boot = qemu.Boot(qemu.Machine(ARCHES["i386"]), tmp_path, tmp_path, run)
    first = b"KTAP version 1\n# kernel=x\n\x1e# begin 1\n# | \xff\xfe \xc3\xa4\n" + END % (1, 1)
    second = b"\x1e# begin 2\n" + END % (2, 2)
    run.transcript.write_bytes(first + b"[1.0] hello\n" + second)
    cut = first.index(b"\xa4")
    session = Session(boot, None, Port([first[:cut], first[cut:], second]), None)
    session.wait(1)
    session.wait(1)
    found = session.results()
    assert found.steps[0].output == "\ufffd\ufffd ä"
    assert found.steps[1].console == (12, 12)
    session.console.close()
