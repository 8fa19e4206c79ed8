"""The manual page, made from the commands: `python -m vmlab.cli.man > docs/vmlab.1`."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

_TAKES = {str: "TEXT", int: "N", float: "N", Path: "FILE"}
HEAD = r""".\" Made by `python -m vmlab.cli.man`.
.TH VMLAB 1 "" "vmlab {version}" "vmlab"
.nh
.ad l
.SH NAME
vmlab \- run kernel modules on many kernels in QEMU, and judge what they do
.SH SYNOPSIS
.B vmlab
.I COMMAND
.RI [ OPTION ...]
.RI [ ARGUMENT ...]
.SH DESCRIPTION
In a directory with a
.IR vmlab.yaml ,
vmlab builds the project's modules for each kernel, boots each in a guest of QEMU's, does what the
project's scenarios say, and prints a verdict for each of them: passed, failed, crashed, timeout,
skipped, or broken (the lab's own fault).
.PP
.B vmlab init
makes a project of a folder of modules;
.B vmlab doctor
says what is missing on a machine.
.SH OPTIONS
"""
TAIL = r""".SH EXIT STATUS
.TP
.B 0
all passed or were skipped
.TP
.B 1
something failed
.TP
.B 2
wrong usage; nothing was done
.TP
.B 3
the lab itself broke, or what it needs is missing
.TP
.B 130
Ctrl-C
.SH ENVIRONMENT
.TP
.B VMLAB_CACHE
the directory of what was fetched and built, instead of the user's cache directory
.TP
.B VMLAB_BUILD_SANDBOX
1: as
.B \-\-build\-sandbox
.SH FILES
.TP
.I vmlab.yaml
the project; it may be empty
.TP
.I kmod/*/Kbuild
its modules
.TP
.I scenarios/*.yaml
its scenarios
.TP
.I vmlab\-out/
what was run: consoles, results, verdicts
.SH SEE ALSO
.BR qemu\-system\-x86_64 (1),
.BR insmod (8)
"""


def page(command: Any) -> str:
    """The page in roff, of a click group."""
    head = HEAD.replace("{version}", version("vmlab"))
    own = "".join(text for one in command.params for text in _item(_option(one), one.help))
    return f"{head}{own}.SH COMMANDS\n{''.join(_sections(command, 'vmlab'))}{TAIL}"


def _sections(group: Any, before: str) -> Iterator[str]:
    for name, command in group.commands.items():
        words = f"{before} {name}"
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _sections(command, words)
        else:
            yield "".join(_section(command, words))


def _section(command: Any, words: str) -> Iterator[str]:
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    yield f'.SS "{_roff(" ".join([words, *map(_argument, arguments)]))}"\n'
    yield f"{_roff(' '.join((command.help or '').split()))}\n"
    for one in arguments:
        yield from _item(f"\\fI{_roff(one.name)}\\fR", getattr(one, "help", None))
    for one in shown:
        if one.param_type_name == "option":
            yield from _item(_option(one), one.help)


def _argument(argument: Any) -> str:
    text = argument.name + ("..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def _option(option: Any) -> str:
    """Its names, and what follows them."""
    names = ", ".join(f"\\fB{_roff(name)}\\fR" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    takes = option.type_descriptor.annotation
    each = get_args(takes) or (takes,)  # a list's one kind, a pair's two
    metavar = option.metavar or " ".join(_TAKES[one] for one in each)
    return f"{names} \\fI{_roff(metavar)}\\fR"


def _item(term: str, text: str | None) -> Iterator[str]:
    yield f".TP\n{term}\n{_roff(text or '')}\n"


def _roff(text: str) -> str:
    """Text as roff prints it: no control lines, no escapes, hyphens that can be copied."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return re.sub(r"^([.'])", r"\\&\1", safe, flags=re.MULTILINE)


if __name__ == "__main__":
    import typer

    from vmlab.cli import app

    print(page(typer.main.get_command(app)), end="")
