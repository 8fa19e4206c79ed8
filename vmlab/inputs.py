"""What a run is made from, each part named by the hash of its content."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from vmlab.backend import Job
from vmlab.cache import content_key
from vmlab.guest import qemu
from vmlab.guest.emulator import Emulator
from vmlab.scenario import Expanded
from vmlab.snapshots import qemu_version

MEANING = MappingProxyType(
    {
        "scenario": "the scenario's content",
        "sources": "the sources of its modules and workloads",
        "program": "the program: steps, modules and workloads as they were built",
        "kernel": "the kernel's bootable file",
        "image": "the guest's userland",
        "machine": "the guest's machine (memory, processors, clock, devices)",
        "qemu": "QEMU's version",
    }
)
"""The parts, in the order in which they stand in a token."""


def inputs(job: Job, expanded: Expanded, sources: Mapping[str, bytes], how: str) -> dict[str, str]:
    """16 hexadecimal digits for each part. `how` names the backend; the program is in its place."""
    parts = {
        "scenario": scenario_key(expanded),
        "sources": content_key(*_flat(sources)),
        "program": file_key(job.run.program),
        "kernel": _kept(job.vmlinuz),
        "image": _kept(job.image),
        "machine": machine_key(job.machine, how),
        "qemu": content_key(qemu_version(job.runs_in.program)),
    }
    return {name: parts[name] for name in MEANING}


def machine_key(machine: qemu.Machine, how: str) -> str:
    """Of the machine alone: not of where on this host QEMU is."""
    return content_key(how, *qemu.recipe(machine, Emulator("qemu")))


def scenario_key(expanded: Expanded) -> str:
    """Of what a scenario says, without comments and layout."""
    values = (f"{key}={value}" for key, value in expanded.values.items())
    return content_key(expanded.scenario.model_dump_json(by_alias=True), *values)


def output_key(run: qemu.RunDirectory) -> str:
    """Of all that the guest gave: console and results."""
    found = (path.read_bytes() if path.exists() else b"" for path in (run.console, run.results))
    return content_key(*found)


def file_key(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:16]


def _kept(path: Path) -> str:
    """Of a file in the cache, which never changes its content under one name."""
    about = path.stat()
    return _once(path, about.st_size, about.st_mtime_ns)


@cache
def _once(path: Path, size: int, time_ns: int) -> str:
    return file_key(path)


def _flat(files: Mapping[str, bytes]) -> Iterable[bytes]:
    for name in sorted(files):
        yield name.encode()
        yield files[name]
