"""Patterns of grep and sed, and the shell's own, as Python's."""

import fnmatch
import re

from vmlab.build.shell.errors import Refused

_CLASSES = {
    "[:digit:]": "0-9", "[:alpha:]": "A-Za-z", "[:alnum:]": "A-Za-z0-9", "[:space:]": r"\s",
    "[:upper:]": "A-Z", "[:lower:]": "a-z", "[:blank:]": r" \t",
}  # fmt: skip
_SWAPPED = "+?|(){}"  # in a basic pattern these mean themselves, and with a backslash the other


def compiled(text: str, extended: bool, ignore_case: bool = False) -> "re.Pattern[str]":
    """A pattern of grep's or sed's. Raises Refused for one that is none."""
    for posix, ours in _CLASSES.items():
        text = text.replace(posix, ours)
    flags = re.IGNORECASE if ignore_case else re.NOFLAG
    try:
        return re.compile(text if extended else _extended(text), flags)
    except re.error as error:
        raise Refused(f"has a pattern that is none: {text}: {error}") from error


def _extended(text: str) -> str:
    made, at = "", 0
    while at < len(text):
        two = text[at : at + 2]
        if two[0] == "\\" and two[1:] and two[1] in _SWAPPED:
            made, at = made + two[1], at + 2
        elif two[0] == "\\":
            made, at = made + two, at + 2
        elif two[0] == "[":
            end = text.find("]", at + 2)
            end = len(text) if end < 0 else end + 1
            made, at = made + text[at:end], end
        else:
            made, at = made + ("\\" if two[0] in _SWAPPED else "") + two[0], at + 1
    return made


def glob(text: str) -> str:
    """One of the shell's patterns, for re."""
    return fnmatch.translate(text).removesuffix(r"\Z")
