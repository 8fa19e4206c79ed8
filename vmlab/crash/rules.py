"""One kind of trouble on a console: what its line looks like, and what it is filed under."""

import functools
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
    text: str  # of the pattern
    title: str
    after: tuple[str, ...] = ()
    bare: str = ""  # the title where no function is found
    stalls: bool = False  # the function is what a dispatcher has called

    @functools.cached_property
    def pattern(self) -> "re.Pattern[str]":
        """Compiled when it is first asked: most runs are of healthy kernels."""
        return re.compile(self.text)


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
    return Rule(kind, pattern, title, after, bare, stalls)


ANY_KIND = ("*",)
"""For a line that belongs to whatever report is open."""
