"""A kernel's symbols, as a guest of the same snapshot reads them: Debian's packages have none."""

import base64
import binascii
import gzip
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.errors import LabError
from vmlab.guest import launch, program, qemu
from vmlab.guest.results import StepResult
from vmlab.guest.results import read as read_results

_TIMEOUT_S = 600.0  # of the host; a busy one takes a minute
_PART = 128 * 1024  # bytes; as text it is less than a step may say
_PARTS = 24
_STEPS = (
    "gzip -c /proc/kallsyms > /tmp/symbols",
    *(f"dd if=/tmp/symbols bs={_PART} skip={at} count=1 2> /dev/null | base64"
      for at in range(_PARTS)),
)  # fmt: skip


@dataclass(frozen=True)
class Symbol:
    """One symbol; `kind` is nm's letter, small for a local one."""

    name: str
    kind: str
    address: int

    @property
    def code(self) -> bool:
        return self.kind in "tTwW"


def read(boot: qemu.Boot) -> list[Symbol]:
    """The symbols of a guest that begins as this one does. Raises LabError where it says none."""
    with tempfile.TemporaryDirectory(prefix="vmlab-symbols-") as folder:
        run = qemu.RunDirectory(Path(folder))
        run.program.write_bytes(program.archive([program.step("run", one) for one in _STEPS], {}))
        run.mode.write_text(program.mode(0, boot.machine.seed))
        ended = launch.run(replace(boot, run=run), _TIMEOUT_S)
        found = read_results(run)
    if found.fault or ended.how != "off":
        raise LabError(f"reading the kernel's symbols: {found.fault or ended.detail}")
    return parsed(joined(found.steps))


def joined(steps: Sequence[StepResult]) -> str:
    """The text of /proc/kallsyms from its parts. Raises LabError where they are not whole."""
    try:
        packed = b"".join(base64.b64decode(step.output) for step in steps[1:])
        return gzip.decompress(packed).decode()
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise LabError(f"reading the kernel's symbols: they came cut short: {error}") from error


def parsed(text: str) -> list[Symbol]:
    """The kernel's own symbols, by address. Raises LabError where their addresses are hidden."""
    symbols = []
    for line in text.splitlines():
        address, kind, name, *module = line.split()
        if not module:
            symbols.append(Symbol(name, kind, int(address, 16)))
    if not any(symbol.address for symbol in symbols):
        raise LabError("the kernel hides the addresses of its symbols (kernel.kptr_restrict)")
    return sorted(symbols, key=lambda symbol: symbol.address)
