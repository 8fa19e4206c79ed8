"""The project as others get it: a wheel, installed outside the repository."""

import shutil
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaged import ROOT, command, must, pip
from test_library import programs

from vmlab.packages import needed

KERNEL = "6.1.0-50-686"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel in it."""
    place = tmp_path_factory.mktemp("installed")
    venv = place / "venv"
    must(command(sys.executable, "-m", "venv", venv, cwd=place))
    pip("install", wheel, cwd=place, python=venv / "bin/python")
    return venv


def run_time_files(package: Path) -> set[str]:
    """All files of a package but what Python leaves there."""
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


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
    assert must(command(vmlab, "--version", cwd=tmp_path)).startswith(f"vmlab {version('vmlab')}, ")
    assert (installed / "share/man/man1/vmlab.1").read_text() == (ROOT / "docs/vmlab.1").read_text()
    (tmp_path / "vmlab.yaml").touch()
    text = must(command(vmlab, "ci", "github", "--output", "-", cwd=tmp_path))
    assert f" {' '.join(needed())}\n" in text  # the list of packages came along


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


@pytest.mark.guest
def test_the_example_works_as_others_get_it(installed, tmp_path):
    """A clean copy of the project, the wheel in a fresh environment, its README's commands."""
    project = tmp_path / "tally"
    shutil.copytree(ROOT / "examples/tally", project)
    run = (installed / "bin/vmlab", "run", "--kernel", "6.1.*", "-j", "1")
    assert "4 passed" in must(command(*run, cwd=project))
    words = ("-m", "pytest", "-q", "-rA", "--vmlab-kernel", KERNEL, "--vmlab-jobs", "1")
    said = must(command(installed / "bin/python", *words, "tests", cwd=project))
    assert "2 passed" in said and f"changes_nothing[{KERNEL}]" in said
