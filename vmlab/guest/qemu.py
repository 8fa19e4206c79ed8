"""Boots one guest in QEMU: argv is built purely, one place starts the process."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.guest import results

MEMORY_MIB = 192
ICOUNT_SHIFT = {"i386": 3, "x86_64": 1}  # these boot about as fast as without icount


@dataclass(frozen=True)
class Boot:
    """All that a guest is started from. The directory takes console, results and argv."""

    arch: Arch
    kernel: Path
    initramfs: Path
    program: Path
    directory: Path

    @property
    def console(self) -> Path:
        return self.directory / "console"

    @property
    def results(self) -> Path:
        return self.directory / "results"


def argv(boot: Boot) -> list[str]:
    """The command that boots this guest; it dies with the process that starts it."""
    return [
        "setpriv", "--pdeathsig", "KILL", "--",
        f"qemu-system-{boot.arch.qemu}",
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "pc", "-accel", "tcg", "-cpu", "max,-rdrand,-rdseed",
        "-m", f"{MEMORY_MIB}M",
        "-icount", f"shift={ICOUNT_SHIFT[boot.arch.name]},sleep=off",
        "-rtc", "base=2020-01-01,clock=vm", "-seed", "1",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-serial", f"file:{boot.console}", "-serial", f"file:{boot.results}",
        "-fw_cfg", f"name=opt/vmlab/program,file={boot.program}",
        "-kernel", str(boot.kernel), "-initrd", str(boot.initramfs),
        "-append", "console=ttyS0 panic=-1 oops=panic",
    ]  # fmt: skip


def run(boot: Boot, timeout_s: float) -> results.Results:
    """Boots the guest, waits for its end and reads its results.

    A guest that outlives `timeout_s` (host seconds) is killed; the fault says so.
    """
    command = argv(boot)
    (boot.directory / "argv").write_text("\n".join(command) + "\n")
    try:
        done = subprocess.run(
            command, timeout=timeout_s, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        return _faulty(boot, f"the guest still ran after {timeout_s:g} s")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        return _faulty(boot, f"QEMU ended with {done.returncode}: {said or 'no message'}")
    return results.parse(boot.results.read_text(errors="replace"))


def _faulty(boot: Boot, fault: str) -> results.Results:
    text = boot.results.read_text(errors="replace") if boot.results.exists() else ""
    found = results.parse(text)
    return results.Results(found.kernel, found.steps, fault)
