"""One kind of trouble on a console: what its line looks like, and what it is filed under."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One kind of trouble.

    `title` has the pattern's groups in braces, `{function}` for the guilty one, `{access}` for Read
    or Write and `{held}` for who took the lock. A line belongs to the report before it where
    `after` names that one's kind, or is `ANY_KIND`.
    """

    kind: str
    pattern: "re.Pattern[str]"
    title: str
    after: tuple[str, ...] = ()
    bare: str = ""  # the title where no function is found
    stalls: bool = False  # the function is what a dispatcher has called


def rule(
    kind: str,
    pattern: str,
    title: str = "{line}",
    *,
    after: tuple[str, ...] = (),
    bare: str = "",
    stalls: bool = False,
) -> Rule:
    """A rule from its pattern's text."""
    return Rule(kind, re.compile(pattern), title, after, bare, stalls)


ANY_KIND = ("*",)
"""For a line that belongs to whatever report is open."""
