"""The direction of imports: each room knows only what is below it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "vmlab"

# From the bottom up; a room may import what stands before it, and itself.
ROOMS = (
    "plain",
    "errors",
    "untar",
    "crash",
    "arch",
    "bootable",
    "perturb",
    "cache",
    "catalog",
    "build",
    "images",
    "artifacts",
    "adding",
    "sources",
    "guest",
    "qemus",
    "scenario",
    "accel",
    "seen",
    "subtests",
    "health",
    "expected",
    "lacking",
    "verdict",
    "known_failures",
    "story",
    "snapshots",
    "project",
    "payload",
    "backend",
    "machines",
    "pair",
    "inputs",
    "tokens",
    "symbols",
    "frames",
    "debug",
    "runner",
    "virtme_trees",
    "virtme",
    "bench",
    "measure",
    "executor",
    "cluster",
    "lab",
    "shard",
    "about",
    "coverage",
    "selfcheck",
    "shell",
    "terminal",
    "determinism",
    "explore",
    "archive",
    "replay",
    "interactive",
    "history",
    "report",
    "merge",
    "bisect",
    "library",
    "packages",
    "doctor",
    "init",
    "survey",
    "ci",
    "cli",
    "pytest_plugin",
    "__main__",
)
LOW = {
    "crash": {"plain", "errors", "crash"},
    "symbols": {"plain", "errors", "crash", "symbols"},
    "guest": {"plain", "errors", "crash", "arch", "bootable", "perturb", "guest"},
    "perturb": {"perturb"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("vmlab"):
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("vmlab.")}
    return names


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.rglob("*.py")),
    ids=lambda path: str(path.relative_to(PACKAGE)).replace("scenario/", "yaml/"),
)
def test_a_room_imports_only_what_is_below_it(path):
    room = room_of(path)
    if room == "__init__":  # only to be typed: tests/test_library.py sees that it imports nothing
        return
    below = LOW.get(room, set(ROOMS[: ROOMS.index(room) + 1]))
    assert imported(path) <= below


def test_what_a_run_seldom_needs_is_not_imported_at_its_start():
    program = "import sys, vmlab.cli; from vmlab import executor, lab; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = {"vmlab.lab", "vmlab.runner"}
    seldom = {
        "debian", "numpy", "elftools", "filelock", "jinja2", "pexpect", "rich", "xml",
        "vmlab.build.shell", "vmlab.catalog.find", "vmlab.catalog.tools", "vmlab.crash.reader",
        "vmlab.guest.corefile", "vmlab.guest.kdumpfile", "vmlab.symbols.elf",
    }  # fmt: skip
    assert loaded <= set(said.stdout.split())
    assert seldom.isdisjoint(said.stdout.split())
