"""Two configurations of one kernel source: which of the options that differ make the difference."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vmlab import lab
from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.bisect import count, drive, options
from vmlab.bisect.drive import Heard
from vmlab.bisect.engine import Rules
from vmlab.bisect.evidence import Match, Outcome, Seen
from vmlab.bisect.journal import Journal
from vmlab.bisect.options import Options, Told
from vmlab.bisect.tester import Runs, Subject
from vmlab.cache import content_key
from vmlab.catalog.progress import Say
from vmlab.errors import UsageError
from vmlab.project import Project
from vmlab.scenario import Expanded
from vmlab.sources import build as building
from vmlab.sources import configure, parse
from vmlab.sources.dependencies import Dependencies

_WORD = re.compile(r"\w+")
_FAILURES = 8  # of the bad configuration, to see how often it fails
_QUESTIONS = 20  # among so many answers the doubt that is allowed is divided


@dataclass(frozen=True)
class Found:
    """The smallest set; the values that the good and the bad configuration give them.

    What its conditions name and differs as well was taken with it, for kconfig would drop it else.
    """

    names: tuple[str, ...]
    conditions: tuple[str, ...]
    good: Options
    bad: Options
    differing: int
    seen: tuple[Seen, ...]

    def lines(self) -> list[str]:
        made = [f"{len(self.names)} of {self.differing} differing options make the difference:"]
        for name, (was, now) in self._values(self.names).items():
            made.append(f"  CONFIG_{name}: {was} is good, {now} is bad")
        for name, (was, now) in self._values(self.conditions).items():
            made.append(f"  with CONFIG_{name}, {was} and {now} there, that it depends on")
        for outcome in (Outcome.GOOD, Outcome.BAD):
            last = [one for one in self.seen if one.outcome is outcome and one.token]
            made += [f"{outcome}: vmlab replay {one.token}" for one in last[-1:]]
        configurations = len({one.revision for one in self.seen})
        return [*made, f"{len(self.seen)} runs of {configurations} configurations"]

    def record(self) -> dict[str, object]:
        return {
            "options": self._values(self.names), "conditions": self._values(self.conditions),
            "differing": self.differing, "steps": [one.record() for one in self.seen],
        }  # fmt: skip

    def _values(self, names: Iterable[str]) -> dict[str, list[str]]:
        """As the good and the bad configuration have them."""
        return {name: [self.good.get(name, "n"), self.bad.get(name, "n")] for name in names}


@dataclass
class Configs:
    """Asks sets of options, each by a kernel that is built with them and booted."""

    names: list[str]
    needs: Mapping[str, frozenset[str]]
    runs: Runs
    say: Say
    seen: list[Seen] = field(default_factory=list)
    heard: Heard = lambda one: None  # of each run when it has ended

    def smallest(self, rules: Rules) -> frozenset[str]:
        """Raises UsageError where the ends are not as they are said to be, LabError where the lab
        breaks again and again."""
        passes = 1 if rules.always else self._passes(rules)
        if self.told(frozenset(self.names), passes) is not Told.BAD:
            raise UsageError(f"the bad configuration does not fail: {self._why()}")
        if (good := self.told(frozenset(), passes)) is not Told.GOOD:
            what = "fails too" if good is Told.BAD else "cannot be tested"
            raise UsageError(f"the good configuration {what}: {self._why()}")
        found = options.smallest(
            self.names, lambda taken: self.told(options.closed(sorted(taken), self.needs), passes)
        )
        return found

    def told(self, taken: frozenset[str], passes: int) -> Told:
        """One failure is enough; a pass counts after so many of them."""
        name = _revision(taken)
        self.say(f"{len(taken)} of {len(self.names)} options as in the bad configuration")
        while (told := self._told(name, passes)) is None:
            self._run(name)
        return told

    def _told(self, name: str, passes: int) -> Told | None:
        """None where more runs are needed."""
        outcomes = self._outcomes(name)
        good = outcomes[Outcome.GOOD]
        if outcomes[Outcome.BAD]:
            return Told.BAD
        if good >= passes:
            return Told.GOOD
        return Told.NOTHING if self._mute(outcomes) else None

    def _outcomes(self, name: str) -> Counter[Outcome]:
        """Of the runs of a set."""
        settled = count.settling(_revision(self.names), self.seen)
        return Counter(settled(one) for one in self.seen if one.revision == name)

    def _mute(self, outcomes: Counter[Outcome]) -> bool:
        """Whether no more is to be heard: it does not build, or most of its runs say nothing."""
        silent = outcomes[Outcome.OTHER] + count.OTHERS * outcomes[Outcome.UNTESTABLE]
        return count.mute(silent, outcomes[Outcome.GOOD] + outcomes[Outcome.BAD])

    def _run(self, name: str) -> None:
        number = 1 + max((one.number for one in self.seen), default=-1)
        for one in self.runs.run(name, [number]):
            self.seen.append(one)
            self.heard(one)
        drive.check_broken(self.seen)

    def _passes(self, rules: Rules) -> int:
        """Passes that a set needs to be taken for good, by how often the bad one fails.

        So many that a set which fails at that rate would pass them all in less than its part of
        the doubt; the rate is known from some failures only, and that counts too (Beta's
        distribution with Jeffreys' prior, integrated).
        """
        name = _revision(self.names)
        while (of := self._outcomes(name))[Outcome.BAD] < _FAILURES:
            if count.bad_build(name, self.seen):
                return 1  # a build's error shows always
            hopeless = not of[Outcome.BAD] and of[Outcome.GOOD] >= rules.patience
            if hopeless or self._mute(of):
                raise UsageError(f"the bad configuration does not fail: {self._why()}")
            self._run(name)
        failed, passed = of[Outcome.BAD], of[Outcome.GOOD]
        chance, passes = 1.0, 0
        while chance > (1 - rules.confidence) / _QUESTIONS:
            chance *= (passed + 0.5 + passes) / (failed + passed + 1 + passes)
            passes += 1
        return passes

    def _why(self) -> str:
        last = self.seen[-1]
        return f"{last.outcome}{f', {last.reason}' if last.reason else ''}"


@dataclass(frozen=True)
class Question:
    """What is asked, with all that makes it another question."""

    expanded: Expanded
    source: str
    arch: Arch
    files: tuple[Path, Path]  # the good and the bad configuration
    match: Match
    rules: Rules
    guests: lab.Options
    folder: Path  # where its journal is
    head: Mapping[str, object]
    resume: bool = False
    fresh: bool = False


def find(project: Project, artifacts: Artifacts, question: Question) -> Found:
    """Builds and boots until the smallest set is known, from what its journal has on.

    Raises UsageError, LabError, and what building the source raises.
    """
    files, catalog = question.files, artifacts.catalog
    good, bad = (_read(file) for file in files)
    names = options.differing(good, bad)
    if not names:
        raise UsageError(f"{files[0]} and {files[1]} have the same options")
    tree = parse(question.source)
    with tree.held(catalog) as held:
        needs = needed(Dependencies.of(held.path, question.arch).entries, names)
        content = held.content
    both = [content_key(options.text(one)) for one in (good, bad)]
    head = {**question.head, "source": question.source, "tree": content, "configs": both}
    title = f"{question.expanded.name}, {files[0]} to {files[1]}"
    journal = Journal.open(question.folder, head, title, question.resume, question.fresh)
    runner = lab.runner(project, artifacts, question.guests)
    # One file's name, so that all are built in one directory and only what differs is compiled.
    file = journal.path.with_suffix("") / "bisected.config"
    file.parent.mkdir(parents=True, exist_ok=True)

    def subject(name: str) -> Subject:
        file.write_text(options.text(options.mixed(good, bad, frozenset(name.split()))))
        wish = building.Options(question.arch, str(file), lenient=True)
        return Subject(runner, question.expanded, building.build(catalog, tree, wish).kernel)

    configs = Configs(
        names, needs, Runs(_once(subject), question.match), catalog.say, list(journal.seen),
        lambda one: journal.add([one]),
    )  # fmt: skip
    if journal.seen:
        catalog.say(f"{title}: {len(journal.seen)} runs of an earlier time are taken, of "
                    f"{journal.path}; --fresh begins anew")  # fmt: skip
    try:
        found = configs.smallest(question.rules)
    except KeyboardInterrupt:
        catalog.say(f"stopped after {len(configs.seen)} runs; --resume goes on from there")
        raise
    journal.finish()
    conditions = options.closed(sorted(found), needs) - found
    return Found(
        tuple(sorted(found)), tuple(sorted(conditions)), good, bad, len(names), tuple(configs.seen)
    )


def _revision(taken: Iterable[str]) -> str:
    """A set of options as its runs' revision."""
    return " ".join(sorted(taken))


def needed(entries: Mapping[str, list[list[str]]], names: list[str]) -> dict[str, frozenset[str]]:
    """The differing options that each one's conditions name, of those that have one entry."""
    known = set(names)
    return {
        name: frozenset(
            word for condition in entries[name][0] for word in _WORD.findall(condition)
            if word in known and word != name
        )
        for name in names
        if len(entries.get(name, [])) == 1
    }  # fmt: skip


def _once(subject: Callable[[str], Subject]) -> Callable[[str], Subject]:
    made: dict[str, Subject] = {}

    def get(name: str) -> Subject:
        if name not in made:
            made[name] = subject(name)
        return made[name]

    return get


def _read(file: Path) -> Options:
    if not file.is_file():
        raise UsageError(f"{file} is no file; --config takes the good and the bad configuration")
    return configure.options(file.read_text(errors="replace"))
