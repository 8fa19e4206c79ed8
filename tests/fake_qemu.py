#!/usr/bin/env python3
"""Stands in for QEMU and the guest in it: keeps the contract, runs steps on the host.

VMLAB_FAKE says what goes wrong: before the first step hang, flood, die, reset, waits, silent; in it
stuck, reboot, panic, oom, agent, segv, long; after the last cut, killed; on the results port
double.
"""

import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from vmlab.guest.results import unescape

MARK = b"\x1e"


def option(name: str) -> str:
    for word in sys.argv:
        if found := re.search(rf"(?:path|file)=([^,]*{name})(?:,|$)", word):
            return found[1]
    raise SystemExit(f"no {name} in {sys.argv}")


class Guest:
    def __init__(self) -> None:
        self.console = Path(option("/console")).open("wb", buffering=0)
        self.results = Path(option("/results")).open("wb", buffering=0)
        transcript = option("/console").replace("/console", "/transcript")
        self.transcript = Path(transcript).open("ab", buffering=0)
        self.values: dict[str, str] = {}
        self.uptime = 1.0
        self.said: set[str] = set()

    def printk(self, text: str, once: bool = False) -> None:
        if once and text in self.said:
            return
        self.said.add(text)
        self.console.write(text.encode() + b"\r\n")
        self.transcript.write(text.encode() + b"\r\n")

    def say(self, text: str, mark: bool = False) -> None:
        line = (MARK if mark else b"") + text.encode() + b"\n"
        if wrong == "double" and text.startswith("ok"):
            line *= 2
        self.results.write(line)
        self.transcript.write(line)

    def resolve(self, text: str) -> str:
        return re.sub(
            r"(?<!\$)\{([\w.]+)\}", lambda found: self.values.get(found[1], found[0]), text
        )

    def act(self, verb: str, name: str, ms: str, argument: str) -> int:
        self.uptime += int(ms) / 1000
        if verb in ("sleep", "console", "no_console", "expect_crash"):
            return 0
        if verb == "write" and argument.startswith("/dev/kmsg "):
            self.printk("[    1.0] " + argument.partition(" ")[2])
            return 0
        if verb != "run":
            return 38
        done = subprocess.run(["sh", "-c", argument], capture_output=True, text=True)
        for line in (done.stdout + done.stderr).splitlines():
            self.say(f"# | {line}")
            key, equals, value = line.partition("=")
            if equals and name != "-":
                self.capture(name, key, value)
        if name != "-":
            self.capture(name, "status", str(done.returncode))
        return done.returncode

    def capture(self, name: str, key: str, value: str) -> None:
        self.values[f"{name}.{key}"] = value
        self.say(f"# set {name}.{key}={value}")

    def run(self) -> None:
        with tarfile.open(option("program.tar")) as tar:
            steps = tar.extractfile("steps").read().decode().splitlines()
        release = os.environ.get("VMLAB_FAKE_RELEASE", "6.1.0-50-686")
        self.say(f"KTAP version 1\n# kernel={release}\n1..{len(steps)}")
        fine = True
        for number, line in enumerate(steps, start=1):
            fine = self.step(number, line, fine)

    def step(self, number: int, line: str, fine: bool) -> bool:
        verb, expect, name, ms, escaped = line.split("\t")
        text = self.resolve(unescape(escaped))
        shown = " ".join((verb, *([text.replace("\n", "\\n")] if text else [])))
        if not fine:
            self.say(f"ok {number} - {shown} # SKIP an earlier step failed")
            return False
        self.say(f"# begin {number}", mark=True)
        IN_A_STEP.get(os.environ.get("VMLAB_FAKE", ""), lambda guest: None)(self)
        outcome = self.act(verb, name, ms, text)
        self.say(f"# uptime={self.uptime:.6f} printk=1 outcome={outcome}", mark=True)
        fine = expect == "any" or (outcome != 0 if expect == "nonzero" else outcome == int(expect))
        self.say(f"{'ok' if fine else 'not ok'} {number} - {shown}")
        return fine


def panic(guest: Guest, why: str) -> None:
    guest.printk(f"[    1.0] Kernel panic - not syncing: {why}")
    sys.exit(0)


IN_A_STEP = {
    "stuck": lambda guest: (guest.printk("[    1.0] the last words"), time.sleep(600)),
    "reboot": lambda guest: (guest.printk("[    1.0] reboot: machine restart"), sys.exit(0)),
    "panic": lambda guest: panic(guest, "sysrq triggered crash"),
    "agent": lambda guest: panic(guest, "Attempted to kill init! exitcode=0x0000000b"),
    "oom": lambda guest: guest.printk("[    1.0] Out of memory: Killed process 7 (dd)"),
    "long": lambda guest: guest.printk("[    1.0] " + "x" * 10_000_000, once=True),
    "segv": lambda guest: os.kill(os.getpid(), signal.SIGSEGV),
}


wrong = os.environ.get("VMLAB_FAKE", "")


def main() -> None:
    if "--version" in sys.argv:
        print(f"QEMU emulator version {os.environ.get('VMLAB_FAKE_VERSION', '7.2.22')}")
        return
    guest = Guest()
    guest.printk("[    0.0] Linux version 6.1")
    if wrong == "hang":
        time.sleep(600)
    if wrong == "die":
        sys.exit("fake: cannot set up the machine")
    if wrong == "reset":
        guest.printk("[    0.1] Kernel panic - not syncing: no")
        sys.exit(0)
    if wrong == "waits":
        for file in (guest.console, guest.transcript):
            file.write(b" <0>Rebooting in 1 seconds..")
        time.sleep(600)
    while wrong == "flood":
        guest.console.write(b"x" * (1 << 20))
    if wrong != "silent":
        guest.run()
    if wrong == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if wrong == "cut":
        for file in (guest.results, guest.transcript):
            file.write(b"ok 99 - ha")
    sys.exit(67)


main()
