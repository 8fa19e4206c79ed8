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
    r"FATAL: (?:modpost: )?\S+: sizeof\(struct (dmi|of|wmi)_device_id\)=\d+ is not a modulo"
)


def built(
    tree: "Tree", run: Callable[[Sequence[str]], Done], words: Sequence[str], work: Path
) -> Done:
    """Runs a build's command by `run`, for Debian's i386 again without each kind of such tables."""
    dropped: set[str] = set()
    while True:
        done = run(words)
        ours = tree.arch.name == "i386" and not tree.number and done.returncode and not done.ended
        found = _WRONG.search(done.stderr + done.stdout) if ours else None
        if not found or found[1] in dropped:
            return done
        dropped.add(found[1])
        prefix = f"__mod_{found[1]}__"
        for path in work.rglob("*.o"):
            if path.is_file() and prefix.encode() in path.read_bytes():
                run(["objcopy", "-w", "-N", f"{prefix}*_device_table", str(path)])
