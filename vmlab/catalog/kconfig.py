"""A kernel's configuration: what it says, and whether such a kernel can boot in a guest."""

import re
from collections.abc import Collection, Mapping, Sequence
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


@dataclass(frozen=True)
class Former:
    """The name that an option has in kernels before `until`."""

    option: str
    name: str
    until: Number
    source: str


FORMER = (
    Former("CONFIG_SOFTLOCKUP_DETECTOR", "CONFIG_DETECT_SOFTLOCKUP", (2, 6, 36),
           "kernel/softlockup.c"),
    Former("CONFIG_SOFTLOCKUP_DETECTOR", "CONFIG_LOCKUP_DETECTOR", (4, 13),
           "kernel/watchdog.c; since 4.13 what soft and hard lockups have in common"),
)  # fmt: skip


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


def missing(have: Collection[str], wanted: Sequence[str], number: Number) -> list[str]:
    """Which of the wanted options a kernel of these numbers lacks, by the names that it has there.

    `CONFIG_A|CONFIG_B` is met by either.
    """
    names = [[_there(each, number) for each in one.split("|")] for one in wanted]
    return [" or ".join(one) for one in names if not any(name in have for name in one)]


def _there(option: str, number: Number) -> str:
    """What an option is called in a kernel of these numbers."""
    return next((one.name for one in FORMER if one.option == option and number < one.until), option)


def _is(value: str | None) -> str:
    return "not set" if value is None else value
