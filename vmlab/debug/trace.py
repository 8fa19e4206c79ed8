"""Looks at a whole run: where its modules go, and where in it a line is printed.

Places in a run are counts of the instructions that were done before, from the program's start.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.debug.modules import ModuleFile
from vmlab.debug.rsp import Stub

PRINTS = "vprintk_emit"
"""What every printk goes through, and what is written to /dev/kmsg."""
STRIDE = 1 << 21
"""How many instructions a run is followed without a look at its console."""
LOADS = "do_init_module"
"""What the kernel calls with a module's record when all of the module is in its place."""


@dataclass(frozen=True)
class Registers:
    """Where gdb's protocol has an architecture's registers."""

    size: int
    counter: int  # the number of the program counter
    first: int  # of a kernel function's first argument


REGISTERS = {"i386": Registers(4, 8, 0), "x86_64": Registers(8, 16, 5)}


@dataclass(frozen=True)
class Load:
    """A module put into the kernel, and where in the run."""

    module: ModuleFile
    sections: dict[str, int]
    place: int


@dataclass(frozen=True)
class Trace:
    """What happened in a run, as far as it was followed."""

    loads: tuple[Load, ...]
    before: tuple[int, ...]  # places before which the wanted byte of the console was not out

    def known(self, place: int) -> list[Load]:
        """Each module where it is then: as it was loaded last before, else first after."""
        chosen: dict[str, Load] = {}
        for load in self.loads:
            if load.place < place or load.module.name not in chosen:
                chosen[load.module.name] = load
        return list(chosen.values())


def follow(
    stub: Stub,
    registers: Registers,
    addresses: Mapping[str, int],
    modules: Sequence[ModuleFile],
    console: Path,
    byte: int | None,
) -> Trace:
    """Follows a guest until a byte of its console is out and all modules are in, or to its end.

    `addresses` has that of LOADS. A stop takes milliseconds, so nothing is stopped at what is
    printed.
    """
    loads: list[Load] = []
    before, waiting = [0], byte is not None
    stub.stop_at(addresses[LOADS])
    if waiting:
        stub.stop_after(STRIDE)
    while waiting or {one.name for one in modules} - {load.module.name for load in loads}:
        if not stub.go_on():
            break
        place = stub.count()
        if stub.register(registers.counter, registers.size) == addresses[LOADS]:
            record = stub.register(registers.first, registers.size)
            loads += [
                Load(module, module.sections(record, stub.read), place)
                for module in modules
                if module.is_at(record, stub.read)
            ]
            stub.step_over(addresses[LOADS])
        waiting = byte is not None and not _out(console, byte)
        if waiting and place >= before[-1] + STRIDE:
            before.append(place)
            stub.stop_after(place + STRIDE)
    return Trace(tuple(loads), tuple(before))


def last_call(stub: Stub, address: int, console: Path, byte: int) -> int | None:
    """The place of the last call of a function before a byte of the console is out.

    None where none begins between there and where the guest is.
    """
    stub.stop_at(address)
    found = None
    while stub.go_on() and not _out(console, byte):
        found = stub.count()
        stub.step_over(address)
    return found


def go_to(stub: Stub, place: int) -> bool:
    """Lets a guest that follows a tape run to a place; False where it ends before."""
    if place == 0:
        return True
    stub.stop_after(place)
    return stub.go_on()


def _out(console: Path, byte: int) -> bool:
    return console.stat().st_size > byte


def line_like(pattern: str, console: bytes) -> tuple[int, str] | None:
    """The console's first line with the pattern in it, after the byte at which it begins."""
    offset = 0
    for line in console.splitlines(keepends=True):
        text = line.decode(errors="replace").rstrip("\r\n")
        if re.search(pattern, text):
            return offset, text
        offset += len(line)
    return None
