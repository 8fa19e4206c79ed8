"""Tables of devices that modpost measures wrongly.

Debian's kbuild of amd64 builds for i386 too, and its modpost takes pointers in such a table's
records for as long as its own: it ends there, whatever the module. Without the table's symbol it
goes on; what is lost are names by which a module is found for a device, and nothing here reads
these.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.build.process import Done

if TYPE_CHECKING:
    from vmlab.build.kbuild import Tree

# Kinds of tables whose records hold pointers. (Linux: include/linux/mod_devicetable.h)
_WRONG = re.compile(
    r"FATAL: (?:modpost: )?(\S+): sizeof\(struct (dmi|of|wmi)_device_id\)=\d+ is not a modulo"
)
_MOST = 20  # tables


def built(
    tree: "Tree", run: Callable[[Sequence[str]], Done], words: Sequence[str], work: Path
) -> Done:
    """Runs a build's command by `run`, for Debian's i386 again without each such table."""
    dropped: set[tuple[Path, str]] = set()
    while True:
        done = run(words)
        ours = tree.arch.name == "i386" and not tree.number and done.returncode
        found = _WRONG.search(done.stderr + done.stdout) if ours else None
        if not found or done.ended or len(dropped) == _MOST:
            return done
        name, kind = found.groups()
        table = (work / f"{name}.o", kind)
        if table in dropped or not table[0].is_file():
            return done
        dropped.add(table)
        run(["objcopy", "-w", "-N", f"__mod_{kind}__*_device_table", str(table[0])])
