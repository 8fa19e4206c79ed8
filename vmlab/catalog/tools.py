"""Finds programs of a newer Debian than the host's, with what the host lacks to run them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from debian.debian_support import Version

from vmlab.catalog.apt import Apt
from vmlab.catalog.find import Index
from vmlab.catalog.records import Gone, Package, Tool


@dataclass(frozen=True)
class Recipe:
    """Where a tool comes from. What the host's own package of that name needs, the host has."""

    name: str
    package: str
    suite: str
    host: str  # the suite of the oldest Debian that the lab runs on


# Up to 7.2 the virtual clock stands still while the second processor is brought up.
RECIPES = (Recipe("qemu", "qemu-system-x86", "bookworm-backports", "bookworm"),)


@dataclass(frozen=True)
class Need:
    """One of a package's dependencies: any of these, each a name, a comparison, a version."""

    choices: tuple[tuple[str, str, str], ...]


_CHOICE = re.compile(
    r"\s*([a-z0-9][a-z0-9.+-]*)(?::\w+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*(\S+?)\s*\))?"
)
_ARCHITECTURES = ("amd64", "all")


def recipe(name: str) -> Recipe:
    """Raises StopIteration for a tool that there is not."""
    return next(one for one in RECIPES if one.name == name)


def find(apt: Apt, wanted: Recipe) -> Tool:
    """The tool as the archive has it now. Raises Gone where the archive has not all of it."""
    apt.update([wanted.suite, wanted.host])
    found: dict[str, Package] = {}
    names = [wanted.package]
    while names:
        new, old = (_index(apt, suite, names) for suite in (wanted.suite, wanted.host))
        lacking: list[str] = []
        for name in names:
            found[name], index = _newer(name, new, old, wanted)
            lacking += _lacking(apt, found[name], index, old, wanted)
        names = [name for name in dict.fromkeys(lacking) if name not in found]
    return Tool(wanted.name, tuple(found.values()))


def _newer(name: str, new: Index, old: Index, wanted: Recipe) -> tuple[Package, Index]:
    for index in (new, old):
        if package := index.get(name, *_ARCHITECTURES):
            return package, index
    raise Gone(f"{wanted.name}: neither {wanted.suite} nor {wanted.host} has {name}")


def _lacking(apt: Apt, package: Package, index: Index, old: Index, wanted: Recipe) -> Iterator[str]:
    """What the package needs and the host's package of that name does not bring."""
    needs = list(parse(index.depends_of(package)))
    host = old.get(package.name, *_ARCHITECTURES)
    brought = {name for name, _, _ in _choices(parse(old.depends_of(host)))} if host else set()
    there = _index(apt, wanted.host, {name for name, _, _ in _choices(needs)} & brought)
    for need in needs:
        if not any(_meets(there, choice) for choice in need.choices):
            yield need.choices[0][0]


def _meets(there: Index, choice: tuple[str, str, str]) -> bool:
    name, comparison, version = choice
    package = there.get(name, *_ARCHITECTURES)
    return package is not None and holds(package.version, comparison, version)


def holds(version: str, comparison: str, other: str) -> bool:
    """Whether a version compares so with another, in dpkg's words; always without a comparison."""
    if not comparison:
        return True
    ours, theirs = Version(version), Version(other)
    return {
        "<<": ours < theirs, "<=": ours <= theirs, "=": ours == theirs,
        ">=": ours >= theirs, ">>": ours > theirs,
    }[comparison]  # fmt: skip


def parse(depends: str) -> Iterator[Need]:
    """A Depends field, need by need."""
    for part in depends.split(","):
        choices = (_CHOICE.match(choice) for choice in part.split("|"))
        found = tuple((one[1], one[2] or "", one[3] or "") for one in choices if one)
        if found:
            yield Need(found)


def _choices(needs: Iterable[Need]) -> Iterator[tuple[str, str, str]]:
    for need in needs:
        yield from need.choices


def _index(apt: Apt, suite: str, names: Iterable[str]) -> Index:
    either = "|".join(re.escape(name) for name in sorted(names))
    return Index.of(apt.packages(suite, re.compile(either or r"(?!)")))
