"""What a kernel is built from, by the words that name it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmlab.cache import content_key
from vmlab.catalog import Catalog
from vmlab.errors import UsageError
from vmlab.sources import copy, git

GIT = "git:"
DEBIAN = "debian-source:"
_WANTED = (
    "a source is git:REPOSITORY@REVISION, debian-source:6.1, or the directory of a kernel's source"
)


@dataclass(frozen=True)
class Tree:
    """A source tree that stays as it is while it is held, and that no build writes into."""

    path: Path
    content: str  # what names its content: a commit, a package's version, a hash


class Source(Protocol):
    """Where a tree comes from. What is read of it is a copy of the lab's own."""

    @property
    def label(self) -> str:
        """Short, fit for a kernel's name."""
        ...

    @property
    def text(self) -> str:
        """As the user writes it; with a directory, its whole path."""
        ...

    @property
    def family(self) -> str:
        """Names the tree whatever its revision: such trees are built in one directory, in turn."""
        ...

    def content(self, catalog: Catalog) -> str:
        """What names it: the commit, the package's version, the hash of a tree's files.

        Raises UsageError where there is no such source.
        """
        ...

    def held(self, catalog: Catalog) -> contextlib.AbstractContextManager[Tree]:
        """The tree, for as long as it is held; one process at a time has a source's tree."""
        ...


@dataclass(frozen=True)
class GitSource:
    """A revision of a repository, checked out into the lab's own directory.

    Nothing is written into the repository. Files that two revisions have in common keep their
    times, so that make compiles only what differs.
    """

    repository: Path
    revision: str

    @property
    def label(self) -> str:
        whole = len(self.revision) == 40 and set(self.revision) <= set("0123456789abcdef")
        return f"git-{plain_name(self.revision[:12] if whole else self.revision)}"

    @property
    def text(self) -> str:
        return f"{GIT}{self.repository}@{self.revision}"

    @property
    def family(self) -> str:
        return f"git-{content_key(str(self.repository))}"

    def content(self, catalog: Catalog) -> str:
        return git.commit(self.repository, self.revision)

    @contextlib.contextmanager
    def held(self, catalog: Catalog) -> Iterator[Tree]:
        commit = self.content(catalog)
        with catalog.cache.workspace("source-trees", self.family) as place:
            git.check_out(self.repository, commit, place)
            yield Tree(git.tree(place), commit)


@dataclass(frozen=True)
class TreeSource:
    """A directory with a kernel's source. Its source files are copied, what was built is not."""

    directory: Path

    @property
    def label(self) -> str:
        return plain_name(self.directory.name)

    @property
    def text(self) -> str:
        return str(self.directory)

    @property
    def family(self) -> str:
        return f"tree-{self.label}-{content_key(str(self.directory))}"

    def content(self, catalog: Catalog) -> str:
        with self.held(catalog) as tree:
            return tree.content

    @contextlib.contextmanager
    def held(self, catalog: Catalog) -> Iterator[Tree]:
        with catalog.cache.workspace("source-trees", self.family) as place:
            content = copy.update(self.directory, place)
            yield Tree(copy.tree(place), content)


@dataclass(frozen=True)
class DebianSource:
    """Debian's kernel source, with its patches: of a series, "6.1", or of a version."""

    wanted: str

    @property
    def label(self) -> str:
        return f"debian-{plain_name(self.wanted)}"

    @property
    def text(self) -> str:
        return f"{DEBIAN}{self.wanted}"

    @property
    def family(self) -> str:
        return self.label

    def content(self, catalog: Catalog) -> str:
        package, _ = catalog.linux_source(self.wanted)
        return package.key

    @contextlib.contextmanager
    def held(self, catalog: Catalog) -> Iterator[Tree]:
        package, path = catalog.linux_source(self.wanted)
        yield Tree(path, package.key)


def plain_name(text: str) -> str:
    """A text as part of a kernel's name, which make and shells take as one word."""
    kept = "".join(
        one if one.isascii() and (one.isalnum() or one in "._+") else "-" for one in text
    )
    return kept.strip("-.+_") or "kernel"


def is_source(text: str) -> bool:
    """Whether a kernel is to be built from it first, and not taken as it stands."""
    return text.startswith((GIT, DEBIAN))


def parse(text: str) -> Source:
    """Raises UsageError with what is wrong with the words; a git revision is not looked up yet."""
    if text.startswith(DEBIAN):
        wanted = text.removeprefix(DEBIAN)
        if not wanted[:1].isdigit():
            raise UsageError(f"{text!r} names no version, as in {DEBIAN}6.1")
        return DebianSource(wanted)
    if text.startswith(GIT):
        where, _, revision = text.removeprefix(GIT).rpartition("@")
        if not where or not revision:
            raise UsageError(f"{text!r} names no revision, as in {GIT}~/linux@v6.1")
        return GitSource(git.repository(Path(where).expanduser()), revision)
    return TreeSource(_tree(Path(text).expanduser()))


def _tree(directory: Path) -> Path:
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory; {_WANTED}")
    lacking = [
        name for name in ("Makefile", "Kconfig", "scripts") if not (directory / name).exists()
    ]
    if lacking:
        raise UsageError(
            f"{directory} is no kernel's source: it has no {', no '.join(lacking)}; {_WANTED}"
        )
    return directory.resolve()
