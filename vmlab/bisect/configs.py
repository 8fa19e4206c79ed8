"""Two configurations of one kernel source: which of the options that differ make the difference."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vmlab import lab
from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.bisect import options
from vmlab.bisect.engine import Rules
from vmlab.bisect.evidence import Match, Outcome, Seen
from vmlab.bisect.options import Options, Told
from vmlab.bisect.tester import Runs, Subject
from vmlab.catalog.progress import Say
from vmlab.errors import LabError, UsageError
from vmlab.project import Project
from vmlab.scenario import Expanded
from vmlab.sources import build as building
from vmlab.sources import configure, parse
from vmlab.sources.dependencies import Dependencies

_WORD = re.compile(r"\w+")
_LEAST = 4  # runs of the bad configuration, to see how often it fails
_QUESTIONS = 20  # among so many answers the doubt that is allowed is divided


@dataclass(frozen=True)
class Found:
    """The smallest set; the values that the good and the bad configuration give them."""

    names: tuple[str, ...]
    good: Options
    bad: Options
    differing: int
    seen: tuple[Seen, ...]

    def lines(self) -> list[str]:
        made = [f"{len(self.names)} of {self.differing} differing options make the difference:"]
        for name in self.names:
            was, now = self.good.get(name, "n"), self.bad.get(name, "n")
            made.append(f"  CONFIG_{name}: {was} is good, {now} is bad")
        for outcome in (Outcome.GOOD, Outcome.BAD):
            last = [one for one in self.seen if one.outcome is outcome and one.token]
            made += [f"{outcome}: vmlab replay {one.token}" for one in last[-1:]]
        configurations = len({one.revision for one in self.seen})
        return [*made, f"{len(self.seen)} runs of {configurations} configurations"]

    def record(self) -> dict[str, object]:
        return {
            "options": {
                name: [self.good.get(name, "n"), self.bad.get(name, "n")] for name in self.names
            },
            "differing": self.differing, "steps": [one.record() for one in self.seen],
        }  # fmt: skip


@dataclass
class Configs:
    """Asks sets of options, each by a kernel that is built with them and booted."""

    names: list[str]
    needs: Mapping[str, frozenset[str]]
    runs: Runs
    say: Say
    seen: list[Seen] = field(default_factory=list)

    def smallest(self, rules: Rules) -> frozenset[str]:
        """Raises UsageError where the ends are not as they are said to be."""
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
        name = " ".join(sorted(taken))
        before = [one for one in self.seen if one.revision == name]
        self.say(f"{len(taken)} of {len(self.names)} options as in the bad configuration")
        for _ in range(len(before), passes):
            if any(one.outcome is not Outcome.GOOD for one in before):
                break
            before += self._run(name)
        outcomes = {one.outcome for one in before}
        if Outcome.BAD in outcomes:
            return Told.BAD
        return Told.GOOD if outcomes == {Outcome.GOOD} else Told.NOTHING

    def _run(self, name: str) -> list[Seen]:
        made = self.runs.run(name, [len(self.seen)])
        self.seen += made
        if made[0].outcome is Outcome.BROKEN:
            raise LabError(f"the lab broke, which says nothing of the options: {made[0].reason}")
        return made

    def _passes(self, rules: Rules) -> int:
        """Passes that a set needs to be taken for good, by how often the bad one fails."""
        name = " ".join(sorted(self.names))
        bad: list[Seen] = []
        while len(bad) < _LEAST or not any(one.outcome is Outcome.BAD for one in bad):
            if len(bad) >= rules.patience or (bad and bad[-1].outcome in (Outcome.BUILD,)):
                raise UsageError(f"the bad configuration does not fail: {self._why()}")
            bad += self._run(name)
        rate = sum(one.outcome is Outcome.BAD for one in bad) / (len(bad) + 1)
        return math.ceil(math.log((1 - rules.confidence) / _QUESTIONS) / math.log1p(-rate))

    def _why(self) -> str:
        last = self.seen[-1]
        return f"{last.outcome}{f', {last.reason}' if last.reason else ''}"


def find(
    project: Project,
    artifacts: Artifacts,
    expanded: Expanded,
    source: str,
    arch: Arch,
    files: tuple[Path, Path],
    match: Match,
    rules: Rules,
    guests: lab.Options,
    say: Say,
) -> Found:
    """Builds and boots until the smallest set is known. Raises UsageError, LabError.

    A kernel that was built before is there at once, so that one that was killed goes on quickly.
    """
    good, bad = (_read(file) for file in files)
    names = options.differing(good, bad)
    if not names:
        raise UsageError(f"{files[0]} and {files[1]} have the same options")
    tree = parse(source)
    runner = lab.runner(project, artifacts, guests)
    place = project.output / "bisect" / "config"
    place.mkdir(parents=True, exist_ok=True)

    def subject(name: str) -> Subject:
        # One file's name, so that all are built in one directory and only what differs is compiled.
        file = place / "bisected.config"
        file.write_text(options.text(options.mixed(good, bad, frozenset(name.split()))))
        wish = building.Options(arch, str(file), lenient=True)
        return Subject(runner, expanded, building.build(artifacts.catalog, tree, wish).kernel)

    with tree.held(artifacts.catalog) as held:
        needs = needed(Dependencies.of(held.path, arch).entries, names)
    configs = Configs(names, needs, Runs(_once(subject), match), say)
    found = configs.smallest(rules)
    return Found(tuple(sorted(found)), good, bad, len(names), tuple(configs.seen))


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
