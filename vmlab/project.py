"""A project: where its modules, workloads and scenarios are, as vmlab.yaml says."""

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vmlab.build.process import LIMIT_S
from vmlab.build.whole import Folder, Way
from vmlab.cache import content_key
from vmlab.errors import UsageError
from vmlab.known_failures import KnownFailure
from vmlab.scenario import Expanded, Known, Loaded, ScenarioError, expand, load
from vmlab.scenario.check import unknown
from vmlab.scenario.positions import read
from vmlab.scenario.values import Duration

FILE = "vmlab.yaml"
_BUILD_MS = round(LIMIT_S * 1000)
LEFT_OUT = frozenset({"demo", "slow", "crash"})
"""Tags of scenarios that are run only where they are named."""


class Settings(BaseModel):
    """What vmlab.yaml may say; paths are relative to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="the project's name; its directory's without")
    modules: str = Field(default="kmod", description="one directory for each module")
    build: Way = Field(
        default="apart",
        description="apart: each module's directory has its Kbuild; kbuild: the directory as a "
        "whole, with its own; dkms: as a whole, as its dkms.conf says",
    )
    build_timeout: Duration = Field(
        default=_BUILD_MS, description="how long a build's command may take"
    )
    names: list[str] = Field(default=[], description="the modules of a whole: their files' names")
    scenarios: str = Field(default="scenarios", description="the scenario files")
    workloads: str = Field(default="scenarios/workloads", description="C files, one a program")
    firmware: str = Field(default="firmware", description="the files that drivers ask for")
    kernels: str = Field(default="default", description="what runs use without --kernel")
    known_failures: list[KnownFailure] = Field(
        default=[], description="failures that are not held against it until a day"
    )


@dataclass(frozen=True)
class Project:
    """A directory with settings."""

    root: Path
    settings: Settings

    @property
    def modules(self) -> Path:
        return self.root / self.settings.modules

    @property
    def folder(self) -> Folder:
        """The same with how it is built."""
        left_out = (self.output, self.root / self.settings.scenarios)
        limit_s = self.settings.build_timeout / 1000
        return Folder(self.modules, self.settings.build, left_out, limit_s)

    @property
    def output(self) -> Path:
        """Where run directories are made."""
        return self.root / "vmlab-out"

    @property
    def name(self) -> str:
        return self.settings.name or self.root.resolve().name

    @property
    def identity(self) -> str:
        """The same in every checkout: of its settings, but for what is known to fail, and of the
        names of its scenarios."""
        settings = self.settings.model_dump_json(
            exclude={"known_failures", "name", "build_timeout"}
        )
        return content_key(settings, *(path.stem for path in self.scenario_files()))

    def of_modules(self, folder: Path) -> "Project":
        """The same with its modules as they stand elsewhere."""
        settings = self.settings.model_copy(update={"modules": str(folder.absolute())})
        return Project(self.root, settings)

    def module_names(self) -> frozenset[str]:
        if self.settings.build != "apart":
            return frozenset(self.settings.names)
        return frozenset(path.parent.name for path in self.modules.glob("*/Kbuild"))

    def workloads(self) -> dict[str, Path]:
        """The workloads' source files by name."""
        folder = self.root / self.settings.workloads
        return {path.stem: path for path in sorted(folder.glob("*.c"))}

    def firmware(self) -> dict[str, Path]:
        """The firmware files by the names that drivers ask for them by."""
        folder = self.root / self.settings.firmware
        inside = (
            path for path in folder.rglob("*") if path.resolve().is_relative_to(folder.resolve())
        )
        files = sorted(path for path in inside if path.is_file())
        return {path.relative_to(folder).as_posix(): path for path in files}

    def known(self, kernel_problem: Callable[[str], str | None]) -> Known:
        """What this project's scenarios may name."""
        firmware = frozenset(self.firmware())
        return Known(self.module_names(), frozenset(self.workloads()), kernel_problem, firmware)

    def scenario_files(self) -> list[Path]:
        return sorted((self.root / self.settings.scenarios).glob("*.yaml"))


def root_of(start: Path) -> Path | None:
    """The directory of the project that a directory is in, None where there is none."""
    return next((one for one in (start, *start.parents) if (one / FILE).is_file()), None)


def find(start: Path) -> Project:
    """The project that a directory is in. Raises UsageError where there is none or it is bad."""
    folder = root_of(start)
    if folder is None:
        raise UsageError(
            f"no {FILE} in {start} or above; go to a project's directory, run `vmlab init` in the "
            f"folder of a module that is there already, or begin a project with an empty {FILE} "
            "(its modules are looked for in kmod/, its scenarios in scenarios/)"
        )
    return Project(folder, _settings(folder / FILE))


def chosen(project: Project, names: Sequence[str]) -> list[Path]:
    """The scenario files that names, globs and files mean; all of the project without any.

    Raises UsageError for one that means none.
    """
    files = project.scenario_files()
    if not names:
        return files
    picked: list[Path] = []
    for name in names:
        found = [path for path in files if fnmatch.fnmatchcase(path.stem, name)]
        if not found and Path(name).is_file():
            found = [Path(name)]
        if not found:
            raise UsageError(unknown("scenario", name, [path.stem for path in files]))
        picked += [path for path in found if path not in picked]
    return picked


def load_all(paths: Sequence[Path], known: Known) -> list[Loaded]:
    """Every file; raises one UsageError with the problems of all of them."""
    loaded, problems = [], []
    for path in paths:
        try:
            loaded.append(load(path, known))
        except ScenarioError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return loaded


def runs_unnamed(loaded: Loaded) -> bool:
    """Whether a run that names no scenario has this one."""
    return not LEFT_OUT.intersection(loaded.scenario.tags)


def expanded(loaded: Sequence[Loaded]) -> list[Expanded]:
    return [one for scenario in loaded for one in expand(scenario)]


def _settings(path: Path) -> Settings:
    document = read(path.read_text())
    content = document.content or {}
    empty = path.read_text().strip() == "" or document.content == ""
    if document.problems and not empty:
        raise ScenarioError(path, document.problems)
    try:
        return Settings.model_validate(content if isinstance(content, dict) else {})
    except ValidationError as error:
        first = error.errors()[0]
        line, column = document.place(first["loc"], key=True)
        inner = KnownFailure if len(first["loc"]) > 2 else Settings
        names = f"; there are {', '.join(inner.model_fields)}"
        more = names if first["type"] == "extra_forbidden" else ""
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}:{line}:{column}: {key}: {first['msg'].lower()}{more}") from error
