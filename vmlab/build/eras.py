"""What old kernel trees need of compilers and of a module's Kbuild."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from vmlab.arch import Arch
from vmlab.build.environment import environment
from vmlab.errors import UsageError

Number = tuple[int, ...]
MAP = "-ffile-prefix-map=x=."
_MACRO = {"i386": "__i386__", "x86_64": "__x86_64__"}


@dataclass(frozen=True)
class Flag:
    """What a newer compiler must be told for kernels before `until`, whose kbuild does not yet."""

    text: str
    until: Number
    why: str


FLAGS = (
    Flag("-std=gnu89", (3, 18), "gcc 5's own is gnu11, where inline means something else"),
    Flag("-fno-pie", (4, 9), "Debian's gcc makes position independent code since 6"),
    Flag("-fno-stack-protector", (2, 6, 30), "such kernels have no __stack_chk_fail"),
)

NAMES_COMPILER = (2, 6, 12)
"""The first release whose vermagic does not name the compiler."""

KBUILD_FILES = (2, 6, 10)
"""The first release whose kbuild reads a Kbuild; older ones read a Makefile only."""

_BOTH = (2, 6, 24)  # the first whose kbuild reads ccflags-y
_GONE = (6, 15)  # the first whose kbuild no longer reads EXTRA_CFLAGS


def kbuild_line(number: Number) -> str:
    """What is added to a Kbuild, so that EXTRA_CFLAGS and ccflags-y mean the same everywhere."""
    if number < _BOTH:
        return "EXTRA_CFLAGS += $(ccflags-y)\n"
    return "ccflags-y += $(EXTRA_CFLAGS)\n" if number >= _GONE else ""


@dataclass(frozen=True)
class Compiler:
    """A compiler for one architecture and era."""

    words: str  # as make's CC
    version: str  # as -dumpversion says it
    maps: bool  # whether it can leave out the directory of a build


def compiler(command: str, arch: Arch, number: Number) -> Compiler:
    """A command made to compile for a kernel. Raises UsageError where it cannot."""
    words = _for_arch(shlex.split(command), arch)
    flags = [one.text for one in FLAGS if number < one.until and _takes([*words, one.text])]
    version = dump_version(*words)
    return Compiler(shlex.join([*words, *flags]), version, _takes([*words, MAP]))


def dump_version(*words: str) -> str:
    """What a compiler says of its version, "3.4.6"; gcc 7 and later say all of it if asked to."""
    return _said([*words, "-dumpfullversion", "-dumpversion"]).strip()


def version_of(text: str) -> tuple[str, ...]:
    """The first two numbers of a compiler's version in a text, ("3", "4"); () where none is."""
    found = re.search(r"\b(\d+)\.(\d+)", text)
    return found.groups() if found else ()


def _for_arch(words: Sequence[str], arch: Arch) -> list[str]:
    for more in ([], [arch.gcc_flag]):
        if f"#define {_MACRO[arch.name]} 1" in _said(
            [*words, *more, "-dM", "-E", "-xc", "/dev/null"]
        ):
            return [*words, *more]
    raise UsageError(
        f"{shlex.join(words)} compiles for another architecture than {arch.name}, with "
        f"{arch.gcc_flag} too; name one with --cc or --cross-compile"
    )


def _takes(words: Sequence[str]) -> bool:
    command = [*words, "-xc", "-c", "/dev/null", "-o", "/dev/null"]
    return (
        subprocess.run(command, capture_output=True, check=False, env=environment()).returncode == 0
    )


def _said(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    except OSError as error:
        raise UsageError(
            f"the compiler {words[0]} was not found: install it, or name another with --cc or "
            "--cross-compile"
        ) from error
    return done.stdout
