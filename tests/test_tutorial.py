"""The tutorial's commands are run as they stand, and print what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial.md"


def blocks(text: str) -> list[tuple[str, str]]:
    """The commands of the page, each with the output that stands below it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def plain(text: str) -> list[str]:
    """Without what may differ: numbers, directories, the width of columns."""
    text = re.sub(r"(?<=: )/\S*?(?=/boot/|/kthread_monitor/)", "DIR", text)
    lines = [re.sub(r"\d+(\.\d+)?", "N", re.sub(r"\s+", " ", line)) for line in text.splitlines()]
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.guest
def test_every_command_prints_what_the_page_says(tmp_path):
    for name in ("kmod", "scenarios", "docs", "vmlab.yaml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command, output in blocks(PAGE.read_text()):
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert plain(done.stdout) == plain(output), (command, done.stderr)


def test_what_differs_is_only_numbers_and_directories():
    assert plain("a: /x/y/boot/z 12.5s") == plain("a: DIR/boot/z 3s")
    assert plain("passed") != plain("failed")
    assert len(blocks(PAGE.read_text())) >= 8
