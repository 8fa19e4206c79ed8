"""Asks binutils' addr2line for the source lines of places in an ELF file, many at a time."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.errors import LabError

PROGRAM = "addr2line"
_PATIENCE_S = 120.0
_AT_ONCE = 500  # addresses in one command
_ADDRESS = re.compile(r"0x[0-9a-f]+")
_PLACE = re.compile(r"(?P<file>.+):(?P<line>\d+)(?: \(discriminator \d+\))?")


@dataclass(frozen=True)
class Line:
    """A line of a function; `file` is named as the compiler was told."""

    function: str
    file: str
    line: int


def lines(file: Path, section: str | None, places: Sequence[int]) -> list[tuple[Line, ...]]:
    """For each place the lines that led there, those of inlined functions first.

    A place is an offset in the section, or an address where none is named. Nothing where the file
    does not know one. Raises LabError where addr2line cannot be run or refuses the file.
    """
    found: list[tuple[Line, ...]] = []
    for begin in range(0, len(places), _AT_ONCE):
        part = places[begin : begin + _AT_ONCE]
        answers = parsed(_output(command(file, section, part)))
        if len(answers) != len(part):
            raise LabError(
                f"asking {PROGRAM} for lines of {file}: {len(answers)} answers came to "
                f"{len(part)} places"
            )
        found += answers
    return found


def command(file: Path, section: str | None, places: Sequence[int]) -> list[str]:
    within = ["-j", section] if section else []
    return [PROGRAM, "-a", "-i", "-f", "-e", str(file), *within, *(f"{one:#x}" for one in places)]


def parsed(output: str) -> list[tuple[Line, ...]]:
    """Each answer is its address, then a function and a place in turn."""
    answers: list[list[str]] = []
    for line in output.splitlines():
        if _ADDRESS.fullmatch(line):
            answers.append([])
        elif answers:
            answers[-1].append(line)
    return [_chain(answer) for answer in answers]


def _chain(answer: Sequence[str]) -> tuple[Line, ...]:
    chain = []
    for function, place in zip(answer[::2], answer[1::2], strict=False):
        known = _PLACE.fullmatch(place)
        if known and known["file"] != "??" and known["line"] != "0":
            chain.append(Line(function, known["file"], int(known["line"])))
    return tuple(chain)


def _output(words: Sequence[str]) -> str:
    attempt = f"asking {PROGRAM} for source lines"
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=_PATIENCE_S, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise LabError(f"{attempt}: it was not found; install binutils") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{attempt}: no answer within {_PATIENCE_S:.0f} s") from error
    if done.returncode:
        raise LabError(f"{attempt}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
