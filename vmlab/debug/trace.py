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
    """What happened in a run."""

    loads: tuple[Load, ...]
    printed: tuple[int, ...]  # bytes of console at each call of PRINTS

    def before(self, offset: int) -> int:
        """The last call of PRINTS, from 1, before this byte of the console; 0 for none."""
        return sum(size <= offset for size in self.printed)

    def known(self, stop: int) -> list[Load]:
        """Each module where it is at that call: as it was loaded last before, else first after."""
        chosen: dict[str, Load] = {}
        for load in self.loads:
            if load.prints < stop or load.module.name not in chosen:
                chosen[load.module.name] = load
        return list(chosen.values())


def follow(
    stub: Stub,
    registers: Registers,
    addresses: Mapping[str, int],
    modules: Sequence[ModuleFile],
    console: Path,
) -> Trace:
    """Follows a guest from its stop to its end. `addresses` are those of PRINTS and LOADS."""
    loads: list[Load] = []
    printed: list[int] = []
    for address in addresses.values():
        stub.stop_at(address)
    while stub.go_on():
        at = stub.register(registers.counter, registers.size)
        if at == addresses[PRINTS]:
            printed.append(console.stat().st_size)
        elif at == addresses[LOADS]:
            record = stub.register(registers.first, registers.size)
            loads += [
                Load(module, module.sections(record, stub.read), len(printed))
                for module in modules
                if module.is_at(record, stub.read)
            ]
        stub.step_over(at)
    return Trace(tuple(loads), tuple(printed))


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
