"""The table of devices, what QEMU takes of it, and what a scenario may say of it. No guests."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from vmlab.arch import ARCHES
from vmlab.cache import Cache
from vmlab.guest import devices, program, qemu
from vmlab.machines import exact, option, why_inexact
from vmlab.perturb import perturbation
from vmlab.project import Project, Settings
from vmlab.scenario import Known, ScenarioError, expand, load
from vmlab.snapshots import Snapshots, name

QUIT = b'{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n'
HEAD = "name: case\nabout: a case\n"


def boot(folder: Path, *names: str, role: qemu.Role = "") -> qemu.Boot:
    machine = qemu.Machine(ARCHES["x86_64"], devices=names, role=role)
    image = folder / "images" / "tiny" / "initramfs"
    return qemu.Boot(machine, folder / "vmlinuz", image, qemu.RunDirectory(folder))


@pytest.mark.parametrize("arch", list(ARCHES))
@pytest.mark.parametrize("half", [0, 1])  # a machine has no room for all
def test_qemu_takes_each_device_and_nearly_all_of_them_twice(tmp_path, arch, half):
    rows = devices.TABLE[half::2]
    names = [one.name for one in rows for _ in range(1 if one.once else 2)]
    run = qemu.RunDirectory(tmp_path)
    devices.make(names, run.disk)
    words = [f"qemu-system-{ARCHES[arch].qemu}", "-nodefaults", "-display", "none", "-S",
             "-machine", "pc", *qemu.SANDBOX, "-qmp", "stdio"]  # fmt: skip
    words += devices.arguments(names, run.disk)
    done = subprocess.run(words, input=QUIT, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b'"return"' in done.stdout


def test_what_devices_store_is_made_anew_and_is_the_same(tmp_path):
    names = ["edu", "usb-storage", "nvme"]
    run = qemu.RunDirectory(tmp_path)
    assert devices.disks(names) == [1, 2]
    devices.make(names, run.disk)
    first = [run.disk(number).read_bytes() for number in (1, 2)]
    assert [one[:13] for one in first] == [b"vmlab disk 1\n", b"vmlab disk 2\n"]
    assert {len(one) for one in first} == {devices.DISK}
    run.disk(1).write_bytes(b"what a guest wrote")
    devices.make(names, run.disk)
    assert [run.disk(number).read_bytes() for number in (1, 2)] == first


def test_a_comma_in_a_disk_s_path_is_written_twice(tmp_path):
    words = qemu.argv(boot(tmp_path / "a,b", "usb-storage"))
    assert f"{tmp_path}/a,,b/disk-0" in " ".join(words)


def test_cards_differ_within_a_guest_and_between_two():
    def addresses(role: int) -> list[str]:
        words = devices.arguments(["e1000", "edu", "rtl8139"], lambda number: Path("x"), role)
        return [word.split("mac=")[1].split(",")[0] for word in words if "mac=" in word]

    found = [*addresses(0), *addresses(1), *addresses(2)]
    assert len(found) == 6 == len(set(found))


def test_a_snapshot_is_of_one_set_of_devices_and_one_role(tmp_path):
    boots = [boot(tmp_path), boot(tmp_path, "edu"), boot(tmp_path, "edu", "edu")]
    boots += [boot(tmp_path, "e1000", role=role) for role in ("", "a", "b")]
    assert len({name(one) for one in boots}) == len(boots)
    wired = replace(boots[-1], wire=qemu.Wire(7, 8))
    assert name(wired) == name(boots[-1])  # who is at the other end is not of the snapshot
    assert "socket,id=vmlab-wire,fd=7" in " ".join(qemu.argv(wired))
    assert "fd=8" in " ".join(qemu.argv(wired))


@pytest.mark.parametrize(
    ("names", "role", "repeats"),
    [
        ((), "", True),
        (("ivshmem", "e1000"), "", True),
        (("ivshmem", "usb-storage"), "", False),
        (("e1000",), "a", False),
    ],
)
def test_only_devices_on_the_guest_s_clock_promise_that_bytes_repeat(names, role, repeats):
    machine = qemu.Machine(ARCHES["i386"], devices=names, role=role)
    assert exact(machine, "qemu", restored=True) is repeats


@pytest.mark.parametrize(
    ("names", "role", "paced"),
    [((), "", False), (("ivshmem",), "", False), (("edu",), "", True), ((), "a", True)],
)
def test_a_guest_that_waits_for_the_host_has_no_clock_that_leaps(tmp_path, names, role, paced):
    machine = qemu.Machine(ARCHES["i386"], devices=names, role=role)
    assert machine.is_paced is paced
    assert not replace(machine, clock="real").is_paced
    begun = replace(boot(tmp_path, *names), machine=machine, paced=machine.is_paced)
    assert f"sleep={'on' if paced else 'off'}" in " ".join(qemu.argv(begun))


STEP = "steps:\n  - sleep: 1s\n"
CARDS = "a pair needs a network card among devices: e1000, e1000e, rtl8139, virtio-net"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devices: [usb-storag]\n" + STEP, "3:11: unknown device 'usb-storag'; the nearest is "),
        ("devices: [frob]\n" + STEP, "3:11: unknown device 'frob'; there are edu, pci-testdev,"),
        ("packages: [v4l-utils]\n" + STEP, "3:1: packages are of the image `debian`"),
        ("devices: [virtio-balloon, edu, virtio-balloon]\n" + STEP, "3:32: a machine has one "),
        (f"devices: [{', '.join(['edu'] * 17)}]\n" + STEP, "3:10: devices: list should have"),
        ("udev: true\n" + STEP, "3:1: udev are of the image `debian`"),
        ("image: debian\npackages: ['--x']\n" + STEP, "4:12: '--x' is no name of a Debian package"),
        ("firmware: [a/c.bin]\n" + STEP, "3:12: unknown firmware file 'a/c.bin'; the nearest is"),
        ("network: pair\n" + STEP, f"3:10: {CARDS}"),
        ("steps:\n  - sleep: 1s\n    on: b\n", "5:5: only a scenario with network: pair has"),
        (
            "network: pair\ndevices: [e1000]\nsteps:\n  - run: x\n    as: z\n  - run: y {z.a}\n"
            "    on: b\n",
            "8:10: step 'z' is done by guest a, and this one by b: what one gave is not known to",
        ),
        ("network: pair\ndevices: [e1000]\ncpus: 2\n" + STEP, "5:7: the guests of a pair have one"),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_cannot_be_had_is_said_with_its_place(tmp_path, text, said):
    path = tmp_path / "case.yaml"
    path.write_text(HEAD + text)
    with pytest.raises(ScenarioError) as caught:
        load(path, Known(firmware=frozenset({"a/b.bin"})))
    assert f"{path}:{said}" in str(caught.value)


def test_firmware_is_what_is_below_its_directory_and_no_link_out_of_it(tmp_path):
    folder = tmp_path / "firmware" / "vendor"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"a")
    (folder / "b.bin").symlink_to("a.bin")
    (folder / "passwd").symlink_to("/etc/passwd")
    assert sorted(Project(tmp_path, Settings()).firmware()) == ["vendor/a.bin", "vendor/b.bin"]


def test_each_of_two_guests_waits_while_the_other_does_a_step(tmp_path):
    path = tmp_path / "case.yaml"
    steps = "steps:\n  - run: one\n  - run: two\n    on: b\n  - sleep: 1s\n    on: a\n"
    path.write_text(f"{HEAD}network: pair\ndevices: [e1000]\n{steps}")
    (one,) = expand(load(path, Known()))
    verbs = {role: [step.verb for step in one.of_guest(role).steps] for role in ("a", "b")}
    assert verbs == {"a": ["run", "await", "sleep"], "b": ["await", "run", "await"]}
    assert one.of_guest("b").program()[0] == program.step("await", "step 1: run")


@pytest.mark.parametrize(
    "name", ["firmware/../x", "firmware//x", "firmware/", "other/x", "/x", "firmware/./x", "../x"]
)
def test_only_firmware_has_directories_and_none_leads_elsewhere(name):
    with pytest.raises(ValueError, match="is not a plain name"):
        program.archive([], {name: b""})
    assert "firmware/a/b" in program.names(program.archive([], {"firmware/a/b": b""}))


@pytest.mark.parametrize(
    ("release", "name", "boots"),
    [("2.6.29", "edu", True), ("2.6.30", "edu", False), ("2.6.9", "ivshmem", False)],
)
def test_an_old_kernel_that_cannot_find_a_forgotten_device_anew_boots(
    tmp_path, monkeypatch, release, name, boots
):
    head = bytearray(0x300)
    head[0x202:0x206], head[0x20E:0x210] = b"HdrS", b"\0\1"
    (tmp_path / "vmlinuz").write_bytes(bytes(head) + release.encode() + b"\0")
    tried = []
    monkeypatch.setattr(Snapshots, "_try", lambda *_: tried.append(True))
    assert Snapshots(Cache(tmp_path / "cache"), print).memory(boot(tmp_path, name)) is None
    assert tried == ([] if boots else [True])


def test_a_machine_that_cannot_be_frozen_boots_and_nobody_tries(tmp_path):
    made = Snapshots(Cache(tmp_path), lambda text: pytest.fail(text))
    assert made.memory(boot(tmp_path, "edu", "nvme")) is None


@pytest.mark.parametrize(
    ("names", "role", "said"),
    [
        ((), "", ""),
        (("pci-testdev", "edu", "edu", "e1000"), "", "rescan 1234:11e8,1b36:0005"),
        (("edu", "e1000"), "b", "rescan 1234:11e8 peer"),
    ],
)
def test_a_guest_is_told_which_devices_its_snapshot_has_forgotten(names, role, said):
    machine = qemu.Machine(ARCHES["i386"], devices=names, role=role)
    assert option(machine) == said
    explored = option(replace(machine, perturbation=perturbation(7)))
    assert explored.startswith(f"{said} perturb ".lstrip())  # its numbers end the mode


@pytest.mark.parametrize(
    ("changed", "backend", "restored", "why"),
    [
        ({}, "qemu", False, ""),
        ({"cpus": 2}, "qemu", True, ""),
        ({"cpus": 2}, "qemu", False, "with several processors only runs from a snapshot do"),
        ({"clock": "real"}, "qemu", False, "it is on the real clock"),
        ({"role": "b"}, "qemu", True, "it is of two guests"),
        ({}, "virtme", False, "virtme-ng boots it"),
        ({"devices": ("e1000", "nvme", "edu")}, "qemu", False,
         "what nvme and edu do takes the host's time"),
    ],
)  # fmt: skip
def test_why_a_run_need_not_repeat_is_told(changed, backend, restored, why):
    machine = qemu.Machine(ARCHES["i386"], **changed)
    assert why_inexact(machine, backend, restored) == why
    assert exact(machine, backend, restored) is (why == "")
