"""Text from guests and strangers, made fit to be shown: it cannot move a terminal's cursor."""

import re

# Control characters but for the newline and the tab; what reverses or hides letters; halves of
# surrogate pairs, which cannot be written at all.
_ACTS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def plain(text: str) -> str:
    """The text with each character that acts, and is not seen, written as an escape (\\x1b)."""
    return _ACTS.sub(_escape, text)


def _escape(found: "re.Match[str]") -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
