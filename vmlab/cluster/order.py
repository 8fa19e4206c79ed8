"""What goes between the lab and a worker."""

from collections.abc import Mapping
from dataclasses import dataclass

from vmlab.cache import content_key
from vmlab.guest.launch import How
from vmlab.guest.qemu import Machine, recipe

FORMAT = 1
"""Another number where a worker of another vmlab would take an order for something else."""
FILES = ("console", "results", "transcript", "argv")
"""What a guest leaves in its directory, and a worker sends back."""


@dataclass(frozen=True)
class File:
    """An input: its name, and the hash of what it holds."""

    name: str
    digest: str


@dataclass(frozen=True)
class Order:
    """One guest to be booted."""

    key: str  # tells it from every other
    kernel: str
    release: str  # the kernel's `uname -r`
    machine: Machine
    vmlinuz: File
    image: File
    program: File
    mode: bytes
    timeout_s: float
    flood: int | None
    snapshot: bool
    qemu: str  # the version that it must run in
    recipe: str  # the hash of the command that starts such a machine here
    format: int = FORMAT

    @property
    def files(self) -> tuple[File, ...]:
        return self.vmlinuz, self.image, self.program


@dataclass(frozen=True)
class Done:
    """How the guest ended, and its files, packed."""

    how: How
    detail: str
    restored: bool
    files: Mapping[str, bytes]
    worker: str  # its name
    address: str
    cpu_s: float  # what QEMU took of that machine's processors


@dataclass(frozen=True)
class Missing:
    """The worker has not all inputs yet."""

    address: str
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """The worker is not one for this order, or it has trouble of its own."""

    worker: str
    address: str
    why: str
    for_good: bool  # whether every other order of this lab would be refused as well


Answer = Done | Missing | Refused


def recipe_key(machine: Machine) -> str:
    """Of what starts a machine, wherever QEMU is installed; another vmlab may start another."""
    return content_key(*(word for word in recipe(machine) if "qemu-system" not in word))
