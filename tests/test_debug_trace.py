"""Where in a run its lines are printed and its modules loaded, without a guest."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_tokens import OUTPUT, made

from vmlab import inputs
from vmlab.arch import ARCHES
from vmlab.cli.debug import _compared
from vmlab.debug import stop, trace
from vmlab.errors import UsageError
from vmlab.guest import qemu
from vmlab.tokens import How

STRIDE = trace.STRIDE
PRINTS, LOADS, ELSEWHERE = 1, 2, 3
ADDRESSES = {trace.PRINTS: PRINTS, trace.LOADS: LOADS}


class Named:
    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path(f"/m/{name}.ko")


class Loaded(Named):
    def is_at(self, record: int, read) -> bool:
        return record == 0x500

    def sections(self, record: int, read) -> dict[str, int]:
        return {".text": record + 1}


class FakeGuest:
    """Calls functions and prints at places of its run, for what follows it."""

    def __init__(self, console: Path, events: list[tuple[int, int | bytes]], end: int) -> None:
        self.console, self.events, self.end = console, events, end
        self.console.write_bytes(b"")
        self.stops: set[int] = set()
        self.place, self.wanted, self.at, self.stopped = 0, None, ELSEWHERE, 0

    def stop_at(self, address: int) -> None:
        self.stops.add(address)

    def stop_after(self, count: int) -> None:
        assert count >= self.place
        self.wanted = count

    def step_over(self, address: int) -> None:
        assert address == self.at
        self.place, self.at = self.place + 1, ELSEWHERE

    def count(self) -> int:
        return self.place

    def go_on(self) -> bool:
        """To the next stop; what stands at one place comes in its order."""
        self.stopped += 1
        if self.at in self.stops:
            return True
        for place, what in [one for one in self.events if one[0] >= self.place]:
            if self.wanted is not None and place > self.wanted:
                break
            self.place = place
            if isinstance(what, bytes):
                self.events.remove((place, what))
                with self.console.open("ab") as file:
                    file.write(what)
            elif what in self.stops or place == self.wanted:
                self.at, self.wanted = what, None if place == self.wanted else self.wanted
                return True
        self.at = ELSEWHERE
        self.place = self.end if self.wanted is None else self.wanted
        self.wanted = None
        return self.place < self.end

    def register(self, number: int, size: int) -> int:
        return self.at if number == 8 else 0x500

    def read(self, address: int, size: int) -> bytes:
        raise AssertionError


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "no snapshot, as was said"),
        ({"cpus": 2}, "2 processors"),
        ({"clock": "real"}, "the real clock"),
        ({"devices": ("usb-serial",)}, "usb-serial"),
        ({"role": "a", "devices": ("e1000", "usb-storage")}, "two guests and usb-storage"),
    ],
)
def test_what_cannot_be_on_tape_is_told_before_it_is_run(tmp_path, changed, said):
    asked = []
    snapshots = SimpleNamespace(memory=lambda boot: asked.append(boot))
    machine = qemu.Machine(ARCHES["i386"], **changed)
    job = SimpleNamespace(
        machine=machine, vmlinuz=tmp_path, image=tmp_path, run=qemu.RunDirectory(tmp_path),
        emulator=None,
    )  # fmt: skip
    with pytest.raises(UsageError, match=f"this run has {said}, and a run is stopped for gdb only"):
        stop.begun(job, snapshots)
    assert bool(asked) is not bool(changed)


def test_modules_are_where_they_are_at_the_stop():
    loads = tuple(
        trace.Load(Named(name), {".text": address}, place)
        for name, address, place in [("a", 1, 0), ("b", 2, 10), ("a", 3, 20), ("a", 4, 30)]
    )
    seen = trace.Trace(loads, (0,))
    where = {
        place: {one.module.name: one.sections[".text"] for one in seen.known(place)}
        for place in (0, 10, 20, 21, 31)
    }
    assert where == {
        0: {"a": 1, "b": 2}, 10: {"a": 1, "b": 2}, 20: {"a": 1, "b": 2}, 21: {"a": 3, "b": 2},
        31: {"a": 4, "b": 2},
    }  # fmt: skip


LINES: list[tuple[int, int | bytes]] = [
    (100, PRINTS), (150, b"12345"), (200, LOADS), (3 * STRIDE, PRINTS), (3 * STRIDE + 9, b"12345"),
    (3 * STRIDE + 50, PRINTS), (4 * STRIDE + 60, b"12345"), (9 * STRIDE, PRINTS),
]  # fmt: skip
END = 10 * STRIDE


def guest(tmp_path: Path, events=LINES) -> FakeGuest:
    return FakeGuest(tmp_path / "console", list(events), END)


@pytest.mark.parametrize(
    ("byte", "before", "stopped"),
    [
        (0, [0], 1),  # out when the module is loaded
        (4, [0], 1),
        (5, [0, 1, 2, 3], 5),  # the load, and each stride
        (10, [0, 1, 2, 3, 4], 6),
        (None, [0], 1),  # only the load
        (15, [*range(10)], 11),  # never out
    ],
)
def test_a_run_is_followed_no_further_than_needed(tmp_path, byte, before, stopped):
    one = guest(tmp_path)
    registers = trace.REGISTERS["i386"]
    seen = trace.follow(one, registers, ADDRESSES, [Loaded("a")], one.console, byte)
    assert (seen.before, one.stopped) == (tuple(at * STRIDE for at in before), stopped)
    assert [load.place for load in seen.loads] == [200]


@pytest.mark.parametrize(("byte", "place"), [(5, 3 * STRIDE), (10, 3 * STRIDE + 50), (0, 100)])
def test_a_line_s_call_is_found_however_long_before_it_began(tmp_path, monkeypatch, byte, place):
    """Byte 10 is out more than a stride after the call that prints it began."""
    begun = []

    @contextlib.contextmanager
    def followed(boot, tape):
        one = guest(tmp_path)
        begun.append(one)
        yield SimpleNamespace(stub=lambda patience_s: contextlib.nullcontext(one))

    monkeypatch.setattr(stop.tape, "followed", followed)
    boot = SimpleNamespace(run=SimpleNamespace(console=tmp_path / "console"))
    run = SimpleNamespace(
        boot=boot, tape=None, patience_s=1.0, kernel=SimpleNamespace(addresses=ADDRESSES)
    )
    one = guest(tmp_path)
    seen = trace.follow(one, trace.REGISTERS["i386"], ADDRESSES, [], one.console, byte)
    assert stop._last_print(run, seen.before, byte) == place
    assert len(begun) == (2 if byte == 10 else 1)


def test_a_line_that_no_call_is_before_is_at_the_program_s_start(tmp_path):
    one = guest(tmp_path, [(5, b"12345"), *LINES])
    assert trace.last_call(one, PRINTS, one.console, 0) is None


@pytest.mark.parametrize(("place", "fine"), [(0, True), (100, True), (77, True), (END, False)])
def test_a_guest_goes_to_a_place_or_ends_before(tmp_path, place, fine):
    one = guest(tmp_path)
    assert trace.go_to(one, place) is fine
    assert one.count() == place


@pytest.mark.parametrize(
    ("how", "output", "said"),
    [
        (How(True, True, False, False), OUTPUT, "are the same to the byte"),
        (How(True, True, False, False), "f" * 16, "are not the same"),
        (How(True, False, False, False), "f" * 16, "the token's guest booted, and this one did"),
        (
            How(False, False, False, False),
            "f" * 16,
            "do not repeat: with several processors only runs",
        ),
    ],
)
def test_why_the_bytes_of_a_stopped_run_may_be_others_is_said(
    tmp_path, monkeypatch, how, output, said
):
    monkeypatch.setattr(inputs, "output_key", lambda run: output)
    machine = qemu.Machine(ARCHES["i386"], cpus=2)
    run = SimpleNamespace(boot=SimpleNamespace(run=None, machine=machine))
    told = _compared(made(how=how), run)
    assert said in told
    assert told.endswith("not the same") is (said == "are not the same")
