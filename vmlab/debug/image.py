"""From a memory image to gdb: the kernel's symbols, and its modules where they are in the image."""

import shlex
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.debug import gdb, kernels
from vmlab.debug.modules import ModuleFile
from vmlab.debug.stop import unpacked
from vmlab.debug.trace import Load
from vmlab.errors import LabError
from vmlab.guest import images, qemu
from vmlab.guest.corefile import Core
from vmlab.guest.images import Kept
from vmlab.guest.monitor import Monitor
from vmlab.snapshots import Snapshots

SCRIPT = "memory.gdb"


def commands(kept: Kept, job: Job, artifacts: Artifacts, sources: Path | None) -> list[str]:
    """What to type to look at the images of a job's guest. Writes gdb's script beside them.

    Raises LabError where the kernel's symbols cannot be had.
    """
    told = []
    for image in kept.images:
        if image.format == "elf":
            words = gdb.command(script(image.path, job, artifacts, sources), [])
            several = "thread apply all " if job.machine.cpus > 1 else ""
            told.append(shlex.join([*words, "-ex", f"{several}backtrace"]))
    return told


def script(image: Path, job: Job, artifacts: Artifacts, sources: Path | None) -> Path:
    """gdb's script for an ELF image, beside it."""
    kernel = kernels.symbols_of(_begun(job, artifacts), artifacts).file
    written = image.with_name(SCRIPT)
    with Core(image) as core:
        check(core, kernel, job.machine.arch)
        loads = list(located(core, list(unpacked(job.run))))
    written.write_text(gdb.image_script(kernel, loads, image, sources))
    return written


def attach_script(
    boot: qemu.Boot,
    monitor: Monitor,
    pid: int,
    job: Job,
    artifacts: Artifacts,
    sources: Path | None,
) -> Path:
    """gdb's script for a guest that stands and was begun for a job, with the modules in it now."""
    image = boot.run.path.absolute() / images.FORMATS["elf"]
    try:
        images.write_elf(monitor, pid, image, boot.machine)
        with Core(image) as core:
            loads = list(located(core, list(unpacked(job.run))))
    finally:
        image.unlink(missing_ok=True)
    kernel = kernels.symbols_of(_begun(job, artifacts), artifacts).file
    written = boot.run.path.absolute() / "gdb"
    written.write_text(gdb.script(kernel, loads, boot.gdb_socket, sources))
    return written


def check(core: Core, kernel: Path, arch: Arch) -> None:
    """Raises LabError where the kernel in the image is not where these symbols say."""
    long = arch.name == "x86_64"
    handler = struct.pack("<Q" if long else "<I", core.page_fault_handler(long))
    if handler not in kernel.read_bytes():
        raise LabError(
            "the kernel is not where its symbols say: it chose another place at this boot "
            "(a guest on the virtual clock, from a snapshot, has it where they say)"
        )


def located(core: Core, modules: Sequence[ModuleFile]) -> Iterator[Load]:
    """The modules that are in the image, each where it is."""
    for module in modules:
        records = module.records(core.places(module.name.encode() + b"\0"))
        found = max((module.in_place(one, core.read) for one in records), key=len, default={})
        if found:
            yield Load(module, found, 0)


def _begun(job: Job, artifacts: Artifacts) -> qemu.Boot:
    """A guest whose kernel stands where it stood in the job's: one from its snapshot."""
    machine = replace(job.machine, clock="virtual", accel="tcg")
    cold = qemu.Boot(machine, job.vmlinuz, job.image, job.run, emulator=job.emulator)
    memory = Snapshots(artifacts.cache, artifacts.catalog.say).memory(cold)
    if memory is None:
        raise LabError("this kernel's symbols are read in a guest from a snapshot: there is none")
    return replace(cold, memory=memory)
