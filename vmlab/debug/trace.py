"""One look at a whole run: where its modules go, and where in it each line is printed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.debug.modules import ModuleFile
from vmlab.debug.rsp import Stub

PRINTS = "vprintk_emit"
"""What every printk goes through, and what is written to /dev/kmsg."""
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
    """A module put into the kernel; `prints` says after how many calls of PRINTS."""

    module: ModuleFile
    sections: dict[str, int]
    prints: int


@dataclass(frozen=True)
class Trace:
    """What happened in a run, as far as it was followed."""

    loads: tuple[Load, ...]
    prints: int  # the call of PRINTS, from 1, in which the wanted byte of the console was printed

    def known(self) -> list[Load]:
        """Each module where it is at that call: as it was loaded last before, else first after."""
        chosen: dict[str, Load] = {}
        for load in self.loads:
            if load.prints < self.prints or load.module.name not in chosen:
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

    `addresses` are those of PRINTS and LOADS. A stop takes milliseconds: with no byte to wait for,
    nothing is stopped at what is printed.
    """
    loads: list[Load] = []
    prints, waiting = 0, byte is not None
    stub.stop_at(addresses[LOADS])
    if waiting:
        stub.stop_at(addresses[PRINTS])
    while waiting or {one.name for one in modules} - {load.module.name for load in loads}:
        if not stub.go_on():
            break
        at = stub.register(registers.counter, registers.size)
        if at == addresses[PRINTS] and byte is not None and console.stat().st_size > byte:
            waiting = False
            stub.pass_by(at)
            continue
        if at == addresses[PRINTS]:
            prints += 1
        else:
            record = stub.register(registers.first, registers.size)
            loads += [
                Load(module, module.sections(record, stub.read), prints)
                for module in modules
                if module.is_at(record, stub.read)
            ]
        stub.step_over(at)
    return Trace(tuple(loads), prints)


def go_to(stub: Stub, address: int, count: int) -> bool:
    """Lets a guest run to the `count`th call of a function; False where there are not so many."""
    stub.stop_at(address)
    for number in range(count):
        if number:
            stub.step_over(address)
        if not stub.go_on():
            return False
    stub.pass_by(address)
    return True


def line_like(pattern: str, console: bytes) -> tuple[int, str] | None:
    """The console's first line with the pattern in it, after the byte at which it begins."""
    offset = 0
    for line in console.splitlines(keepends=True):
        text = line.decode(errors="replace").rstrip("\r\n")
        if re.search(pattern, text):
            return offset, text
        offset += len(line)
    return None
