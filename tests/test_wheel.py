"""The project as others get it: a wheel, installed outside the repository."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from test_library import programs

ROOT = Path(__file__).parent.parent
KERNEL = "6.1.0-50-686"
PARTS = ("LICENSE", "README.md", "pyproject.toml", "vmlab")


def run_time_files(package: Path) -> set[str]:
    """All files of a package but what Python leaves there."""
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


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


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An environment with the wheel in it, built from a copy: nothing is left in the tree."""
    place = tmp_path_factory.mktemp("wheel")
    source, wheels, venv = place / "source", place / "wheels", place / "venv"
    source.mkdir()
    wheels.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name)
    pip("wheel", "--no-deps", "-w", wheels, source, cwd=place)
    must(command(sys.executable, "-m", "venv", venv, cwd=place))
    (wheel,) = wheels.glob("*.whl")
    pip("install", wheel, cwd=place, python=venv / "bin/python")
    return venv


def test_package_data_names_each_kind_of_file_that_is_there():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    package = ROOT / "vmlab"
    named = {
        str(path.relative_to(package))
        for pattern in ("**/*.py", *settings["package-data"]["vmlab"])
        for path in package.glob(pattern)
    }
    assert run_time_files(package) - named == set()


# These need pip's index or cache, and the last the lab's: they are not for the quick tests.
@pytest.mark.guest
def test_all_files_travel_and_the_commands_work(installed, tmp_path):
    where = "import pathlib, vmlab; print(pathlib.Path(vmlab.__file__).parent)"
    package = Path(must(command(installed / "bin/python", "-c", where, cwd=tmp_path)).strip())
    assert package.is_relative_to(installed)
    assert run_time_files(package) == run_time_files(ROOT / "vmlab")
    vmlab = installed / "bin/vmlab"
    assert must(command(vmlab, "--help", cwd=tmp_path)).startswith("Usage: vmlab ")
    schema = (ROOT / "vmlab/scenario/schema.json").read_text()
    assert must(command(vmlab, "schema", cwd=tmp_path)) == schema
    assert f"{KERNEL} " in must(command(vmlab, "kernels", "list", cwd=tmp_path))


@pytest.mark.guest
def test_programs_that_use_it_are_typed(installed, tmp_path):
    """The pages' programs pass, and one that is wrong does not: py.typed came along."""
    pages = (ROOT / "docs/library.md", ROOT / "README.md")
    texts = [text for page in pages for text in programs(page)]
    for number, text in enumerate([*texts, "from vmlab import Lab\nLab().run(kernels=5)\n"]):
        (tmp_path / f"program{number}.py").write_text(text)
    strict = ("-m", "mypy", "--strict", "--python-executable", installed / "bin/python", ".")
    said = command(sys.executable, *strict, cwd=tmp_path).stdout
    assert [line.partition(":")[0] for line in said.splitlines() if "error:" in line] == [
        f"program{len(texts)}.py"
    ], said


@pytest.mark.guest
def test_its_plugin_runs_another_project(installed, tmp_path):
    project = tmp_path / "hello"
    shutil.copytree(ROOT / "docs/tutorial/hello", project)
    words = ("-m", "pytest", "-q", "-rA", "--vmlab-kernel", KERNEL, "--vmlab-jobs", "1")
    said = must(command(installed / "bin/python", *words, cwd=project))
    assert f"PASSED scenarios/hello.yaml::hello[{KERNEL}]" in said
    assert "1 passed" in said
