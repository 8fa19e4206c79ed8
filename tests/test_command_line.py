"""The command line as a whole."""

import sys
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from vmlab.cli import app


def commands(group, *before):
    """Every command's words."""
    yield before
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *before, name)


@pytest.mark.parametrize("words", commands(typer.main.get_command(app)), ids=" ".join)
def test_each_command_has_h_beside_help(words):
    short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert short.stdout == long.stdout and "-h, --help" in short.stdout


def test_the_version_is_vmlab_s_and_python_s():
    said = CliRunner().invoke(app, ["--version"])
    python = ".".join(map(str, sys.version_info[:3]))
    assert (said.exit_code, said.stdout) == (0, f"vmlab {version('vmlab')}, Python {python}\n")
