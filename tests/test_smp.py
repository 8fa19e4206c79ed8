"""Guests with several processors: in which QEMU, by which command, and that they run."""

from dataclasses import replace
from pathlib import Path

import pytest

from vmlab import lab, qemus
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import LabError
from vmlab.executor import execute
from vmlab.guest import emulator, launch, qemu, snapshot
from vmlab.machines import exact
from vmlab.project import Project, Settings
from vmlab.snapshots import name
from vmlab.virtme import Files


class Shelf:
    """A catalog with a QEMU that a test may not ask for in vain."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked = root, []

    def tool(self, name: str) -> Path:
        self.asked.append(name)
        return self.root


@pytest.mark.parametrize("arch", ARCHES.values(), ids=list(ARCHES))
@pytest.mark.parametrize(
    ("cpus", "clock", "fetched"),
    [(1, "virtual", False), (2, "virtual", True), (8, "virtual", True), (2, "real", False)],
)
def test_only_several_processors_on_the_virtual_clock_need_another_qemu(
    tmp_path, arch, cpus, clock, fetched
):
    shelf = Shelf(tmp_path)
    found = qemus.chosen(qemu.Machine(arch, cpus=cpus, clock=clock), shelf)
    assert shelf.asked == (["qemu"] if fetched else [])
    wanted = emulator.unpacked(tmp_path, arch) if fetched else emulator.host(arch)
    assert found == wanted


def boot(tmp_path: Path, inside: emulator.Emulator | None = None, **options) -> qemu.Boot:
    machine = qemu.Machine(ARCHES["i386"], **options)
    run = qemu.RunDirectory(tmp_path)
    return qemu.Boot(machine, tmp_path / "vmlinuz", tmp_path / "initrd", run, emulator=inside)


def test_a_fetched_qemu_is_started_by_its_path_with_its_own_firmware(tmp_path):
    words = qemu.argv(boot(tmp_path, emulator.unpacked(Path("/q"), ARCHES["i386"]), cpus=2))
    assert words[4:9] == [
        "/q/usr/bin/qemu-system-i386", "-L", "/q/usr/share/qemu", "-L", "/q/usr/share/seabios",
    ]  # fmt: skip
    assert words[9:] == qemu.argv(boot(tmp_path, cpus=2))[5:]


@pytest.mark.parametrize(
    ("options", "cpu", "counter"),
    [
        ({}, "max,-rdrand,-rdseed", False),
        ({"cpus": 2}, "max,-rdrand,-rdseed,family=6,model=6,stepping=0", True),
        ({"cpus": 2, "clock": "real"}, "max,-rdrand,-rdseed,family=6,model=6,stepping=0", False),
        ({"cpus": 2, "clock": "real", "accel": "kvm"}, "host", False),
    ],
)
def test_several_processors_are_ones_that_kernels_know_in_pairs(tmp_path, options, cpu, counter):
    words = qemu.argv(boot(tmp_path, **options))
    assert words[words.index("-cpu") + 1] == cpu
    assert words[words.index("-append") + 1].endswith("tsc=reliable") is counter


def test_a_snapshot_s_name_depends_on_the_qemu(tmp_path):
    for folder in ("a", "b"):
        program = tmp_path / folder / "usr/bin/qemu-system-i386"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho version {folder}\n")
        program.chmod(0o755)
    plain = boot(tmp_path, cpus=2)
    ours = [
        replace(plain, emulator=emulator.unpacked(tmp_path / folder, plain.machine.arch))
        for folder in ("a", "b")
    ]
    assert len({name(one) for one in (plain, *ours)}) == 3


@pytest.mark.parametrize(("cpus", "mode"), [(1, "freeze 3000"), (2, "freeze 3000")])
def test_what_the_boot_left_is_done_before_the_guest_is_frozen(tmp_path, monkeypatch, cpus, mode):
    def start(frozen: qemu.Boot) -> None:
        raise LabError(frozen.run.mode.read_text())

    monkeypatch.setattr(launch, "start", start)
    with pytest.raises(LabError, match=f"^{mode}$"):
        snapshot.warm(boot(tmp_path, cpus=cpus), tmp_path)


@pytest.mark.parametrize(
    ("cpus", "clock", "backend", "restored", "so"),
    [
        (1, "virtual", "qemu", False, True),
        (2, "virtual", "qemu", True, True),
        (2, "virtual", "qemu", False, False),
        (1, "virtual", "virtme", False, False),
        (1, "real", "qemu", False, False),
    ],
)
def test_which_runs_are_said_to_repeat(cpus, clock, backend, restored, so):
    machine = qemu.Machine(ARCHES["i386"], cpus=cpus, clock=clock)
    assert exact(machine, backend, restored) is so


@pytest.mark.parametrize(("several", "there"), [(False, 0), (True, 1)])
def test_a_guest_with_several_processors_is_not_announced(several, there):
    said = b"".join(launch.restore_commands(3, several))
    assert said.count(b'{"announce-rounds":0}') == there
    assert said.index(b"migrate-incoming") > said.find(b"announce-rounds")


def test_virtme_s_guests_run_in_it_too(tmp_path):
    files = Files(qemu.RunDirectory(tmp_path))
    files.write_wrapper(emulator.unpacked(Path("/q"), ARCHES["x86_64"]))
    command = "/q/usr/bin/qemu-system-x86_64 -L /q/usr/share/qemu -L /q/usr/share/seabios"
    assert f'{command} "$@"' in files.wrapper.read_text()


BOTH = """\
name: {name}
about: two processors run, each with a process that may run nowhere else
cpus: 2
clock: {clock}
steps:
  - run: test $(nproc) = 2
  - run: for mask in 1 2; do taskset $mask sh -c 'cut -d" " -f39 /proc/self/stat' & done; wait
    as: ran
  - run: grep -c '^processor' /proc/cpuinfo
  - insmod: kthread_monitor period_ms=200
  - console: 'Task List::'
  - rmmod: kthread_monitor
  - console: 'Exiting Thread Function::'
modules: [kthread_monitor]
"""


@pytest.mark.guest
@pytest.mark.parametrize(
    ("clock", "kernels"), [("virtual", "5.10.0-32-686,6.1.0-50-amd64"), ("real", "6.1.0-50-amd64")]
)
def test_a_program_runs_on_two_processors(tmp_path, clock, kernels):
    kmod = Path(__file__).parent.parent / "kmod"
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "both.yaml").write_text(BOTH.format(name="both", clock=clock))
    project = Project(tmp_path, Settings(modules=str(kmod)))
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    options = lab.Options(accel="tcg")
    runner, pairs = lab.prepare(project, artifacts, ["both"], [], kernels, options)
    for run in execute(runner, pairs, 1, lambda pair: None):
        assert str(run.judgement.verdict) == "passed", f"{run.kernel}: {run.judgement.reason}"
        said = (Path(run.dir) / "results").read_text()
        assert "\n# | 0\n" in said and "\n# | 1\n" in said, said
        assert run.token.how.exact is run.token.how.restored is (clock == "virtual")
