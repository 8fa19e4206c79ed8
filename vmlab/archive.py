"""One file with all inputs of a run: another machine replays it with vmlab and QEMU alone."""

import contextlib
import gzip
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vmlab.arch import ARCHES
from vmlab.backend import Job
from vmlab.cache import Cache
from vmlab.catalog import Added, Catalog, Kernel
from vmlab.errors import LabError, UsageError
from vmlab.guest import qemu
from vmlab.inputs import file_key, inputs
from vmlab.machines import memory_mib
from vmlab.perturb import perturbation
from vmlab.qemus import chosen
from vmlab.runner import Prepared, Run
from vmlab.scenario import Known, expand, load
from vmlab.tokens import Token, read

KIND = "imported"
_LIMIT = 1 << 30  # bytes of one member
_BLOCK = 1 << 20
_OUTPUT = ("console", "results")
# What a file that is no archive of a run, or one that is damaged, shows itself by.
_DAMAGE = (
    tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValidationError, ValueError,
)  # fmt: skip


class Meta(BaseModel):
    """What an archive says of itself, in its meta.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    token: str
    arch: str
    qemu: str
    modules: list[str]
    workloads: list[str]
    inputs: dict[str, str]
    firmware: list[str] = []
    release: str = ""  # the kernel's `uname -r`, where that is not its name


@dataclass(frozen=True)
class Imported:
    """An archive's content, in the cache."""

    directory: Path
    meta: Meta
    token: Token

    def prepare(self, directory: Path, catalog: Catalog) -> Prepared:
        """Its run, to be run again in a directory. Raises UsageError for a bad scenario."""
        run = qemu.RunDirectory(directory)
        directory.mkdir(parents=True, exist_ok=True)
        for path in (run.program, run.mode):
            path.write_bytes((self.directory / path.name).read_bytes())
        known = Known(
            frozenset(self.meta.modules), frozenset(self.meta.workloads),
            firmware=frozenset(self.meta.firmware),
        )  # fmt: skip
        loaded = load(self.directory / f"{self.token.scenario}.yaml", known)
        combinations = expand(loaded)
        if self.token.combination >= len(combinations) or "sources" not in self.meta.inputs:
            raise UsageError("the archive's token and scenario do not fit together: it is damaged")
        expanded = combinations[self.token.combination]
        scenario, arch = loaded.scenario, ARCHES[self.meta.arch]
        image = self.directory / "initramfs"
        machine = qemu.Machine(
            arch, memory_mib(scenario, image), scenario.cpus, scenario.clock, "tcg",
            self.token.seed,
            perturbation(self.token.seed) if self.token.how.perturbed else None,
            tuple(scenario.devices),
        )  # fmt: skip
        kernel = Kernel(self.token.kernel, arch, False, (), (), self._added())
        vmlinuz = self.directory / "boot" / f"vmlinuz-{kernel.id}"
        timeout_s = scenario.timeout / 1000
        job = Job(
            kernel, machine, image, vmlinuz, run, timeout_s,
            chosen(machine, catalog),
        )  # fmt: skip
        made = inputs(job, expanded, {}, "qemu")
        return Prepared(job, expanded, {**made, "sources": self.meta.inputs["sources"]})

    def _added(self) -> Added | None:
        """A kernel that its user had added: its name is not what it says of itself."""
        release = self.meta.release
        return (
            Added(self.directory, release, "an archive", None, False, "", "", False)
            if release
            else None
        )


def check(prepared: Prepared, file: Path) -> None:
    """Raises LabError for a run that no archive can hold, or a place where none can be written."""
    if prepared.peer:
        raise LabError(
            f"writing {file}: {prepared.expanded.name} is of two guests, and an archive holds one; "
            "give its token, or the project"
        )
    if not file.parent.is_dir():
        raise LabError(f"writing {file}: there is no directory {file.parent}")


def export(prepared: Prepared, run: Run, version: str, file: Path) -> None:
    """Writes a run that was just run into an archive. Raises LabError where that fails."""
    job, expanded = prepared.job, prepared.expanded
    check(prepared, file)
    meta = Meta(
        token=str(run.token), arch=job.kernel.arch.name, qemu=version,
        modules=expanded.modules, workloads=[*expanded.scenario.workloads],
        inputs=dict(prepared.inputs), firmware=[*expanded.scenario.firmware],
        release=job.kernel.release if job.kernel.added else "",
    )  # fmt: skip
    members = {
        "meta.json": json.dumps(meta.model_dump(), indent=1).encode(),
        f"{expanded.scenario.name}.yaml": expanded.text.encode(),
        "vmlinuz": job.vmlinuz.read_bytes(),
        "initramfs": job.image.read_bytes(),
        "program.tar": job.run.program.read_bytes(),
        "mode": job.run.mode.read_bytes(),
        **{name: (job.run.path / name).read_bytes() for name in _OUTPUT},
    }
    try:
        with _beside(file) as made, tarfile.open(made, "w:gz") as tar:
            for name, content in members.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    except OSError as error:
        raise LabError(f"writing {file}: {(error.strerror or str(error)).lower()}") from error


@contextlib.contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """Where a file is written that is renamed once it is whole; what is no file is itself."""
    if file.exists() and not file.is_file():
        yield file
        return
    made = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        yield made
        made.rename(file)
    finally:
        made.unlink(missing_ok=True)


def opened(file: Path, cache: Cache) -> Imported:
    """Takes an archive into the cache. Raises UsageError where it is none."""
    directory = cache.get(KIND, file_key(file), lambda made: _unpack(file, made))
    meta = Meta.model_validate_json((directory / "meta.json").read_text())
    return Imported(directory, meta, read(meta.token))


def _unpack(file: Path, directory: Path) -> None:
    try:
        with gzip.open(file) as packed, tarfile.open(fileobj=packed, mode="r:") as tar:
            meta = Meta.model_validate_json(_member(tar, "meta.json"))
            token = read(meta.token)
            for name, target in _places(token).items():
                path = directory / target
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(_member(tar, name))
            while packed.read(_BLOCK):  # the checksum stands at the end
                pass
    except _DAMAGE as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"{file} is no archive of a run, or is cut short: {said}") from error
    if meta.arch not in ARCHES:
        raise UsageError(f"{file} is of architecture {meta.arch!r}, which is unknown here")


def _places(token: Token) -> dict[str, str]:
    """Where each member goes; nothing else of an archive is looked at."""
    plain = ("meta.json", "initramfs", "program.tar", "mode", f"{token.scenario}.yaml", *_OUTPUT)
    return {name: name for name in plain} | {"vmlinuz": f"boot/vmlinuz-{token.kernel}"}


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    about = tar.getmember(name)
    content = tar.extractfile(about) if about.isreg() and about.size <= _LIMIT else None
    if content is None:
        raise KeyError(f"{name} is not a plain file")
    return content.read()
