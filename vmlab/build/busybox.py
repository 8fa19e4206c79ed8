"""Builds busybox from its source with musl, for one architecture."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vmlab.build import process
from vmlab.build.environment import environment
from vmlab.build.musl import CompileError, Toolchain

_FLAGS = "-fno-pie -no-pie -fno-stack-protector"
# The time of the source's release stands in the banner where this does not fix it.
_REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "0", "KCONFIG_NOTIMESTAMP": "1"}


def build(
    source: Path, toolchain: Toolchain, on: Sequence[str], off: Sequence[str], directory: Path
) -> Path:
    """Makes `directory`/busybox: the default configuration with options set and unset.

    Raises CompileError with the last lines of make.
    """
    specs = directory / "musl.specs"
    specs.write_text(toolchain.specs)
    base = ["make", "-s", "-C", str(source), f"O={directory}", "HOSTCC=gcc", "SKIP_STRIP=n"]
    _make([*base, "defconfig"], toolchain)
    config = directory / ".config"
    config.write_text(configured(config.read_text(), on, off))
    _make([*base, "silentoldconfig"], toolchain)
    compiler = " ".join([*toolchain.command(specs), _FLAGS])
    _make([*base, f"-j{os.cpu_count() or 1}", f"CC={compiler}", "busybox"], toolchain)
    return directory / "busybox"


def configured(config: str, on: Sequence[str], off: Sequence[str]) -> str:
    """A kconfig file with options set to y, and others unset."""
    for names, line in ((on, "CONFIG_{}=y"), (off, "# CONFIG_{} is not set")):
        for name in names:
            config = re.sub(rf"^(?:# )?CONFIG_{name}[= ].*\n", "", config, flags=re.MULTILINE)
            config += line.format(name) + "\n"
    return config


def objects(directory: Path) -> int:
    """How many files are compiled so far where `build` works."""
    return sum(1 for _ in directory.rglob("*.o"))


def applets(busybox: Path) -> list[str]:
    """The names by which this busybox can be called; it runs on the host to say them."""
    done = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


def _make(command: list[str], toolchain: Toolchain) -> None:
    done = process.run(command, environment(**_REPRODUCIBLE))
    if done.returncode:
        last = (done.stdout + done.stderr).splitlines()[-20:]
        said = "\n".join([*([done.ended] if done.ended else []), *last])
        raise CompileError("busybox", toolchain.arch, said)
