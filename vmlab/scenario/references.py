"""References in a scenario's text: `{name.key}` is a capture, `{name}` a parameter."""

import re
from collections.abc import Callable, Iterator, Mapping

# Not after a $, for ${name} is the shell's.
_REFERENCE = re.compile(r"(?<!\$)\{([a-z][a-z0-9_]*)(?:\.([A-Za-z0-9_]+))?\}")


def found(text: str) -> Iterator[tuple[str, str | None]]:
    """Each reference's name and key (None for a parameter)."""
    return ((match[1], match[2]) for match in _REFERENCE.finditer(text))


def with_parameters(text: str, values: Mapping[str, str]) -> str:
    """The text with the parameters put in; captures are left to the guest."""

    def value(match: re.Match[str]) -> str:
        return values.get(match[1], match[0]) if match[2] is None else match[0]

    return _REFERENCE.sub(value, text)


def with_captures(
    text: str, values: Mapping[str, str], quote: Callable[[str], str] = re.escape
) -> str:
    """The text with the captures put in, quoted (for a pattern); raises KeyError for none."""

    def value(match: re.Match[str]) -> str:
        return quote(values[f"{match[1]}.{match[2]}"]) if match[2] is not None else match[0]

    return _REFERENCE.sub(value, text)


def stand_in(text: str) -> str:
    """The text with every reference replaced by a word, to see whether a pattern is one."""
    return _REFERENCE.sub("0", text)
