"""The linters run with the tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=lambda command: " ".join(command),
)
def test_python_is_clean(command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_launcher_is_clean():
    done = subprocess.run(
        ["shellcheck", "lab", ".ci/run"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_no_module_is_long():
    """A module of more than 400 lines has more than one noun."""
    long = {
        str(path.relative_to(ROOT)): count
        for folder in ("vmlab", "kmod", "tests", "scenarios")
        for path in (ROOT / folder).rglob("*.[pch]*")
        if path.suffix in (".py", ".c", ".h")
        and (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
