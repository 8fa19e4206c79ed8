"""The tutorial's commands are run as they stand, in one shell, and print what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
# What may differ, and the word that stands for it. All other text and numbers are compared.
DIFFERS = (
    (re.compile(r"\[ *\d+\.\d+\]"), "[TIME]"),
    (re.compile(r"\b\d+\.\d+s\b"), "SECONDS"),
    (re.compile(r"(?<=: )/\S*?(?=/boot/|/kthread_monitor/)"), "DIR"),
    (re.compile(r"\b(vm1:\S+:)[a-z2-7]{20,}\b"), r"\1TOKEN"),  # holds what image and QEMU are
    (re.compile(r" +"), " "),  # columns are as wide as their content
)
PID = re.compile(r"(?:\bP?PID = |\bpid: |^# \| root +)(\d+)", re.MULTILINE)
FIXED = ("1", "2")  # init and kthreadd
END = "\x01"


def blocks(text: str) -> list[tuple[str, str]]:
    """The commands of the page, each with the output that stands below it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def plain(text: str) -> list[str]:
    """The lines, without what may differ: pids become their place among the pids of the text."""
    pids = [pid for pid in dict.fromkeys(PID.findall(text)) if pid not in FIXED]
    for number, pid in enumerate(pids, start=1):
        text = re.sub(rf"(?<![\d.]){pid}(?![\d.])", f"P{number}", text)
    for pattern, word in DIFFERS:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.rstrip().split("\n")]


@pytest.mark.guest
def test_every_command_prints_what_the_page_says(tmp_path):
    for name in ("kmod", "scenarios", "docs", "vmlab.yaml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    page = blocks(PAGE.read_text())
    script = "".join(f"{command}\nprintf '\\001'\n" for command, _ in page)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    printed = done.stdout.split(END)
    assert len(printed) == len(page) + 1, done.stderr
    for (command, output), said in zip(page, printed, strict=False):
        assert plain(said) == plain(output), (command, done.stderr)


def test_the_page_has_commands_and_shows_what_it_promises():
    page = PAGE.read_text()
    assert len(blocks(page)) >= 18
    outputs = "".join(output for _, output in blocks(page))
    assert "<defunct>" in outputs and "Zombie=ZOMBIE" in outputs


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("a: /x/y/boot/z 12.5s", "a: DIR/boot/z 3.0s", True),
        ("[   33.1] PID = 79,::PPID = 78", "[  133.2] PID = 99,::PPID = 90", True),
        ("# | root 79 1 0\n# | root 80 79 0", "# | root 81 1 0\n# | root 83 81 0", True),
        ("# | root 79 1 0\n# | root 80 79 0", "# | root 81 1 0\n# | root 83 82 0", False),
        ("PID = 79,::PPID = 78", "PID = 99,::PPID = 99", False),
        ("PID = 79,::PPID = 1", "PID = 79,::PPID = 2", False),
        ("vm1:a:6.1:" + "a" * 24, "vm1:a:6.1:" + "b" * 24, True),
        ("vm1:a:6.1:" + "a" * 24, "vm1:b:6.1:" + "a" * 24, False),
        ("State = 32", "State = 16", False),
        ("1 passed", "2 passed", False),
        ("passed", "failed", False),
        ("line", "", False),
    ],
)
def test_only_pids_times_directories_and_tokens_may_differ(one, other, alike):
    assert (plain(one) == plain(other)) is alike
