"""Runs as their directories tell them: verdict.json, read back for reports."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from vmlab.errors import UsageError
from vmlab.runner import Run
from vmlab.story import VERSION
from vmlab.verdict import Verdict

if TYPE_CHECKING:
    from vmlab.report.bisection import Bisection
    from vmlab.report.trend import Trend

FINE = (Verdict.PASSED, Verdict.SKIPPED)
WORST_FIRST = (
    Verdict.CRASHED, Verdict.FAILED, Verdict.TIMEOUT, Verdict.BROKEN, Verdict.SKIPPED,
    Verdict.PASSED,
)  # fmt: skip
_STAMP = re.compile(r"\d{8}-\d{6}")
VERDICT = "verdict.json"
PEER = "b"
"""The second one of two guests, and where its files are in the run's directory."""
_RUN_HAS = (VERDICT, "console", "argv")  # one that was stopped has no verdict


def _text(value: Any) -> Any:
    """Anything in one string: what a parser found may be a number or a list."""
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return "" if value is None else str(value)


Loose = Annotated[str, BeforeValidator(_text)]


class Model(BaseModel):
    """Keys that are not known are left out: a later version may have more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Subtest(Model):
    """One test inside a step."""

    name: str
    state: str = ""
    why: str = ""


class Step(Model):
    """One step; places in the console are bytes, times guest seconds."""

    number: int
    line: int | None = None
    verb: str = ""
    text: str = ""
    state: str = ""
    outcome: int | None = None
    began_s: float | None = None
    ended_s: float | None = None
    console: tuple[int, int] | None = None
    matches: list[tuple[int, int]] = []
    output: str = ""
    tests: list[Subtest] = []
    on: str = ""  # which one of two guests did it; places are of its console

    @property
    def label(self) -> str:
        """The step in one line, the outcome with it where it is not 0."""
        first = self.text.partition("\n")[0]
        return f"{self.verb}: {first}" if first else self.verb


class Source(Model):
    file: str = ""
    line: int = 0
    around: list[tuple[int, str]] = []


class Inlined(Model):
    function: str = ""
    file: str = ""
    line: int = 0


class Frame(Model):
    """One frame of a crash's stack."""

    function: Loose = ""
    offset: int = -1  # bytes; -1 where it is not known
    size: int = -1
    module: Loose = ""
    address: Loose = ""
    reliable: bool = True
    source: Source | None = None
    inlined: list[Inlined] = []

    @property
    def place(self) -> str:
        """`function+0x12/0x40 [module]`, as the kernel writes it."""
        at = f"+{self.offset:#x}" if self.offset >= 0 else ""
        of = f"/{self.size:#x}" if at and self.size >= 0 else ""
        name = self.function or self.address or "?"
        return f"{name}{at}{of}" + (f" [{self.module}]" if self.module else "")

    @property
    def where(self) -> str:
        """The place, with file and line where they are known."""
        return self.place + (f" ({self.source.file}:{self.source.line})" if self.source else "")


class Follower(Model):
    kind: str = ""
    title: str = ""
    first_line: int = 0


class Crash(Model):
    """What the console says of a kernel's trouble; lines are counted from 1."""

    kind: str = ""
    title: str = ""
    line_text: str = ""
    function: Loose = ""
    task: Loose = ""
    pid: Loose = ""
    cpu: Loose = ""
    taint: Loose = ""
    modules: Loose = ""
    registers: dict[str, Loose] = {}
    complete: bool = True
    first_line: int = 0
    last_line: int = 0
    frames: list[Frame] = []
    followers: list[Follower] = []

    @property
    def stack(self) -> list[Frame]:
        """The frames that can be relied on, where there are such; else all."""
        return [frame for frame in self.frames if frame.reliable] or self.frames


class Known(Model):
    """What a project knows of its failure (`known_failures:`)."""

    state: str = ""  # known, expired, passes
    reason: str = ""
    until: str = ""
    text: str = ""  # all of it, in one line
    counts: bool = True  # whether the command's status is 1 for it


class Told(Model):
    """One run."""

    version: int = 0  # of verdict.json; 0 is what had none, and no steps
    scenario: str
    kernel: str
    arch: str = ""
    backend: str = ""
    verdict: Verdict
    reason: str = ""
    wall_s: float = 0.0
    guest_s: float = 0.0
    dir: str = ""
    step: int | None = None
    line: int | None = None
    label: str = ""
    wanted: str = ""
    seen: str = ""
    token: str | None = None
    seed: int | None = None
    inputs: dict[str, str] = {}
    file: str = ""
    environment: dict[str, Loose] = {}
    steps: list[Step] = []
    crash: Crash | None = None
    known: Known | None = None
    guest: str = ""  # of two, whose console reason and crash are about
    place: Path | None = Field(default=None, exclude=True)  # where its files are

    @property
    def key(self) -> tuple[str, str]:
        return self.scenario, self.kernel

    @property
    def fine(self) -> bool:
        return self.verdict in FINE

    @property
    def excused(self) -> bool:
        """Whether it went wrong as the project knows that it does."""
        return bool(self.known and self.known.state == "known")

    @property
    def headline(self) -> str:
        """Why it did not pass, in one line: of a crashed run, what people file it under."""
        crashed = self.verdict is Verdict.CRASHED and self.crash
        return (crashed and crashed.title) or self.reason.partition("\n")[0]

    def guests(self) -> "list[tuple[str, Told]]":
        """Each of its guests by name, with its own steps, crash and files; one has no name."""
        names = sorted({step.on for step in self.steps} | {self.guest} - {""}) or [""]
        if len(names) == 1:
            return [("", self)]
        return [(name, self._of(name)) for name in names]

    def _of(self, guest: str) -> "Told":
        own = {
            "steps": [step for step in self.steps if step.on == guest],
            "crash": self.crash if guest == self.guest else None,
            "place": self.place / guest if self.place and guest == PEER else self.place,
        }
        return self.model_copy(update=own)

    def telling(self) -> "Told":
        """Of two guests, the one that reason and crash are about."""
        return dict(self.guests()).get(self.guest, self)

    def content(self, name: str) -> bytes:
        """A file of the run directory; nothing where it is none, or leads elsewhere."""
        path = self.place / name if self.place else None
        if path is None or path.is_symlink() or not path.is_file():
            return b""
        return path.read_bytes()


@dataclass(frozen=True)
class Report:
    """Runs that belong together, and where they are from."""

    name: str
    runs: Sequence[Told]
    past: "Mapping[tuple[str, str], Trend]" = field(default_factory=dict)  # by scenario and kernel
    bisections: "Sequence[Bisection]" = ()  # that the runs are of

    def worst_first(self) -> list[Told]:
        return sorted(self.runs, key=lambda run: WORST_FIRST.index(run.verdict))

    def counts(self) -> dict[Verdict, int]:
        """How many runs have each verdict, worst first; those that none has are left out."""
        verdicts = [run.verdict for run in self.runs]
        return {one: verdicts.count(one) for one in WORST_FIRST if one in verdicts}

    @property
    def exit_status(self) -> int:
        """As of the command that ran them, see `executor.exit_status`."""
        if any(run.known and run.known.counts for run in self.runs):
            return 1
        bad = {run.verdict for run in self.runs if not (run.known or run.fine)}
        return 0 if not bad else 3 if bad == {Verdict.BROKEN} else 1

    def sums(self) -> str:
        """`1 failed, 3 passed`."""
        parts = (f"{count} {verdict}" for verdict, count in self.counts().items())
        return ", ".join(parts) or "nothing was run"

    @property
    def heading(self) -> str:
        """What the page is called; beside a bisection stand the runs of it that are kept."""
        if not self.bisections:
            return self.sums()
        ranges = counted(len(self.bisections), "bisection", "bisections")
        return f"{ranges}; runs that are kept: {self.sums() if self.runs else 'none'}"


def of_runs(runs: Iterable[Run]) -> Report:
    """A report of runs that were just done."""
    told = [_told(run.record(), Path(run.dir), run.dir) for run in runs]
    return Report(Path(told[0].dir).parent.name if told else "", told)


def of_directory(path: Path) -> Report:
    """The runs in a directory: one run's, one command's, or the newest of several commands'.

    Raises UsageError where it is none of these.
    """
    if (path / VERDICT).is_file():
        return Report(path.name, [_of_file(path / VERDICT)])
    if not _is_command(path):
        commands = [one for one in path.glob("*/") if _STAMP.match(one.name) and _is_command(one)]
        if not commands:
            raise UsageError(_no_runs(path))
        path = max(commands, key=lambda one: (*_STAMP.findall(one.name)[:1], one.stat().st_mtime))
    runs = [_of_file(file) for file in sorted(path.glob(f"*/{VERDICT}"))]
    return Report(path.resolve().name, sorted(runs, key=lambda run: tuple(map(natural, run.key))))


def _is_command(path: Path) -> bool:
    """Whether a directory has runs and is a command's: by its name, or as it holds nothing else."""
    runs = {file.parent for name in _RUN_HAS for file in path.glob(f"*/{name}")}
    own = _STAMP.match(path.resolve().name) or runs.issuperset(path.glob("*/"))
    return bool(own) and any(path.glob(f"*/{VERDICT}"))


def _no_runs(path: Path) -> str:
    """What was looked for, what is there, and what to do."""
    if path.is_dir():
        held = len(list(path.glob(f"*/{VERDICT}")))
        found = counted(len(list(path.glob("*/"))), "directory", "directories")
        found += f", {held} of them with a {VERDICT}" if held else ""
    else:
        found = "a file" if path.exists() else "nothing of that name"
    return (
        f"no runs in {path}: looked for one run's {VERDICT}, for the directories of runs and no "
        f"others, and for those of commands (DATE-TIME-PID-N); found {found}; name a directory "
        "below vmlab-out, or run scenarios first (`vmlab run`)"
    )


def counted(number: int, one: str, more: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {one if number == 1 else more}"


def of_json(path: Path) -> Report:
    """The runs of a file that `vmlab run --json` wrote."""
    content = _parsed(path)
    runs = content.get("runs") if isinstance(content, dict) else None
    if not isinstance(runs, list):
        raise UsageError(f"{path}: not what `vmlab run --json` writes: it has no list `runs`")
    return Report(path.name, [_told(run, None, str(path)) for run in runs])


def natural(text: str) -> list[tuple[int, str]]:
    """A key that puts 6.12 after 6.1."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _parts(text)]


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"([0-9]+)", text) if part]


def _of_file(path: Path) -> Told:
    return _told(_parsed(path), path.parent, str(path))


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"reading {path}: {error}") from error


def _told(record: Any, place: Path | None, source: str) -> Told:
    try:
        made = Told.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{source}: {key}: {first['msg'].lower()}") from error
    if made.version > VERSION:
        raise UsageError(
            f"{source} has version {made.version}, and this vmlab knows those up to {VERSION}; "
            "use the vmlab that wrote it, or a later one"
        )
    return made.model_copy(update={"place": place})
