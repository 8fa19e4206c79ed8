"""What the lab needs of the host: what is here, what is missing, what was tried."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from vmlab import accel
from vmlab.arch import ARCHES, Arch
from vmlab.artifacts import Artifacts
from vmlab.catalog import apt
from vmlab.errors import LabError

QEMU_OLDEST = (7, 2)
"""The first QEMU that the lab was tried with."""
SPACE_WANTED = 4 << 30  # bytes: all kernels unpacked, images and builds
_VERSION = re.compile(r"version (\d+)\.(\d+)\S*")

State = Literal["ok", "note", "missing"]
_FOR_SOME = (
    ("gdb", "gdb", "`vmlab replay --gdb`"),
    ("mmdebstrap", "mmdebstrap", "scenarios with `image: debian`"),
    ("bwrap", "bubblewrap", "`--build-sandbox`"),
)


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's; `advice` is what to do."""

    state: State
    what: str
    advice: str = ""


def findings(artifacts: Artifacts) -> Iterator[Finding]:
    """Everything that is looked at, as it is found; some of it takes seconds."""
    for arch in ARCHES.values():
        yield qemu_finding(arch)
    for arch in ARCHES.values():
        yield compiler_finding(arch)
    for tool, package in (("make", "make"), ("setpriv", "util-linux"), ("dpkg-deb", "dpkg")):
        yield tool_finding(tool, package)
    for tool, package, use in _FOR_SOME:
        yield optional_finding(tool, package, use)
    yield mirror_finding()
    yield space_finding(artifacts)
    for arch in ARCHES.values():
        yield userland_finding(artifacts, arch)
    for arch in ARCHES.values():
        yield kvm_finding(artifacts, arch)


def qemu_finding(arch: Arch) -> Finding:
    """QEMU for an architecture, and whether it is new enough."""
    name = f"qemu-system-{arch.qemu}"
    try:
        said = subprocess.run(
            [name, "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return Finding("missing", f"{name} was not found", "install qemu-system-x86")
    return qemu_version_finding(name, said)


def qemu_version_finding(name: str, said: str) -> Finding:
    found = _VERSION.search(said)
    if not found:
        return Finding("missing", f"{name} says no version: {said[:80]!r}", "install it anew")
    text = f"{name} {found[0].removeprefix('version ')}"
    if (int(found[1]), int(found[2])) < QEMU_OLDEST:
        wanted = ".".join(map(str, QEMU_OLDEST))
        return Finding("missing", f"{text} is too old", f"install {wanted} or newer")
    return Finding("ok", text)


def compiler_finding(arch: Arch) -> Finding:
    """gcc, and its library for an architecture."""
    command = ["gcc", arch.gcc_flag, "-print-libgcc-file-name"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return Finding("missing", f"gcc {arch.gcc_flag}: {error}", "install gcc and gcc-multilib")
    if "/" not in said:
        return Finding("missing", f"gcc {arch.gcc_flag} has no library", "install gcc-multilib")
    return Finding("ok", f"gcc {arch.gcc_flag} for {arch.name}")


def tool_finding(tool: str, package: str) -> Finding:
    where = shutil.which(tool)
    if where is None:
        return Finding("missing", f"{tool} was not found", f"install {package}")
    return Finding("ok", f"{tool}: {where}")


def optional_finding(tool: str, package: str, use: str) -> Finding:
    """A tool that the lab does without but for one use."""
    where = shutil.which(tool)
    if where is None:
        return Finding("note", f"{tool} was not found", f"install {package}, for {use}")
    return Finding("ok", f"{tool}: {where}")


def mirror_finding() -> Finding:
    try:
        return Finding("ok", f"Debian mirror: {apt.mirrors().main}")
    except LabError as error:
        return Finding("missing", str(error))


def space_finding(artifacts: Artifacts) -> Finding:
    """Room for the cache where it is."""
    folder = artifacts.cache.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"cache {artifacts.cache.root}: {free / (1 << 30):.1f} GiB free"
    if free < SPACE_WANTED:
        return Finding("note", text, "`vmlab cache prune`, or VMLAB_CACHE on another disk")
    return Finding("ok", text)


def userland_finding(artifacts: Artifacts, arch: Arch) -> Finding:
    """Whether agent and busybox are built with musl; builds them."""
    return _tried(lambda: f"tiny image for {arch.name}: {artifacts.image(arch)}")


def kvm_finding(artifacts: Artifacts, arch: Arch) -> Finding:
    """Whether a guest really runs on KVM; without it TCG serves everything."""
    if accel.kvm_works(arch, artifacts):
        return Finding("ok", f"KVM runs {arch.name} guests (for `clock: real`)")
    return Finding("note", f"no {arch.name} guest runs on KVM: TCG is used",
                   "nothing is needed; scenarios on the virtual clock use TCG anyway")  # fmt: skip


def _tried(attempt: Callable[[], str]) -> Finding:
    try:
        return Finding("ok", attempt())
    except LabError as error:
        return Finding("missing", str(error), "mend what is named, then run this again")
