"""From what was asked for to bisections that can be run; all that can be wrong is said before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab import lab
from vmlab.arch import ARCHES, Arch
from vmlab.artifacts import Artifacts
from vmlab.bisect import engine, evidence, gitrepo, released
from vmlab.bisect.belief import Evidence
from vmlab.bisect.drive import Result, Tester
from vmlab.bisect.engine import Rules
from vmlab.bisect.journal import Journal
from vmlab.bisect.space import Space, graph, line
from vmlab.bisect.tell import Words, problem, summary
from vmlab.bisect.tester import Runs, Subject
from vmlab.catalog import Kernel
from vmlab.errors import UsageError
from vmlab.inputs import scenario_key
from vmlab.project import Project
from vmlab.runner import Runner
from vmlab.scenario import Expanded

if TYPE_CHECKING:
    from vmlab.bisect.configs import Found


@dataclass(frozen=True)
class Wanted:
    """What the command line says."""

    scenario: str
    good: str
    bad: str
    arch: str | None = None
    kernel: str | None = None
    modules: bool = False
    match: str | None = None
    command: str | None = None
    tree: Path | None = None
    config: str = "tiny"
    fragments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """One bisection. `subjects` are those of its commits, where it is over commits."""

    title: str
    space: Space
    tester: Tester
    words: Words
    folder: Path  # where its journal is
    head: Mapping[str, object]  # what makes it another bisection than others
    subjects: Mapping[str, str] = field(default_factory=dict)
    message: Callable[[str], str] | None = None

    def open(self, rules: Rules, resume: bool, fresh: bool) -> Journal:
        """Raises UsageError where an unfinished one is there and nobody said what to do."""
        if resume and fresh:
            raise UsageError("--resume and --fresh contradict each other; give one of them")
        journal = Journal.of(self.folder, {**self.head, "names": list(self.space.names)})
        if not fresh and (resume or journal.done) and journal.seen:
            journal.go_on()
        elif journal.unfinished and not fresh:
            raise UsageError(
                f"{self.title}: this bisection was stopped after {len(journal.seen)} runs, which "
                f"{journal.path} holds: go on with --resume, or begin anew with --fresh"
            )
        else:
            journal.begin()
        return journal

    def write_log(self, found: Evidence, rules: Rules) -> None:
        """For ranges of commits: what was decided, as `git bisect replay` takes it."""
        if self.subjects:
            states = engine.states(self.space, found, rules)
            text = gitrepo.log(self.space.names, self.subjects, states)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log.write_text(text)

    @property
    def log(self) -> Path:
        return self.folder / "git-bisect.log"

    def show(self, result: Result) -> None:
        from vmlab.bisect.show import show

        show(self, result)

    def closing(self, result: Result) -> list[str]:
        """The answer in words, with the commit's message where there is one."""
        lines = summary(result, self.words)
        if self.message and problem(result) is None:
            lines += ["", self.message(result.space.names[result.answer.first[-1]])]
        if self.subjects:
            lines.append(f"log:  git bisect replay {self.log}")
        return lines


def plans(project: Project, artifacts: Artifacts, wanted: Wanted, jobs: int) -> list[Plan]:
    """One for each architecture, or one over commits. Raises UsageError."""
    match = evidence.match(wanted.match, wanted.command)
    expanded = _scenario(project, artifacts, wanted.scenario)
    if wanted.tree:
        arches = [one for one in ARCHES.values() if wanted.arch in (None, one.name)]
        return [_commits(project, artifacts, wanted, expanded, match, jobs, one) for one in arches]
    if wanted.modules:
        return [_modules(project, artifacts, wanted, expanded, match, jobs)]
    if wanted.kernel:
        raise UsageError("--kernel is for --modules; over kernels, --good and --bad name them")
    found = released.ranges(artifacts.catalog, wanted.good, wanted.bad, wanted.arch)
    runner = lab.runner(project, artifacts, _options(expanded))

    def tester(kernels: tuple[Kernel, ...]) -> Tester:
        return Runs(_fixed(runner, expanded, kernels), match, jobs)

    return [
        _kernels(
            project,
            wanted,
            kernels,
            arch,
            Runs(_fixed(runner, expanded, kernels), match, jobs),
            expanded,
        )
        for arch, kernels in found.items()
    ]


def configs(
    project: Project,
    artifacts: Artifacts,
    wanted: Wanted,
    source: str,
    files: tuple[Path, Path],
    rules: Rules,
) -> "Found":
    """The options that make the difference between two configurations."""
    from vmlab.bisect.configs import find

    arch = wanted.arch or "i386"
    if arch not in ARCHES:
        raise UsageError(f"unknown architecture {arch!r}; there are {', '.join(ARCHES)}")
    match = evidence.match(wanted.match, wanted.command)
    expanded = _scenario(project, artifacts, wanted.scenario)
    say = artifacts.catalog.say
    return find(project, artifacts, expanded, source, ARCHES[arch], files, match, rules, say)


def _fixed(
    runner: Runner, expanded: Expanded, kernels: tuple[Kernel, ...]
) -> Callable[[str], Subject]:
    by_id = {one.id: one for one in kernels}
    return lambda revision: Subject(runner, expanded, by_id[revision])


def _kernels(
    project: Project,
    wanted: Wanted,
    kernels: tuple[Kernel, ...],
    arch: str,
    tester: Tester,
    expanded: Expanded,
) -> Plan:
    about = {one.id: one.version for one in kernels}
    head = _head(wanted, expanded, sources=_sources(project), versions=about)
    title = f"{expanded.name} on {arch}, {kernels[0].id} to {kernels[-1].id}"
    words = Words(expanded.name, wanted.match or wanted.command or "fails", about)
    return Plan(title, line([one.id for one in kernels]), tester, words, _folder(project), head)


def _modules(
    project: Project,
    artifacts: Artifacts,
    wanted: Wanted,
    expanded: Expanded,
    match: evidence.Match,
    jobs: int,
) -> Plan:
    from vmlab.bisect.history import History

    kernels = artifacts.catalog.select(wanted.kernel or project.settings.kernels)
    kernels = [one for one in kernels if wanted.arch in (None, one.arch.name)]
    if len(kernels) != 1:
        ids = ", ".join(one.id for one in kernels) or "none"
        raise UsageError(f"--modules bisects on one kernel; name it with --kernel (now: {ids})")
    history = History.of(project, artifacts, expanded, kernels[0], _options(expanded))
    good, bad = (history.repository.commit(one) for one in (wanted.good, wanted.bad))
    found = gitrepo.parents(history.repository, good, bad, history.folder)
    subjects = history.repository.subjects(good, bad)
    head = _head(wanted, expanded, kernel=kernels[0].id)
    words = Words(expanded.name, wanted.match or wanted.command or "fails", subjects)
    title = f"{expanded.name} on {kernels[0].id}, {good[:12]} to {bad[:12]}"
    return Plan(
        title, graph(found), Runs(history.subject, match, jobs), words, _folder(project), head,
        subjects, history.repository.message,
    )  # fmt: skip


def _commits(
    project: Project,
    artifacts: Artifacts,
    wanted: Wanted,
    expanded: Expanded,
    match: evidence.Match,
    jobs: int,
    arch: Arch,
) -> Plan:
    from vmlab.bisect.commits import Commits
    from vmlab.sources.build import Options

    assert wanted.tree
    options = Options(arch, wanted.config, wanted.fragments)
    guests = _options(expanded)
    made = Commits.of(project, artifacts, expanded, options, wanted.tree, guests)
    good, bad = (made.repository.commit(one) for one in (wanted.good, wanted.bad))
    found = gitrepo.parents(made.repository, good, bad)
    subjects = made.repository.subjects(good, bad)
    head = _head(wanted, expanded, arch=arch.name, config=wanted.config, more=wanted.fragments)
    words = Words(expanded.name, wanted.match or wanted.command or "fails", subjects)
    title = f"{expanded.name} on {arch.name}, {good[:12]} to {bad[:12]} of {wanted.tree}"
    return Plan(
        title, graph(found), Runs(made.subject, match, jobs, builds=True), words,
        _folder(project), head, subjects, made.repository.message,
    )  # fmt: skip


def _scenario(project: Project, artifacts: Artifacts, name: str) -> Expanded:
    """The one run that a name means: NAME, or NAME(parameter=value) of several."""
    plain = name.partition("(")[0] if not Path(name).is_file() else name
    found = lab.load(project, artifacts.catalog, [plain], [])
    exact = [one for one in found if one.name == name]
    if len(found) != 1 and not exact:
        names = ", ".join(f"'{one.name}'" for one in found)
        raise UsageError(f"{name} means {len(found)} runs; give one of them: {names}")
    return (exact or found)[0]


def _options(expanded: Expanded) -> lab.Options:
    """Runs are shifted in time by their seeds, so that what shows seldom shows."""
    return lab.Options(perturb=expanded.scenario.clock == "virtual")


def _folder(project: Project) -> Path:
    return project.output / "bisect"


def _sources(project: Project) -> str:
    from vmlab.cache import content_key

    files = project.folder.files() if project.modules.is_dir() else {}
    return content_key(*(part for name in sorted(files) for part in (name.encode(), files[name])))


def _head(wanted: Wanted, expanded: Expanded, **more: object) -> dict[str, object]:
    return {
        "scenario": expanded.name, "content": scenario_key(expanded), "match": wanted.match,
        "command": wanted.command, **more,
    }  # fmt: skip
