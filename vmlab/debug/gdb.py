"""What gdb is told: a script that loads all symbols and takes hold of the guest."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vmlab.debug.trace import Load
from vmlab.errors import UsageError

GDB = "gdb"
# A stranger's module names its sections: one that gdb would take for more than a name is left out.
_SECTIONS = re.compile(
    r"\.(text|init\.|exit\.|data|rodata|bss|gnu\.linkonce\.this_module)[A-Za-z0-9_.$-]*"
)


def script(kernel: Path, loads: Sequence[Load], socket: Path, sources: Path | None) -> str:
    """For a guest that waits. `sources` is where the modules' sources are, if they are here."""
    return "\n".join([*_symbols(kernel, loads, sources), f"target remote {socket}", ""])


def image_script(kernel: Path, loads: Sequence[Load], image: Path, sources: Path | None) -> str:
    """For a memory image."""
    return "\n".join([*_symbols(kernel, loads, sources), f"core-file {_quoted(image)}", ""])


def _symbols(kernel: Path, loads: Sequence[Load], sources: Path | None) -> list[str]:
    lines = ["set confirm off", "set filename-display basename", f"file {_quoted(kernel)}"]
    if sources:  # modules name theirs relative to it
        lines.append(f"directory {_quoted(sources)}")
    for load in loads:
        lines.append(f"pipe {added(load)} | cat > /dev/null")  # it lists the addresses again
    return lines


def added(load: Load) -> str:
    """The command that adds a module's symbols, with the addresses of its sections."""
    sections = [
        f"-s {name} {address:#x}"
        for name, address in sorted(load.sections.items())
        if _SECTIONS.fullmatch(name)
    ]
    return f"add-symbol-file {_quoted(load.module.path)} {' '.join(sections)}"


def command(script: Path, commands: Sequence[str]) -> list[str]:
    """What starts gdb; with commands it does these and leaves."""
    told = [word for one in commands for word in ("-ex", one)]
    return [GDB, "-q", *(["-batch"] if commands else []), "-x", str(script), *told]


def run(command: Sequence[str]) -> int:
    """Runs gdb in the foreground and returns its status; Ctrl-C is for gdb, not for the lab."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        return subprocess.run(command, check=False, env={**os.environ, "LC_ALL": "C"}).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def need() -> None:
    """Raises UsageError where gdb is not here."""
    if shutil.which(GDB) is None:
        raise UsageError("gdb was not found: install it (`apt-get install gdb`)")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
