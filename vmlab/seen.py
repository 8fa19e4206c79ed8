"""What of a console or an output is looked at, and shown."""

import difflib
import re

from vmlab.plain import plain

TAIL_LINES = 12
SHOWN = 300
"""Characters of a line that are shown."""
_LONGEST_LINE = 4096
_LAST = 4  # lines
_STAMP = re.compile(r"^\[\s*\d+\.\d+\] ")
# What the kernel says of every module that comes from outside, and the agent of one refused.
_ALWAYS = re.compile(
    r"loading out-of-tree module taints|module verification failed|: module license"
    r"|used greatest stack depth: "  # CONFIG_DEBUG_STACK_USAGE
    r"|vmlab: the module was refused$"
)

_NO_FIRMWARE = re.compile(
    r"firmware: failed to load (\S+) \(-2\)|Direct firmware load for (\S+) failed with error -2"
)


def console_lines(console: bytes, begin: int, end: int) -> list[tuple[str, int]]:
    """The lines of a part of the console, each with the place where it ends.

    A line longer than the kernel's own ever are comes in pieces: nothing of it is left out, and no
    pattern is tried on megabytes.
    """
    lines = []
    at = begin
    for raw in console[begin:end].splitlines(keepends=True):
        for start in range(0, len(raw), _LONGEST_LINE):
            piece = raw[start : start + _LONGEST_LINE]
            at += len(piece)
            lines.append((piece.rstrip(b"\r\n").decode(errors="replace"), at))
    return lines


def nearest(pattern: str, lines: list[tuple[str, int]]) -> str:
    """The line that is most like a pattern, `nothing` where there is none."""
    plain = re.sub(r"\\[dwsDWSbB][+*?]?|\.[+*?]|\\", "", pattern)
    texts = [_STAMP.sub("", text) for text, _ in lines[-2000:]]
    near = difflib.get_close_matches(plain, dict.fromkeys(texts), n=1, cutoff=0.3)
    return near[0] if near else "nothing like it" if texts else "nothing"


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The console's last lines."""
    kept = [line[:SHOWN] for line in text.splitlines() if line.strip()][-lines:]
    return plain("\n".join(kept)) or "nothing was printed"


def why_not_loaded(console: bytes, begin: int, end: int) -> str:
    """The kernel's last words of a module that it refused; empty where it said none."""
    texts = [text for text, _ in console_lines(console, begin, end)]
    kept = [text[:SHOWN] for text in texts if text.strip() and not _ALWAYS.search(text)]
    return "\n".join(kept[-_LAST:])


def no_firmware(console: bytes, begin: int, end: int) -> str:
    """What is to be done for the first firmware file that the kernel did not find."""
    for text, _ in console_lines(console, begin, end):
        if found := _NO_FIRMWARE.search(text):
            name = plain(found[1] or found[2])[:SHOWN]
            return (
                f"the guest has no firmware {name}: put it below the project's firmware/ and name "
                "it in the scenario's `firmware:`"
            )
    return ""


def last_word(lines: str) -> str:
    """The last of some lines of a console, without its time."""
    return plain(_STAMP.sub("", lines.rpartition("\n")[2]).strip())
