"""The virtme backend: virtme-ng boots the kernel over 9p, the same agent runs the same program.

Its exit status says nothing of the script's; the verdict comes from the agent's results, as ever.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.cache import content_key
from vmlab.errors import LabError
from vmlab.guest import launch, qemu
from vmlab.images import tiny

_PACKAGES = ("bash", "libc6", "libtinfo6")
_DIRECTORIES = (
    "dev", "etc/lvm", "lib/modules", "mnt", "proc", "program", "root", "run",
    "sys", "tmp", "usr/local/bin", "var/log", "var/tmp",
)  # fmt: skip
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\ntty:x:5:\n",
    "etc/shadow": "root:*:::::::\n",
    "etc/fstab": "",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/sudoers": "root ALL = (ALL) NOPASSWD: ALL\n",
}
_CONSOLE = "console"  # virtme-run's name for the chardev of the first port
_VIRTME_ARCH = {"i386": "i386", "x86_64": "x86_64"}


class VirtmeBackend:
    """Boots jobs with virtme-run. Slower than direct boot; shows that the contract holds there."""

    name = "virtme"

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def boot(self, job: Job, stopped: Callable[[], bool]) -> launch.Ended:
        """Raises LabError without virtme-run or the host's modprobe."""
        if shutil.which("modprobe", path=_path()) is None:
            raise LabError("virtme-run needs modprobe, which was not found; install kmod")
        root = self.root(job.machine.arch)
        wrapper = job.run.path / "qemu"
        wrapper.write_text(_wrapper(job.machine.arch))
        wrapper.chmod(0o755)
        command = argv(job, root, wrapper)
        job.run.argv.write_text(qemu.pasted(command))
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, "PATH": _path()},
        )  # fmt: skip
        with launch.ended(process):
            return _as_qemu(launch.supervise(process, job.run, job.timeout_s, stopped), job)

    def forget(self) -> None:
        """Every guest boots: there is nothing to forget."""

    def root(self, arch: Arch) -> Path:
        """A root directory with the tiny image's programs and bash; guests change nothing in it."""
        artifacts = self._artifacts
        recipe = tiny.read_recipe(tiny.default_recipe())
        shell, ps = artifacts.busybox(arch, recipe), artifacts.ps(arch)
        agent = artifacts.agent(arch)
        packages = [artifacts.catalog.package(name, arch) for name in _PACKAGES]

        def make(directory: Path) -> None:
            for package in packages:
                shutil.copytree(package, directory, symlinks=True, dirs_exist_ok=True)
            _furnish(directory, shell, ps, agent)

        made = (shell, ps, agent)
        parts = [*(path.name for path in packages), *(path.parent.name for path in made)]
        key = content_key(*parts, *_DIRECTORIES, *_FILES.values())
        return artifacts.cache.get("roots", f"virtme-{arch.name}-{key}", make)


def argv(job: Job, root: Path, wrapper: Path) -> list[str]:
    """virtme-run's command. What follows --qemu-opts is ours: ports, program, clock."""
    machine = job.machine
    return [
        "setpriv", "--pdeathsig", "KILL", "--", "virtme-run",
        "--kimg", str(job.vmlinuz), "--mods", "auto", "--root", str(root),
        "--arch", _VIRTME_ARCH[machine.arch.name], "--qemu-bin", str(wrapper),
        "--memory", f"{max(machine.memory_mib, 256)}M", "--cpus", str(machine.cpus),
        "--no-virtme-ng-init", "--show-boot-console", "--verbose", "--disable-monitor",
        *([] if machine.accel == "kvm" else ["--disable-kvm"]),
        "-a", "oops=panic", "-a", "printk.devkmsg=on",
        "--script-sh", "/agent",
        "--qemu-opts", *_ports(job.run), *qemu.contract_args(job.run),
        *([] if machine.clock == "real" else qemu.icount_args(machine)),
    ]  # fmt: skip


def _ports(run: qemu.RunDirectory) -> list[str]:
    """The second port is ours; virtme's own first one is led into our files."""
    options = {"path": run.console, "logfile": run.transcript, "logappend": "on"}
    sets = [
        word
        for option, value in options.items()
        for word in ("-set", f"chardev.{_CONSOLE}.{option}={value}")
    ]
    return [*qemu.serial_args(run)[4:], *sets]


def _wrapper(arch: Arch) -> str:
    """QEMU ends with virtme-run, which ends with us."""
    return f'#!/bin/sh\nexec setpriv --pdeathsig KILL -- qemu-system-{arch.qemu} "$@"\n'


def _as_qemu(ended: launch.Ended, job: Job) -> launch.Ended:
    """virtme-run's status is its own; only with nothing on the console has it failed itself."""
    printed = job.run.console.exists() and job.run.console.stat().st_size > 0
    if ended.how == "lost" and printed and "stopped" not in ended.detail:
        return launch.Ended("off")
    return ended


def _path() -> str:
    """Where virtme-run is, and what it runs (modprobe is not in a user's PATH on Debian)."""
    return f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _furnish(root: Path, shell: Path, ps: Path, agent: Path) -> None:
    for name in ("bin", "sbin"):
        (root / name).mkdir(exist_ok=True)
    for path in _DIRECTORIES:
        (root / path).mkdir(parents=True, exist_ok=True)
    for path, text in _FILES.items():
        (root / path).write_text(text)
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(shell, root / "bin/busybox")
    shutil.copy2(ps, root / "bin/ps")
    shutil.copy2(agent, root / "agent")
    for name in shell.with_name("applets").read_text().split():
        for folder in ("bin", "usr/bin"):
            link = root / folder / name
            if not link.exists() and not link.is_symlink():
                link.symlink_to("/bin/busybox")
