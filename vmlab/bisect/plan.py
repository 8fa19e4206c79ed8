"""From what was asked for to bisections that can be run; all that can be wrong is said before."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
from vmlab.cache import content_key
from vmlab.catalog import Kernel
from vmlab.errors import UsageError
from vmlab.inputs import scenario_key
from vmlab.payload import Payload
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
    cluster: str | None = None
    jobs: int = 0  # guests at once; 0: as many as there is room for


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
    narrow: gitrepo.Narrowing = gitrepo.NARROWED_BY_NOTHING  # how git is told of the same commits

    def open(self, resume: bool, fresh: bool) -> Journal:
        """Raises UsageError where an unfinished one is there and nobody said what to do."""
        return Journal.open(self.folder, self._whole, self.title, resume, fresh)

    def write_log(self, found: Evidence, rules: Rules) -> None:
        """For ranges of commits: what was decided, as `git bisect replay` takes it."""
        if self.subjects:
            states = engine.states(self.space, found, rules)
            text = gitrepo.log(self.space.names, self.subjects, states, self.narrow)
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log.write_text(text)

    @property
    def _whole(self) -> dict[str, object]:
        return {**self.head, "names": list(self.space.names)}

    @property
    def log(self) -> Path:
        """Beside its journal: another bisection has another."""
        return Journal.path_of(self.folder, self._whole).with_suffix(".git-bisect.log")

    def said(self, result: Result) -> str:
        """The first bad commit's message, where there is one."""
        if self.message is None or problem(result) is not None:
            return ""
        return self.message(result.space.names[result.answer.first[-1]])

    def closing(self, result: Result) -> list[str]:
        """The answer in words, with the commit's message where there is one."""
        lines = summary(result, self.words)
        if message := self.said(result):
            lines += ["", message, ""]
        if self.subjects:
            lines.append(f"log:  git bisect replay {self.log}")
        return lines


def plans(project: Project, artifacts: Artifacts, wanted: Wanted) -> list[Plan]:
    """One for each architecture, or one over commits. Raises UsageError; LabError for a cluster
    that does not answer, once all else is valid."""
    match = evidence.match(wanted.match, wanted.command)
    _check_kind(wanted)
    expanded = _scenario(project, artifacts, wanted.scenario)
    if wanted.tree:
        arches = _arches(wanted.arch)
        return [_commits(project, artifacts, wanted, expanded, match, one) for one in arches]
    if wanted.modules:
        return [_modules(project, artifacts, wanted, expanded, match)]
    catalog = artifacts.catalog
    found = released.ranges(catalog, wanted.good, wanted.bad, wanted.arch, catalog.say)
    runner = lab.runner(project, artifacts, _options(wanted, expanded))
    jobs = lab.at_once(wanted.jobs, runner)
    sources = _key(Payload(project, artifacts).sources(expanded))
    return [
        _kernels(
            project, wanted, kernels, arch, Runs(_fixed(runner, expanded, kernels), match, jobs),
            expanded, sources,
        )
        for arch, kernels in found.items()
    ]  # fmt: skip


def _check_kind(wanted: Wanted) -> None:
    """Raises UsageError for options of another kind of bisection, which would say nothing."""
    if wanted.tree and wanted.modules:
        raise UsageError("--tree and --modules are two bisections; give one of them")
    if wanted.kernel and not wanted.modules:
        raise UsageError("--kernel is for --modules; over kernels, --good and --bad name them")
    if (wanted.fragments or wanted.config != Wanted.config) and not wanted.tree:
        raise UsageError("--base and --fragment are for --tree, whose commits are built")


def _arches(name: str | None) -> list[Arch]:
    if name is not None and name not in ARCHES:
        raise UsageError(f"unknown architecture {name!r}; there are {', '.join(ARCHES)}")
    return [one for one in ARCHES.values() if name in (None, one.name)]


def configs(
    project: Project,
    artifacts: Artifacts,
    wanted: Wanted,
    source: str,
    files: tuple[Path, Path],
    rules: Rules,
    resume: bool = False,
    fresh: bool = False,
) -> "Found":
    """The options that make the difference between two configurations."""
    from vmlab.bisect.configs import Question, find

    (arch,) = _arches(wanted.arch or "i386")
    match = evidence.match(wanted.match, wanted.command)
    expanded = _scenario(project, artifacts, wanted.scenario)
    sources = _key(Payload(project, artifacts).sources(expanded))
    head = _head(wanted, expanded, arch=arch.name, sources=sources)
    question = Question(
        expanded, source, arch, files, match, rules, _options(wanted, expanded), _folder(project),
        head, resume, fresh,
    )  # fmt: skip
    return find(project, artifacts, question)


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
    sources: str,
) -> Plan:
    versions = {one.id: one.version for one in kernels}
    head = _head(wanted, expanded, sources=sources, versions=versions)
    about = {one.id: str(released.version(one)) for one in kernels}
    title = f"{expanded.name} on {arch}, {kernels[0].id} to {kernels[-1].id}"
    words = _words(wanted, expanded, about, arch)
    return Plan(title, line([one.id for one in kernels]), tester, words, _folder(project), head)


def _modules(
    project: Project,
    artifacts: Artifacts,
    wanted: Wanted,
    expanded: Expanded,
    match: evidence.Match,
) -> Plan:
    from vmlab.bisect.history import History

    kernels = artifacts.catalog.select(wanted.kernel or project.settings.kernels)
    kernels = [one for one in kernels if one.arch in _arches(wanted.arch)]
    if len(kernels) != 1:
        ids = ", ".join(one.id for one in kernels) or "none"
        raise UsageError(f"--modules bisects on one kernel; name it with --kernel (now: {ids})")
    history = History.of(project, artifacts, expanded, kernels[0], _options(wanted, expanded))
    good, bad = (history.repository.commit(one) for one in (wanted.good, wanted.bad))
    found = gitrepo.parents(history.repository, good, bad, history.folder)
    subjects = history.repository.subjects(good, bad)
    today = _key(Payload(project, artifacts).others(expanded))
    one = kernels[0]
    head = _head(wanted, expanded, kernel=one.id, version=one.version, today=today)
    words = _words(wanted, expanded, subjects, kernels[0].id)
    title = f"{expanded.name} on {kernels[0].id}, {good[:12]} to {bad[:12]}"
    return Plan(
        title, graph(found),
        Runs(history.subject, match, lab.at_once(wanted.jobs, history.runner)), words,
        _folder(project), head, subjects, history.repository.message,
        gitrepo.narrowing(history.repository, good, bad, history.folder),
    )  # fmt: skip


def _commits(
    project: Project,
    artifacts: Artifacts,
    wanted: Wanted,
    expanded: Expanded,
    match: evidence.Match,
    arch: Arch,
) -> Plan:
    from vmlab.bisect.commits import Commits
    from vmlab.sources.build import Options

    assert wanted.tree
    options = Options(arch, wanted.config, wanted.fragments)
    guests = _options(wanted, expanded)
    made = Commits.of(project, artifacts, expanded, options, wanted.tree, guests)
    good, bad = (made.repository.commit(one) for one in (wanted.good, wanted.bad))
    found = gitrepo.parents(made.repository, good, bad)
    made.check(bad)
    subjects = made.repository.subjects(good, bad)
    head = _head(
        wanted, expanded, arch=arch.name, config=_named(wanted.config),
        more=[_named(one) for one in wanted.fragments],
        sources=_key(Payload(project, artifacts).sources(expanded)),
    )  # fmt: skip
    words = replace(_words(wanted, expanded, subjects, arch.name), tracked=True)
    title = f"{expanded.name} on {arch.name}, {good[:12]} to {bad[:12]} of {wanted.tree}"
    return Plan(
        title, graph(found),
        Runs(made.subject, match, lab.at_once(wanted.jobs, made.runner), builds=True), words,
        _folder(project), head, subjects, made.repository.message,
        gitrepo.narrowing(made.repository, good, bad),
    )  # fmt: skip


def _words(wanted: Wanted, expanded: Expanded, about: Mapping[str, str], on: str) -> Words:
    looked_for = wanted.match or wanted.command or "fails"
    return Words(expanded.name, looked_for, about, on, expanded.text)


def _scenario(project: Project, artifacts: Artifacts, name: str) -> Expanded:
    """The one run that a name means: NAME, or NAME(parameter=value) of several."""
    plain = name.partition("(")[0] if not Path(name).is_file() else name
    found = lab.load(project, artifacts.catalog, [plain], [])
    exact = [one for one in found if one.name == name]
    if len(found) != 1 and not exact:
        names = ", ".join(f"'{one.name}'" for one in found)
        raise UsageError(f"{name} means {len(found)} runs; give one of them: {names}")
    return (exact or found)[0]


def _options(wanted: Wanted, expanded: Expanded) -> lab.Options:
    """Runs are shifted in time by their seeds, so that what shows seldom shows."""
    return lab.Options(perturb=expanded.scenario.clock == "virtual", cluster=wanted.cluster)


def _folder(project: Project) -> Path:
    return project.output / "bisect"


def _key(files: Mapping[str, bytes]) -> str:
    return content_key(*(part for name in sorted(files) for part in (name.encode(), files[name])))


def _named(config: str) -> str:
    """A configuration by its name, and where it is a file by its content too."""
    file = Path(config)
    return f"{config} {content_key(file.read_bytes())}" if file.is_file() else config


def _head(wanted: Wanted, expanded: Expanded, **more: object) -> dict[str, object]:
    return {
        "scenario": expanded.name, "content": scenario_key(expanded), "match": wanted.match,
        "command": wanted.command, **more,
    }  # fmt: skip
