"""Commits of a kernel's git repository: each built, in the lab's own directory, and booted."""

import functools
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.bisect.gitrepo import Repository
from vmlab.bisect.tester import Subject
from vmlab.errors import LabError, UsageError
from vmlab.project import Project
from vmlab.runner import Runner
from vmlab.scenario import Expanded
from vmlab.sources import GitSource, parse
from vmlab.sources.build import Options, build

_VERSION = re.compile(r"^VERSION\s*=\s*\d+", re.MULTILINE)


@dataclass
class Commits:
    """Neighbouring commits are built in one directory, so that make compiles what differs."""

    artifacts: Artifacts
    expanded: Expanded
    options: Options
    repository: Repository
    project: Project
    guests: lab.Options
    _made: dict[str, Subject] = field(default_factory=dict)
    _one: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(
        cls,
        project: Project,
        artifacts: Artifacts,
        expanded: Expanded,
        options: Options,
        tree: Path,
        guests: lab.Options,
    ) -> "Commits":
        """Raises UsageError where the tree is in no repository."""
        parse(f"git:{tree}@HEAD")
        repository = Repository(tree.expanduser())
        return cls(artifacts, expanded, options, repository, project, guests)

    def check(self, commit: str) -> None:
        """Raises UsageError where the repository is no kernel's."""
        try:
            makefile = self.repository.text("show", f"{commit}:./Makefile")
        except LabError:
            makefile = ""
        if not _VERSION.search(makefile):
            raise UsageError(
                f"{self.repository.path} is no kernel's source: looked at {commit[:12]} for a "
                "Makefile with a line VERSION = NUMBER, and found none; --tree takes a kernel's "
                "repository, and --modules bisects the project's own"
            )

    @functools.cached_property
    def runner(self) -> Runner:
        """Made when all that was asked for is valid."""
        return lab.runner(self.project, self.artifacts, self.guests)

    def subject(self, commit: str) -> Subject:
        """Raises what building raises. One is built at a time, and each once."""
        with self._one:
            if commit not in self._made:
                source = parse(f"git:{self.repository.path}@{commit}")
                assert isinstance(source, GitSource)
                kernel = build(self.artifacts.catalog, source, self.options).kernel
                self._made[commit] = Subject(self.runner, self.expanded, kernel)
            return self._made[commit]
