"""Runs made up for reports, as run directories hold them."""

import json
from pathlib import Path
from typing import Any

from vmlab.report.told import Report, Told, of_directory

CONSOLE = (
    b"[    1.000000] ring: loading\r\n[    1.100000] ring: ready, 24 slots\r\n"
    b"[    2.500000] BUG: kernel NULL pointer dereference, address: 00000000\r\n"
    b"[    2.500100] Oops: 0002 [#1] SMP\r\n[    2.500200]  ring_reset+0x8/0x1d [ring]\r\n"
    b"[    2.600000] Kernel panic - not syncing: Fatal exception\r\n"
)
PLACE = {name: CONSOLE.index(name.encode()) for name in ("[    1.1", "[    2.5", "[    2.6")}
CRASH: dict[str, Any] = {
    "kind": "NULL dereference", "title": "BUG: NULL dereference in ring_reset",
    "line_text": "BUG: kernel NULL pointer dereference", "function": "ring_reset", "task": "init",
    "pid": 68, "cpu": 0, "taint": "OE", "modules": ["ring"], "registers": {"EAX": "00000000"},
    "complete": False, "first_line": 3, "last_line": 5,
    "frames": [
        {"function": "ring_reset", "offset": 8, "size": 29, "module": "ring", "address": None,
         "reliable": True, "inlined": [{"function": "ring_clear", "file": "ring.h", "line": 7}],
         "source": {"file": "ring.c", "line": 24, "around": [[23, "{"], [24, "\thead = 0;"]]}},
        {"function": "left_over", "offset": -1, "size": -1, "module": None, "address": None,
         "reliable": False, "source": None, "inlined": []},
    ],
    "followers": [{"kind": "panic", "title": "panic: fatal", "first_line": 6}],
}  # fmt: skip


def step(number: int, verb: str, text: str, state: str = "passed", **more: Any) -> dict[str, Any]:
    made = {
        "number": number, "line": number + 4, "verb": verb, "text": text, "state": state,
        "outcome": 0, "began_s": None, "ended_s": None, "console": None, "matches": [],
        "output": "",
    }  # fmt: skip
    return made | more


def steps(said: str = "said") -> list[dict[str, Any]]:
    return [
        step(1, "insmod", "ring", ended_s=1.05, console=[0, 0], output=said),
        step(2, "console", "ready", began_s=1.05, ended_s=2.1, console=[0, PLACE["[    2.5"]],
             matches=[[PLACE["[    1.1"], PLACE["[    2.5"]]]),
        step(3, "write", "/sys/reset 1", "crashed", began_s=2.1, outcome=None,
             console=[PLACE["[    2.5"], len(CONSOLE)]),
        step(4, "rmmod", "ring", "not reached", outcome=None),
    ]  # fmt: skip


def record(scenario: str, verdict: str = "passed", kernel: str = "6.1-686", **more: Any) -> Any:
    made = {
        "version": 1, "scenario": scenario, "kernel": kernel, "arch": "i386", "backend": "qemu",
        "verdict": verdict, "reason": "", "wall_s": 1.25, "guest_s": 2.5, "dir": "/there",
        "step": None, "line": None, "label": "", "wanted": "", "seen": "",
        "token": f"vm1:{scenario}:x", "seed": 7, "inputs": {"program": "ab"},
        "file": f"scenarios/{scenario}.yaml", "environment": {"cpus": 1}, "steps": [],
        "crash": None,
    }  # fmt: skip
    return made | more


def crashed(scenario: str = "resets", **more: Any) -> Any:
    known = {"step": 3, "line": 7, "label": "write: /sys/reset 1", "seen": "the end",
             "steps": steps(), "crash": CRASH, "reason": "NULL dereference: BUG: NULL"}  # fmt: skip
    return record(scenario, "crashed", **(known | more))


EACH = (
    record("loads"), record("modern", "skipped", reason="came with 6.12"), crashed(),
    record("counts", "failed", step=2, line=6, label="console: x", reason="no match",
           wanted="x", seen="y"),
    record("waits", "timeout", reason="took too long"),
    record("odd", "broken", reason="the disk is full"),
)  # fmt: skip


def write(folder: Path, *records: Any, console: bytes = CONSOLE) -> Path:
    """A directory as a command leaves it."""
    for number, one in enumerate(records):
        place = folder / f"{number:03}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "verdict.json").write_text(json.dumps(one))
        if one["verdict"] != "skipped":
            (place / "console").write_bytes(console)
            (place / "argv").write_text("qemu-system-i386 -m 192\n")
    return folder


def report(folder: Path, *records: Any, console: bytes = CONSOLE) -> Report:
    return of_directory(write(folder, *records, console=console))


def told(one: Any) -> Told:
    return Told.model_validate(one)
