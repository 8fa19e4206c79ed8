"""A guest driven from Python, on every default kernel's oldest and newest."""

import pytest

from vmlab import interactive
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.interactive import KernelSick, StepFailed
from vmlab.project import Project, Settings
from vmlab.snapshots import Snapshots

pytestmark = pytest.mark.guest


def test_a_guest_loads_the_module_and_its_console_is_pexpect_s(guest):
    assert guest.run("uname -r").output == guest.kernel.id
    guest.spawn("zombie --count 1", name="z")
    guest.insmod("kthread_monitor period_ms=1000 report=zombies")
    guest.sleep(2)
    guest.console.expect(r"Process PID = (\d+),::PPID = (\d+),.*Zombie=ZOMBIE", timeout=10)
    assert guest.console.match[1] == guest.values["z.child1"]
    assert guest.console.match[2] == guest.values["z.pid"]
    before = float(guest.read("/proc/uptime").split()[0])
    guest.sleep(300)
    assert 300 <= float(guest.read("/proc/uptime").split()[0]) - before < 302
    with pytest.raises(StepFailed, match="outcome 17"):
        guest.insmod("kthread_monitor")
    guest.rmmod("kthread_monitor")


def test_a_sick_kernel_is_no_pass_whatever_the_steps_said(tmp_path):
    cache = Cache.default()
    artifacts = Artifacts(cache, Catalog.open(cache))
    (kernel,) = artifacts.catalog.select("6.1.0-50-amd64")
    project, snapshots = Project(tmp_path, Settings()), Snapshots(cache, print)
    with (
        pytest.raises(
            KernelSick, match=r"-amd64: warning: WARNING \(WARNING: CPU: 0 PID: 1 at x\)"
        ),
        interactive.boot(project, artifacts, kernel, snapshots=snapshots) as booted,
    ):
        booted.write("/dev/kmsg", "WARNING: CPU: 0 PID: 1 at x")
