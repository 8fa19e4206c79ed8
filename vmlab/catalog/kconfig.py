"""A kernel's configuration: what it says, and whether such a kernel can boot in a guest."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import ARCHES, Arch

Config = Mapping[str, str]
Number = tuple[int, ...]
_SET = re.compile(r"^CONFIG_(\w+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Needed:
    """An option that must be `y`, and why."""

    option: str
    why: str
    since: Number = (2, 6)  # the first kernel that can be built without it


NEEDED = (
    Needed("PRINTK", "the kernel would print nothing to judge", (2, 6, 12)),
    Needed("TTY", "there would be no console", (3, 9)),
    Needed("SERIAL_8250", "the console is a serial port"),
    Needed("SERIAL_8250_CONSOLE", "the kernel's messages go to the serial port"),
    Needed("BLK_DEV_INITRD", "the guest's userland is an initramfs"),
    Needed("BINFMT_ELF", "the guest's programs are ELF files"),
    Needed("PROC_FS", "the agent and scenarios read /proc"),
    Needed("X86_IOPL_IOPERM", "the agent talks to QEMU's ports", (5, 5)),
    Needed("MODULES", "modules are what is tested"),
)


def read(path: Path) -> Config:
    """The options that are set, without CONFIG_."""
    return dict(_SET.findall(path.read_text(errors="replace")))


def arch(config: Config) -> Arch | None:
    """The architecture that it is for, None for one that the lab has not."""
    if config.get("X86_64") == "y":
        return ARCHES["x86_64"]
    return ARCHES["i386"] if "y" in (config.get("X86"), config.get("X86_32")) else None


def problems(config: Config, number: Number) -> list[str]:
    """Each option for which the kernel cannot boot in a guest; its release's numbers are given."""
    return [
        f"CONFIG_{one.option} is {_is(config.get(one.option))}, and must be y: {one.why}"
        for one in NEEDED
        if number >= one.since and config.get(one.option) != "y"
    ]


def _is(value: str | None) -> str:
    return "not set" if value is None else value
