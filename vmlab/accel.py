"""Which accelerator a guest gets. KVM only where a guest has really run on it.

On some hosts /dev/kvm exists, opens and makes a machine whose guest then dies or hangs.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.cache import content_key
from vmlab.errors import LabError
from vmlab.guest import launch, program, qemu, results

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DEVICE = Path("/dev/kvm")
_TRIAL_S = 20.0


def accelerator(wish: str, artifacts: Artifacts) -> Callable[[Arch], str]:
    """For `auto` a probe that boots a guest once per boot of the host, else the wish itself."""
    if wish != "auto":
        return lambda arch: wish
    return lambda arch: "kvm" if kvm_works(arch, artifacts) else "tcg"


def kvm_works(arch: Arch, artifacts: Artifacts) -> bool:
    """Whether a guest has run on KVM since the host's boot; tries it where that is not known."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return False
    key = f"kvm-{arch.name}-{content_key(_BOOT_ID.read_text())}"

    def make(directory: Path) -> None:
        (directory / "result").write_text(try_kvm(arch, artifacts))

    return (artifacts.cache.get("probes", key, make) / "result").read_text() == "works"


def try_kvm(arch: Arch, artifacts: Artifacts) -> str:
    """`works`, or what went wrong when the newest default kernel was booted on KVM."""
    try:
        chosen = [kernel for kernel in artifacts.catalog.select(None) if kernel.arch == arch]
        kernel = artifacts.catalog.obtain(chosen[-1])
        with tempfile.TemporaryDirectory(prefix="vmlab-kvm-") as folder:
            run = qemu.RunDirectory(Path(folder))
            run.program.write_bytes(program.archive([program.step("sleep", "", ms=1)], {}))
            run.mode.write_text(program.mode(10_000, 1))
            machine = qemu.Machine(arch, clock="real", accel="kvm")
            image = artifacts.image(arch)
            boot = qemu.Boot(machine, artifacts.catalog.image(kernel), image, run)
            ended = launch.run(boot, _TRIAL_S)
            text = run.results.read_text(errors="replace") if run.results.exists() else ""
    except LabError as error:
        return f"the trial could not be made: {error}"
    if results.parse(text).kernel:
        return "works"
    return f"the trial guest did not start: {ended.how} {ended.detail}".strip()
