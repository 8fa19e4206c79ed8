"""Text from guests and strangers, made fit to be shown: it cannot move a terminal's cursor."""

import re

UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    r"\U000e0000-\U000e0fff]"
)
"""Control characters but for the newline and the tab; what reverses or hides letters, or is seen as
nothing; what XML cannot hold; halves of surrogate pairs, which cannot be written at all."""


def plain(text: str) -> str:
    """The text with each character that acts or is not seen written as an escape (\\x1b)."""
    return UNSEEN.sub(_escape, text)


def _escape(found: "re.Match[str]") -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
