"""What on a console says that the kernel is sick: one table, specific before general.

Formats of i386 and x86_64 (arm and arm64 too, where theirs differ), 2.6 to 7.x.
"""

import functools
import re

from vmlab.crash.checkers import CHECKERS
from vmlab.crash.faults import FAULTS
from vmlab.crash.rules import ANY_KIND, Rule, rule

KINDS = (*CHECKERS, *FAULTS)

REBOOT = rule(
    "reboot", r"Linux version \d+\.\d+\S* \(|Booting the kernel\.$", "unexpected kernel reboot"
)
"""A kernel that begins: trouble only where another ran before, and nobody restarted it."""

SAID = rule(
    "warning",
    r"WARNING: (?!.{0,200}(?:BIOS|MTRR|MP ?TABLE|MP table|command line|deprecated|mitigation"
    r"|data leaks?|suitable|unreliable|[Pp]erformance|[Ll]imit|too many|adjust|cpumask))"
    r"(?P<said>\w.{0,200})",
    "WARNING: {said}",
    after=ANY_KIND,
)
"""What a kernel calls a warning in its own words: by include/asm-generic/bug.h none may but of a
fault. Older ones of firmware, settings and advice are left out. Only of a line with the kernel's
time: programs say it too.
"""

# Words that no healthy kernel prints: also in the middle of a line, after one that was not ended.
LOUD = (
    rule("init killed", r"Kernel panic - not syncing: Attempted to kill init"),
    rule("panic", r"Kernel panic - not syncing"),
    rule("page fault", r"BUG: unable to handle "),
    rule("oops", r"Oops: [0-9a-f]{4} \[#\d+\]"),
)

WARNED = (
    # where a WARNING stands, as `file function`; and what people file it under
    rule(
        "refcount",
        r"(?:lib/refcount\.c|include/linux/(?:kref|refcount)\.h) ",
        "WARNING: refcount bug in {function}",
    ),
    rule("warning", r"lib/debugobjects\.c ", "WARNING: ODEBUG bug in {function}"),
    rule("warning", r"mm/(?:slab_common|util)\.c k\w*alloc", "WARNING: kmalloc bug in {function}"),
    rule("warning", r"mm/vmalloc\.c __vmalloc_node", "WARNING: zero-size vmalloc in {function}"),
    rule("warning", r"fs/proc/generic\.c ", "WARNING: proc registration bug in {function}"),
    rule("warning", r"lib/kobject\.c ", "WARNING: kobject bug in {function}"),
    rule("list corruption", r"lib/list_debug\.c ", "WARNING in {function}"),
    rule("lockdep", r"kernel/(?:locking/)?lockdep\.[ch] ", "WARNING: locking bug in {function}"),
    rule("warning", r"kernel/rcu/tree_plugin\.h ", "WARNING: suspicious RCU usage in {function}"),
)


def _any(rules: tuple[Rule, ...], group: str) -> "re.Pattern[str]":
    """One pattern for all rules; a `group` may be made of each rule's number."""
    named = re.compile(r"\(\?P<\w+>")
    plain = (named.sub("(?:", rule.text) for rule in rules)
    return re.compile("|".join(f"({group.format(at)}{text})" for at, text in enumerate(plain)))


@functools.cache
def _any_kind() -> "re.Pattern[str]":
    """Without names, a rule that begins with another letter costs next to nothing."""
    return _any(KINDS, "?:")


@functools.cache
def _which_kind() -> "re.Pattern[str]":
    return _any(KINDS, "?P<r{}>")


@functools.cache
def any_loud() -> "re.Pattern[str]":
    """Whether one of LOUD stands somewhere in a line."""
    return _any(LOUD, "?:")


def rule_of(text: str) -> "tuple[Rule, re.Match[str]] | None":
    """The first rule for a message, with its match; None for a harmless one."""
    if not _any_kind().match(text):
        return None
    found = _which_kind().match(text)
    if not found or not found.lastgroup:
        return None
    one = KINDS[int(found.lastgroup[1:])]
    match = one.pattern.match(text)
    return (one, match) if match else None
