"""The git history of a project's own modules: each commit's sources on one kernel."""

import functools
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.bisect.gitrepo import Repository
from vmlab.bisect.tester import Subject
from vmlab.catalog import Kernel
from vmlab.errors import LabError, UsageError
from vmlab.project import Project
from vmlab.runner import Runner
from vmlab.scenario import Expanded


@dataclass
class History:
    """The modules' folder at each commit; scenario and workloads are today's."""

    project: Project
    artifacts: Artifacts
    expanded: Expanded
    kernel: Kernel
    options: lab.Options
    repository: Repository
    folder: str  # of the modules, from the top of the repository
    _made: dict[str, Subject] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        project: Project,
        artifacts: Artifacts,
        expanded: Expanded,
        kernel: Kernel,
        options: lab.Options,
    ) -> "History":
        """Raises UsageError where the modules are in no repository."""
        repository = Repository(project.modules)
        try:
            folder = project.modules.resolve().relative_to(repository.top.resolve())
        except LabError as error:
            raise UsageError(
                f"--modules bisects the git history of the project's modules, and "
                f"{project.modules} is in no git repository that can be read ({error})"
            ) from error
        top = Repository(repository.top)
        return cls(project, artifacts, expanded, kernel, options, top, str(folder))

    @functools.cached_property
    def runner(self) -> Runner:
        """Of today's modules; its backend is that of all, so that a cluster is spoken to once."""
        return lab.runner(self.project, self.artifacts, self.options)

    def subject(self, commit: str) -> Subject:
        if commit not in self._made:
            self._made[commit] = self._subject(self._files(commit))
        return self._made[commit]

    def _files(self, commit: str) -> Path:
        """Made whole under another name: a second bisection may be at the same commit."""
        place = self.project.output / "bisect" / "sources" / commit[:16]
        if not place.is_dir():
            half = place.with_name(f".{place.name}-{os.getpid()}")
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            try:
                self.repository.files(commit, self.folder, half)
                half.rename(place)
            except OSError:  # the other one was faster
                if not place.is_dir():
                    raise
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return place / self.folder

    def _subject(self, modules: Path) -> Subject:
        then = self.project.of_modules(modules)
        runner = lab.runner(then, self.artifacts, self.options, self.runner.backend)
        return Subject(runner, self.expanded, self.kernel)
