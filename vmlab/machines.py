"""What a scenario runs on: machine and userland, and what of that a backend cannot give. Pure, but
for images that are made where they are not there yet."""

from collections.abc import Collection, Sequence
from pathlib import Path

from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.backend import Backend, PairBackend
from vmlab.cache import content_key
from vmlab.catalog import Kernel, kconfig
from vmlab.errors import LabError
from vmlab.guest import devices, program, qemu
from vmlab.images import Userland
from vmlab.perturb import perturbation
from vmlab.scenario import Expanded
from vmlab.scenario.facts import number_of
from vmlab.scenario.model import Scenario

UDEV = tuple(
    f"CONFIG_{name}"
    for name in (
        "DEVTMPFS", "EPOLL", "FHANDLE", "INOTIFY_USER", "NET", "PROC_FS", "SIGNALFD", "SYSFS",
        "TIMERFD", "TMPFS", "UNIX",
    )
)  # fmt: skip
"""What a kernel must have for udev to run (systemd 252: README, "REQUIREMENTS")."""
MOST_MIB = 4096
"""The memory that a guest has at most."""


def image(artifacts: Artifacts, scenario: Scenario, arch: Arch) -> Path:
    """The initramfs that it wants. Raises what making it raises."""
    if scenario.image == "tiny":
        return artifacts.image(arch)
    wanted = Userland(tuple(sorted(set(scenario.packages))), scenario.udev)
    return artifacts.debian(arch, wanted)


def machine(
    expanded: Expanded, arch: Arch, image: Path | None, kvm: bool, seed: int, perturb: bool
) -> qemu.Machine:
    """The machine of its guest; of the first one, where there are two.

    Where there is no image yet, its memory may be less than it will be.
    """
    scenario = expanded.scenario
    return qemu.Machine(
        arch, memory_mib(scenario, image), scenario.cpus, scenario.clock,
        "kvm" if scenario.clock == "real" and kvm else "tcg", seed,
        perturbation(seed) if perturb and not expanded.paired else None,
        tuple(scenario.devices), "a" if expanded.paired else "",
    )  # fmt: skip


def memory_mib(scenario: Scenario, image: Path | None) -> int:
    """The guest's memory: a Debian image, which is held in it, has what it needs.

    Raises LabError where that is more than a guest can have.
    """
    if scenario.image == "tiny" or "memory" in scenario.model_fields_set or image is None:
        return scenario.memory
    from vmlab.images import debian

    wanted = debian.memory_mib(image.stat().st_size)
    if wanted > MOST_MIB:
        raise LabError(
            f"{image} would need {wanted} MiB of memory, and a guest has {MOST_MIB} at most; list "
            "fewer `packages:`, or say `memory:`"
        )
    return wanted


def option(machine: qemu.Machine) -> str:
    """What stands in the mode of a guest on this machine, besides limit and seed."""
    ids = ",".join(devices.forgotten(machine.devices))
    words = [
        f"{program.RESCAN} {ids}" if ids else "",
        program.PEER if machine.role else "",
        machine.perturbation.option if machine.perturbation else "",  # its numbers end the mode
    ]
    return " ".join(word for word in words if word)


def exact(machine: qemu.Machine, backend: str, restored: bool) -> bool:
    """Whether a run's bytes can be expected to repeat (docs/two-cpus.md for several processors)."""
    return not why_inexact(machine, backend, restored)


def why_inexact(machine: qemu.Machine, backend: str, restored: bool) -> str:
    """Why a run's bytes need not repeat, empty where they can be expected to."""
    late = [name for name in machine.devices if not devices.exact([name])]
    reasons = {
        "virtme-ng boots it": backend != "qemu",
        "it is on the real clock": machine.clock != "virtual",
        "it is of two guests": bool(machine.role),
        "with several processors only runs from a snapshot do": machine.cpus > 1 and not restored,
        f"what {' and '.join(late)} do takes the host's time": bool(late),
    }
    return next((why for why, true in reasons.items() if true), "")


def too_old(kernel: Kernel, scenario: Scenario) -> str | None:
    """What of it a kernel is too old for, whatever it is configured with."""
    number = number_of(kernel.release)
    for wish, since, why in (
        (scenario.image == "debian", (3, 2), "Debian's C library refuses older kernels"),
        (bool(scenario.firmware), (3, 7), "older kernels ask a program for firmware"),
    ):
        if wish and () < number < since:
            return f"{kernel.release} is before Linux {'.'.join(map(str, since))}: {why}"
    return None


def beyond(backend: Backend, scenario: Scenario) -> str | None:
    """What the backend cannot give it: virtme-ng makes the machine and the userland itself."""
    its_own = backend.name == "virtme"
    wanted = {
        "devices": its_own and bool(scenario.devices),
        "image: debian": its_own and scenario.image == "debian",
        "network: pair": scenario.network == "pair" and not isinstance(backend, PairBackend),
    }
    found = [name for name, wish in wanted.items() if wish]
    return f"guests that are booted in this way have no {', '.join(found)}" if found else None


def options(scenario: Scenario) -> list[str]:
    """What a kernel must have been configured with for it."""
    return [
        *scenario.config,
        *(UDEV if scenario.udev else ()),
        *(["CONFIG_PCI"] if scenario.devices else []),  # where each of them is
        *(["CONFIG_FW_LOADER"] if scenario.firmware else []),
    ]


def lacks(kernel: Kernel, config: Collection[str] | None, options: Sequence[str]) -> str | None:
    """Which options a kernel was not configured with; one that does not tell is tried."""
    if config is None:
        return None
    missing = kconfig.missing(config, options, number_of(kernel.release))
    return f"{kernel.id} has no {', '.join(missing)}" if missing else None


def seed_of(expanded: Expanded, kernel: Kernel) -> int:
    """The seed of a run that was given none: from the scenario's and the kernel's names."""
    return int(content_key(expanded.name, kernel.id)[:8], 16)
