"""What gdb is given of a kernel: made once for each snapshot, for the kernel's place is in that."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.cache import content_key
from vmlab.debug import frames, kallsyms, orc, symbols, tape, trace
from vmlab.debug.rsp import Stub
from vmlab.errors import LabError
from vmlab.guest import program, qemu
from vmlab.guest.snapshot import Snapshot

KIND = "symbols"
_FORMAT = "9"  # of what is kept; another one when the same guest gives other files
_READ_S = 120.0


@dataclass(frozen=True)
class KernelSymbols:
    """A file for gdb, and the addresses that a run is followed by."""

    file: Path
    addresses: Mapping[str, int]  # those of trace.PRINTS and trace.LOADS that the kernel has

    def check(self) -> None:
        """Raises LabError where a run cannot be followed."""
        if gone := [name for name in (trace.PRINTS, trace.LOADS) if name not in self.addresses]:
            raise LabError(
                f"the kernel has no {' and no '.join(gone)}, which a run is followed by (Linux has "
                "both from 3.7 on); a memory image of a guest that died can be looked at all the "
                "same: run it again without --no-dump"
            )


def symbols_of(boot: qemu.Boot, artifacts: Artifacts) -> KernelSymbols:
    """Of the kernel in a guest's snapshot. Raises LabError where they cannot be had."""
    assert boot.memory is not None
    snapshot = Snapshot(boot.memory.ram.parent)

    def make(directory: Path) -> None:
        artifacts.catalog.say(f"reading the kernel's symbols in a guest of {boot.kernel.name}")
        found = kallsyms.read(boot)
        content = symbols.elf(boot.machine.arch, found, _frames(boot, found))
        (directory / "kernel").write_bytes(content)
        needed = (one for one in found if one.name in (trace.PRINTS, trace.LOADS))
        lines = (f"{one.name} {one.address:x}\n" for one in needed)
        (directory / "addresses").write_text("".join(lines))

    key = f"{snapshot.directory.name}-{content_key(_FORMAT, snapshot.sums.read_text())}"
    directory = artifacts.cache.get(KIND, key, make)
    words = (line.split() for line in (directory / "addresses").read_text().splitlines())
    return KernelSymbols(directory / "kernel", {name: int(address, 16) for name, address in words})


def _frames(boot: qemu.Boot, found: Sequence[kallsyms.Symbol]) -> bytes:
    """How to go up the kernel's stack: by its own tables (ORC), else by its frame pointers."""
    known = {symbol.name: symbol.address for symbol in found}
    if known.keys() >= set(orc.TABLES):
        begin, end, entries = (known[name] for name in orc.TABLES)
        count = (end - begin) // orc.PLACE.size
        with _memory(boot) as stub:
            places = stub.read(begin, count * orc.PLACE.size)
            rows = orc.rows(begin, places, stub.read(entries, count * orc.ENTRY.size))
        return orc.debug_frame(rows)
    if boot.machine.arch.name != "i386":
        return b""
    with _memory(boot) as stub:
        texts = [(one.address, stub.read(one.address, one.size)) for one in symbols.covered(found)]
    return frames.debug_frame(texts, found)


@contextlib.contextmanager
def _memory(boot: qemu.Boot) -> Iterator[Stub]:
    """The memory of a guest that stands at its beginning."""
    with tempfile.TemporaryDirectory(prefix="vmlab-symbols-") as folder:
        run = qemu.RunDirectory(Path(folder))
        run.program.write_bytes(program.archive([], {}))
        run.mode.write_text(program.mode(0, boot.machine.seed))
        with (
            tape.followed(replace(boot, run=run), None) as guest,
            guest.stub(_READ_S) as stub,
        ):
            yield stub
