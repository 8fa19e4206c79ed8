"""What a scenario's machine cannot be, and what is made of that."""

from dataclasses import replace
from pathlib import Path

import pytest

from vmlab import machines
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.build.debootstrap import NoPackage
from vmlab.cache import Cache
from vmlab.catalog import Added, Catalog, Kernel
from vmlab.errors import LabError
from vmlab.guest import devices
from vmlab.lab import load
from vmlab.project import Project, Settings
from vmlab.runner import Runner
from vmlab.scenario.model import Scenario
from vmlab.verdict import Verdict

KERNEL = Kernel("6.1.0-50-686", ARCHES["i386"], False, (), ())


def scenario(**more: object) -> Scenario:
    about = {"name": "case", "about": "a case", "steps": [{"sleep": "1s"}], **more}
    return Scenario.model_validate(about)


def added(release: str) -> Kernel:
    about = Added(Path("x"), release, "x", None, False, "", "", False)
    return replace(KERNEL, id="mine", added=about)


@pytest.mark.parametrize(
    ("release", "image", "reason"),
    [
        ("2.6.32-5-686", "debian", "2.6.32-5-686 is before Linux 3.2: Debian's C library refuses"),
        ("3.1.0", "debian", "3.1.0 is before Linux 3.2"),
        ("3.2.0-4-amd64", "debian", None),
        ("6.1.0", "debian", None),
        ("mine", "debian", None),  # nobody knows; it is tried
        ("2.6.32", "tiny", None),
    ],
)
def test_debian_is_skipped_on_kernels_that_its_c_library_does_not_run_on(release, image, reason):
    found = machines.too_old(added(release), scenario(image=image))
    assert (reason in found) if reason else found is None


def test_udev_needs_options_of_the_kernel_beside_those_that_are_listed():
    wanted = machines.options(scenario(image="debian", udev=True, config=["CONFIG_X"]))
    assert wanted[0] == "CONFIG_X" and {"CONFIG_SIGNALFD", "CONFIG_UNIX"} < set(wanted)
    assert machines.options(scenario(image="debian", config=["CONFIG_X"])) == ["CONFIG_X"]


def test_devices_need_a_bus_and_firmware_who_loads_it():
    assert machines.options(scenario(devices=["edu"], firmware=["a"])) == [
        "CONFIG_PCI", "CONFIG_FW_LOADER",
    ]  # fmt: skip
    assert machines.options(scenario(network="none")) == []


def test_each_device_is_on_that_bus(tmp_path):
    """One on another bus would be skipped for want of what it does not need."""
    buses = {
        word
        for one in devices.TABLE
        for word in devices.arguments([one.name], lambda number: tmp_path)
        if word.startswith(("isa-", "sysbus-", "i2c-", "pvpanic"))
    }
    assert not buses


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"devices": ["edu"]}, "guests that are booted in this way have no devices"),
        ({"image": "debian", "devices": ["edu"]}, "have no devices, image: debian"),
        ({"network": "pair", "devices": ["e1000"]}, "have no devices, network: pair"),
        ({}, None),
    ],
)
def test_what_virtme_ng_cannot_give_is_said(wish, reason):
    class Virtme:
        name = "virtme"

    found = machines.beyond(Virtme(), scenario(**wish))
    assert (reason in found) if reason else found is None
    if "network" not in wish:
        assert machines.beyond(QemuBackend(None), scenario(**wish)) is None


def test_an_image_that_no_guest_has_room_for_is_refused_unless_memory_is_said(tmp_path):
    image = tmp_path / "initramfs"
    with image.open("wb") as file:
        file.truncate(1400 << 20)
    with pytest.raises(LabError, match=r"would need 4352 MiB of memory, and a guest has 4096 at"):
        machines.memory_mib(scenario(image="debian"), image)
    assert machines.memory_mib(scenario(image="debian", memory="3G"), image) == 3072
    assert machines.memory_mib(scenario(), image) == 192


def test_a_package_that_the_archive_lacks_is_a_failure_and_not_the_lab_s(tmp_path, monkeypatch):
    def debian(self, arch, wanted):
        raise NoPackage(f"no package {', '.join(wanted.packages)} for {arch.name}")

    monkeypatch.setattr(Artifacts, "debian", debian)
    monkeypatch.setattr(Catalog, "obtain", lambda self, kernel: kernel)
    (tmp_path / "scenarios").mkdir()
    text = "name: a\nabout: x\nimage: debian\npackages: [frob]\nsteps:\n  - run: true\n"
    (tmp_path / "scenarios" / "a.yaml").write_text(text)
    project = Project(tmp_path, Settings())
    artifacts = Artifacts(Cache(tmp_path / "cache"), Catalog.open(Cache(tmp_path / "cache")))
    (expanded,) = load(project, artifacts.catalog, [], [])
    run = Runner(project, artifacts, QemuBackend(None)).run(expanded, KERNEL)
    assert (run.verdict, run.reason) == (Verdict.FAILED, "no package frob for i386")
