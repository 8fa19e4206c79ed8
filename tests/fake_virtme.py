#!/usr/bin/env python3
"""Stands in for virtme-run: starts what it is given for QEMU with what stands after --qemu-opts.

VMLAB_FAKE_VIRTME says what goes wrong: fail, hang and child (before the guest, in itself or in what
it runs), bad (QEMU is given what it does not take), leave (before the guest's end).
"""

import os
import subprocess
import sys
import time

wrong = os.environ.get("VMLAB_FAKE_VIRTME", "")
if wrong == "fail":
    sys.exit("virtme-run: initramfs is needed, and no busybox was found")
if wrong == "hang":
    print("virtme: waiting", file=sys.stderr, flush=True)
    time.sleep(600)
words = sys.argv[1:]
if wrong == "child":
    subprocess.run(["sh", "-c", "sleep 60; :", *words])
qemu = words[words.index("--qemu-bin") + 1]
options = words[words.index("--qemu-opts") + 1 :]
assert b"7.2" in subprocess.check_output([qemu, "--version"])
if wrong == "bad":
    options = ["--no-such-option"]
guest = subprocess.Popen([qemu, *options])
if wrong == "leave":
    time.sleep(1)
    sys.exit(3)
guest.wait()
sys.exit(255)  # whatever came of it, as virtme-run does with a script
