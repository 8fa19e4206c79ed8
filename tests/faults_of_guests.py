"""Faults of the guest and of its ports."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from faulty import BEFORE, SPIN, Bench, Fault
from test_contract import real_lab

from vmlab.backend import QemuBackend
from vmlab.guest import launch, qemu
from vmlab.images import tiny
from vmlab.verdict import Verdict

CRASHED, FAILED, TIMEOUT = Verdict.CRASHED, Verdict.FAILED, Verdict.TIMEOUT
BROKEN, PASSED = Verdict.BROKEN, Verdict.PASSED
OFF = "the guest powered off or reset itself"
LIMIT = 256 << 10  # bytes of console, for floods that take no minutes
# The machine stands still at the write to pvpanic's port, as it does while it is frozen.
STOP = "run: \"printf '\\\\001' | dd of=/dev/port bs=1 seek=1285\""
# Every page of the agent's text becomes int3 (0xcc): it dies at its next instruction.
KILL_AGENT = """run: |
      set -- $(awk '/r-xp.*init/ { split($1, at, "-"); print at[1], at[2]; exit }' /proc/1/maps)
      pages=$(( (0x$2 - 0x$1) / 4096 ))
      head -c $((pages * 4096)) /dev/zero | tr '\\000' '\\314' > /tmp/text
      dd if=/tmp/text of=/proc/1/mem bs=4096 seek=$((0x$1 / 4096)) conv=notrunc
    status: any"""
FLOOD = "run: \"while :; do echo 'a line that is printed again and again' > /dev/kmsg; done\""
MEMORY = "run: mount -o remount,size=90% /tmp; cat /dev/zero > /tmp/x & tail /dev/zero"
TRIPLE = "write: /sys/kernel/reboot/type triple"
RESET = "write: /proc/sysrq-trigger b"


def module(what: str, timeout_s: float = 4):
    def inject(bench: Bench):
        more = bench.module()
        return bench.real(f"insmod: faulty what={what}", before="", more=more, timeout_s=timeout_s)

    return inject


def flooding(step: str):
    def inject(bench: Bench):
        bench.monkeypatch.setattr(launch, "CONSOLE_LIMIT", LIMIT)
        run = bench.real(step)
        port = qemu.RunDirectory(Path(run.dir))
        assert max(port.console.stat().st_size, port.results.stat().st_size) < LIMIT + (1 << 20)
        return run

    return inject


class Booted(QemuBackend):
    """Boots cold, changed in one thing."""

    def __init__(self, **changed: object) -> None:
        super().__init__(None)
        self._changed = changed

    def boot(self, job, stopped):
        boot = qemu.Boot(job.machine, job.vmlinuz, job.image, job.run)
        return launch.run(replace(boot, **self._changed), job.timeout_s, stopped)


def own_init(script: str):
    """Boots the tiny image with a script in the agent's place."""

    def inject(bench: Bench):
        made = bench.artifacts()
        arch = made.catalog.select("6.1.0-50-686")[0].arch
        recipe = tiny.read_recipe(tiny.default_recipe())
        shell = made.busybox(arch, recipe)
        mount = "/bin/busybox mount -t devtmpfs dev /dev\n"
        text = f"#!/bin/busybox sh\n{mount}echo before the fault > /dev/kmsg\n{script}\n"
        applets = shell.with_name("applets").read_text().split()
        image = bench.folder / "initramfs"
        content = {"busybox": shell.read_bytes()}
        image.write_bytes(tiny.initramfs(recipe, text.encode(), content, applets))
        bench.monkeypatch.setattr(made, "image", lambda arch: image)
        return bench.real("sleep: 1s", before="", made=made, backend=Booted(), timeout_s=12)

    return inject


def damaged_image(bench: Bench):
    """The image's file is cut short, in a copy of its directory."""
    made = bench.artifacts()
    arch = made.catalog.select("6.1.0-50-686")[0].arch
    folder = shutil.copytree(made.image(arch).parent, bench.folder / "image")
    image = Path(folder) / "initramfs"
    os.truncate(image, image.stat().st_size // 3)
    bench.monkeypatch.setattr(made, "image", lambda arch: image)
    return bench.real("sleep: 1s", before="", made=made, backend=QemuBackend(None))


def other_architecture(bench: Bench):
    """An x86_64 kernel for an i386 machine."""
    made = bench.artifacts()
    kernel = real_lab("x86_64", bench.folder).kernel
    bench.monkeypatch.setattr(type(made.catalog), "image", lambda self, one: kernel)
    return bench.real("sleep: 1s", before="", made=made, backend=QemuBackend(None))


def no_serial(bench: Bench):
    """As with a kernel that has no driver for it: it is not told of ttyS0."""
    append = "console=tty0 panic=-1 oops=panic cryptomgr.notests noisapnp"
    return bench.real("run: 'true'", before="", backend=Booted(append=append), timeout_s=40)


def too_small(bench: Bench):
    return bench.real(
        "sleep: 1s", before="", backend=QemuBackend(None), more="memory: 32M\n", timeout_s=8
    )


def raw(text: str, *steps: str):
    """Writes to the console's own port, past the kernel's log."""
    return lambda bench: bench.real(f"run: \"printf '{text}' > /dev/ttyS0\"", *steps)


def port(text: str):
    """Writes to the results' port, beside the agent."""
    return lambda bench: bench.real(f"run: \"printf '{text}' > /dev/ttyS1; sleep 1\"")


def stub(fault: str, *steps: str, timeout_s: float = 20):
    return lambda bench: bench.stub(fault, *steps, timeout_s=timeout_s)


def real(*steps: str, timeout_s: float = 8):
    return lambda bench: bench.real(*steps, timeout_s=timeout_s)


UNBOOTED = ("argv", "mode", "program.tar", "verdict.json")
FIRST = "Linux version 6.1"
ROWS = (
    Fault("the guest reboots", real(RESET), CRASHED, OFF),
    Fault("powers off early", real("run: poweroff -f"), CRASHED, OFF),
    Fault("halts", real("run: halt -f", timeout_s=4), TIMEOUT, "still ran after 4 s"),
    Fault("triple-faults", real(TRIPLE, RESET), CRASHED, OFF),
    Fault("panics", real("write: /proc/sysrq-trigger c"), CRASHED, "sysrq triggered crash"),
    Fault("stands still", real(STOP, timeout_s=4), TIMEOUT, "still ran after 4 s"),
    Fault("loops in user space", real(SPIN, timeout_s=4), TIMEOUT,
          "still ran after 4 s|timeout of guest time"),
    Fault("loops with interrupts off", module("irqs"), TIMEOUT, "still ran after 4 s"),
    Fault("a module's init loops", module("spins"), TIMEOUT, "still ran after 4 s"),
    Fault("a module's init sleeps for ever", module("sleeps"), TIMEOUT, "timeout of guest time"),
    Fault("a module spoils the agent's memory", module("agent"), CRASHED, "init killed"),
    Fault("the agent is killed", real(KILL_AGENT), CRASHED, "init killed"),
    Fault("memory runs out", real(MEMORY), CRASHED, "out of memory"),
    Fault("memory is too small to boot", too_small, TIMEOUT, "still ran after 8 s", "", slow=True),
    Fault("the initramfs is damaged", damaged_image, BROKEN, "is not as it was made", "", UNBOOTED),
    Fault("a kernel of the wrong architecture", other_architecture, BROKEN,
          "is for x86_64, and the machine is i386", "",
          UNBOOTED),
    Fault("a kernel without serial driver", no_serial, BROKEN, "printed nothing on ttyS0", ""),
    Fault("the first process loops", own_init("while :; do :; done"), TIMEOUT,
          "still ran after 12 s", slow=True),
    Fault("the first process ends", own_init("exit 3"), CRASHED, "init killed", slow=True),
    Fault("the console is silent", real("run: dmesg -n 1", "sleep: 1s"), PASSED, "^$", ""),
    Fault("the console floods", flooding(FLOOD), FAILED, "the console grew past"),
    Fault("the console floods, 100 MB at once", stub("flood"), FAILED, "console grew past 16 MiB",
          FIRST, whole=False),
    Fault("a line of ten megabytes", stub("long"), PASSED, "^$", "x" * 10_000_000),
    Fault("no newline at the console's end", raw("no end", "console: no end"), PASSED, "^$",
          "no end"),
    Fault("escape sequences and bytes that are no text",
          raw("\\\\033[2J\\\\377\\\\000\\\\n", "sleep: 1s"), PASSED, "^$", "\x1b[2J"),
    Fault("the console holds the results' mark", raw("\\\\036# begin 9\\\\n"), BROKEN,
          "holds the results' mark"),
    Fault("the results' port has rubbish", port("rubbish\\\\n"), BROKEN,
          "rubbish.* is none of the agent's"),
    Fault("the results' port floods", flooding("run: yes > /dev/ttyS1"), FAILED,
          "the results grew past"),
    Fault("the results' port is silent", stub("silent"), BROKEN, "announced no plan", FIRST),
    Fault("the agent's last line is cut", stub("cut"), BROKEN, "in the middle of the line"),
    Fault("the agent's lines are doubled", stub("double"), BROKEN, "unexpected result line"),
    Fault("the guest hangs at boot (stand-in)", stub("hang", timeout_s=2), TIMEOUT,
          "still ran after 2 s", FIRST),
    Fault("panics at boot (stand-in)", stub("reset"), CRASHED, "panic: kernel panic", FIRST),
    Fault("hangs in a step (stand-in)", stub("stuck", timeout_s=2), TIMEOUT,
          "still ran after 2 s", "the last words"),
    Fault("reboots (stand-in)", stub("reboot"), CRASHED, OFF, "machine restart"),
    Fault("panics (stand-in)", stub("panic"), CRASHED, "panic: kernel panic", "sysrq triggered"),
    Fault("its agent dies (stand-in)", stub("agent"), CRASHED, "init killed", "0x0000000b"),
    Fault("memory runs out (stand-in)", stub("oom"), CRASHED, "out of memory", "process 7"),
)  # fmt: skip
assert BEFORE.endswith("before the fault")
