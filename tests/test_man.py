"""The manual page."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from test_command_line import commands

from vmlab.cli import app, man

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "vmlab.1"
GROUP = typer.main.get_command(app)


def test_the_page_is_current():
    again = "make it anew: python -m vmlab.cli.man > docs/vmlab.1"
    assert PAGE.read_text() == man.page(GROUP), again


def shown() -> str:
    """What man shows, with its warnings; one line a paragraph."""
    if shutil.which("man") is None:
        pytest.skip("man is not installed")
    done = subprocess.run(
        ["man", "--warnings=w", "-E", "UTF-8", "-l", "-Tutf8", PAGE],
        capture_output=True, text=True, check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "900"},
    )  # fmt: skip
    assert done.stderr == ""
    return re.sub(".\b", "", done.stdout)  # bold is a letter over itself


def test_man_shows_each_command_and_option_and_complains_of_nothing():
    text = shown()
    for words in commands(GROUP):
        command = GROUP
        for word in words:
            command = command.commands[word]
        if words and not hasattr(command, "commands"):
            assert f"vmlab {' '.join(words)}" in text
    for name in ("--shell-on-fail", "-j, --jobs N", "--after SCENARIO[:STEP]", "VMLAB_CACHE"):
        assert name in text


@pytest.mark.parametrize(
    ("text", "roff"),
    [
        (".begin\n'so", "\\&.begin\n\\&'so"),
        ("a-b", "a\\-b"),
        ("back\\slash", "back\\eslash"),
        ('say "x"', "say \\(dqx\\(dq"),
    ],
)
def test_text_is_no_command_of_roff_s(text, roff):
    assert man._roff(text) == roff
