"""What the pages tell people to type is there to be typed."""

import re
from pathlib import Path

import typer

from vmlab.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *ROOT.glob("examples/*/*.md")]
GROUP = typer.main.get_command(app)
CODE = re.compile(r"`([^`\n]+)`|^(?: {4}|\$ )(.+)$", re.MULTILINE)
TYPED = re.compile(r"(?:vmlab|\./lab) ([a-z][a-z-]*(?: .*)?)$")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
WORDS = ("lab", "test")  # `./lab test` is pytest's, and prose speaks of the lab


def typed(text: str) -> list[str]:
    """What stands behind `vmlab` in the page's code, without comments."""
    code = (one[0] or one[1] for one in CODE.findall(text))
    parts = (part.strip() for line in code for part in re.split(r"&&|\|\s|  #", line))
    return [found[1] for part in parts if (found := TYPED.match(part))]


def wrong(line: str) -> str | None:
    """What of a command line does not exist."""
    command, (name, *rest) = GROUP, line.split()
    if name in WORDS:
        return None
    while hasattr(command, "commands"):
        if name not in command.commands:
            return name if name.isidentifier() or "-" in name else None
        command = command.commands[name]
        name, *rest = rest or ["|"]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    unknown = {option for option in OPTION.findall(line) if option not in {*known, "--help"}}
    return f"{line}: {min(unknown)}" if unknown else None


def test_each_command_and_option_that_a_page_names_is_there():
    found = [(page.name, wrong(line)) for page in PAGES for line in typed(page.read_text())]
    assert [one for one in found if one[1]] == []


def test_the_pages_have_commands_and_a_wrong_one_is_found():
    assert sum(len(typed(page.read_text())) for page in PAGES) > 80
    assert wrong("runn zombie") == "runn" and wrong("kernels ad x") == "ad"
    assert wrong("run --htm x") == "run --htm x: --htm" and wrong("run x --html y -j 1") is None
