"""The project as others get it, made once for all tests: sdist, and the wheel from
that. From a copy: nothing is left in the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What a fresh clone has that a package is made from.
PARTS = ("LICENSE", "README.md", "pyproject.toml", "packages.txt", "vmlab", "docs/vmlab.1")


def command(*words: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a command that knows nothing of the repository's own environment."""
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "PYTEST_ADDOPTS")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [*map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def must(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, (done.args, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def pip(*words: object, cwd: Path, python: object = sys.executable) -> None:
    """Runs pip; skips where it fails and gets not even what the project's lock file names."""
    start = ("-m", "pip", "--disable-pip-version-check", "-q")
    done = command(python, *start, *words, cwd=cwd)
    if done.returncode:
        known = ("--dry-run", "--no-deps", "--ignore-installed", "-r", ROOT / "requirements.lock")
        probe = command(python, *start, "install", *known, cwd=cwd)
        if probe.returncode:
            pytest.skip(f"pip reaches no index: {probe.stderr.strip().splitlines()[-1]}")
    must(done)


@pytest.fixture(scope="session")
def sdist(tmp_path_factory) -> Path:
    """The source distribution, built as `python -m build --sdist` does."""
    place = tmp_path_factory.mktemp("sdist")
    source = place / "source"
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, source / name)
    pip("install", "--target", place / "tools", "setuptools>=68", cwd=place)
    build = (
        "import sys; sys.path.insert(0, '../tools')\n"
        "from setuptools import build_meta\nprint(build_meta.build_sdist('..'))"
    )
    must(command(sys.executable, "-c", build, cwd=source))
    (made,) = place.glob("*.tar.gz")
    return made


@pytest.fixture(scope="session")
def wheel(sdist, tmp_path_factory) -> Path:
    """Made from the source distribution, which so has all that it needs."""
    wheels = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "-w", wheels, sdist, cwd=wheels)
    (made,) = wheels.glob("*.whl")
    return made
