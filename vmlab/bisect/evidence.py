"""What a run says of its revision: good, bad, nothing, or that it must be tried again."""

import enum
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from vmlab.errors import LabError, UsageError
from vmlab.runner import Run
from vmlab.verdict import Verdict

_DURATION = re.compile(r"slower than\s+(\d+(?:\.\d+)?)\s*(ms|s|m)")
_STEP = re.compile(r"step\s+(\d+)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SKIP, _LAST_BAD = 125, 127  # as git bisect run takes a command's exit statuses
_ERROR = re.compile(r"(?:error|fatal error|ERROR|undefined!?)\b:?")
_PLACE = re.compile(r"^\S+?:\d+(?::\d+)?:\s*")
_NO_BOOT = ("the guest never came to its first step", "not tried: this kernel did not come up")
_BOOT = "it does not come up"  # the class of those
# A build that somebody or the machine ended, which says nothing of its source.
_ENDED = re.compile(
    r"\*\*\* \[.*\] (?:Killed|Terminated|Interrupt|Hangup)\b|Killed signal terminated program"
    r"|No space left on device|Cannot allocate memory|virtual memory exhausted"
    r"|Input/output error|Read-only file system|Too many open files"
)
_NUMBER = re.compile(r"\b(?:0x[0-9a-f]+|\d+)\b")


class Outcome(enum.StrEnum):
    """What one run, or one build, says."""

    GOOD = "good"
    BAD = "bad"
    OTHER = "other"  # it failed, and not as is looked for
    BUILD = "build"  # it does not build; bad where the bad end fails to build so too
    UNTESTABLE = "untestable"
    BROKEN = "broken"


@dataclass(frozen=True)
class Match:
    """What makes a run bad; without any of these each verdict but passed does."""

    pattern: "re.Pattern[str] | None" = None
    step: int | None = None
    slower_s: float | None = None  # guest time
    command: str | None = None

    def judge(self, run: Run) -> Outcome:
        """Raises LabError where the user's command ends the bisection."""
        verdict = run.judgement.verdict
        if verdict is Verdict.SKIPPED:
            return Outcome.UNTESTABLE
        if verdict is Verdict.BROKEN:
            return Outcome.BROKEN
        if (verdict is Verdict.FAILED and run.token is None) or _no_boot(run):
            return Outcome.BUILD
        if self.command is not None:
            return _by_command(self.command, run)
        if self.slower_s is not None:
            slow = run.guest_s > self.slower_s or verdict is Verdict.TIMEOUT
            return Outcome.BAD if slow else _fine(verdict)
        if verdict is Verdict.PASSED:
            return Outcome.GOOD
        return Outcome.BAD if self._fits(run) else Outcome.OTHER

    def _fits(self, run: Run) -> bool:
        judged = run.judgement
        if self.step is not None:
            return judged.step == self.step
        if self.pattern is None:
            return True
        title = judged.crash.title if judged.crash else ""
        return any(map(self.pattern.search, (title, judged.reason, judged.label, judged.seen)))


def match(text: str | None, command: str | None) -> Match:
    """What --match and --command say. Raises UsageError."""
    if text and command:
        raise UsageError("--match and --command both say what is bad; give one of them")
    if command or not text:
        return Match(command=command)
    if found := _DURATION.fullmatch(text.strip()):
        return Match(slower_s=float(found[1]) * _UNIT_S[found[2]])
    if found := _STEP.fullmatch(text.strip()):
        return Match(step=int(found[1]))
    try:
        return Match(re.compile(text, re.MULTILINE))
    except re.error as error:
        raise UsageError(f"--match {text!r} is no pattern: {error}") from error


def _no_boot(run: Run) -> bool:
    """Whether the kernel never came to the program: as good as one that does not build."""
    return run.judgement.reason.startswith(_NO_BOOT) and run.judgement.step is None


def _fine(verdict: Verdict) -> Outcome:
    return Outcome.GOOD if verdict is Verdict.PASSED else Outcome.OTHER


def _by_command(command: str, run: Run) -> Outcome:
    """The user's command tells by its exit status, as `git bisect run` takes it."""
    about = {
        "VMLAB_RUN": run.dir, "VMLAB_KERNEL": run.kernel, "VMLAB_ARCH": run.arch,
        "VMLAB_VERDICT": str(run.judgement.verdict), "VMLAB_REASON": run.judgement.reason,
        "VMLAB_GUEST_S": f"{run.guest_s:.6f}",
    }  # fmt: skip
    status = subprocess.run(
        command, shell=True, env={**os.environ, **about}, check=False
    ).returncode
    if status == _SKIP:
        return Outcome.UNTESTABLE
    if not 0 <= status <= _LAST_BAD:
        raise LabError(f"the command ended with {status}, which ends a bisection: {command}")
    return Outcome.GOOD if status == 0 else Outcome.BAD


def ended(said: str) -> str:
    """The line in which a failed build says that it was the machine's fault; empty without one."""
    return next((line.strip() for line in said.splitlines() if _ENDED.search(line)), "")


def build_class(said: str) -> str:
    """The first error of a failed build, without its place and its numbers."""
    lines = [line for line in said.splitlines() if _ERROR.search(line)]
    first = lines[0] if lines else said.strip().partition("\n")[0]
    return _NUMBER.sub("#", _PLACE.sub("", first.strip()))


@dataclass(frozen=True)
class Seen:
    """One run as it stands in the journal."""

    revision: str
    seed: int
    outcome: Outcome
    reason: str = ""
    token: str = ""
    dir: str = ""
    wall_s: float = 0.0
    build: str = ""  # the class of its build's error
    number: int = -1  # among the bisection's runs; its seed follows from it

    def record(self) -> dict[str, object]:
        return {**vars(self), "outcome": str(self.outcome), "wall_s": round(self.wall_s, 3)}

    @classmethod
    def read(cls, record: Mapping[str, object]) -> "Seen":
        given = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**{**given, "outcome": Outcome(str(record["outcome"]))})  # type: ignore[arg-type]


def seen(revision: str, seed: int, run: Run, match: Match, number: int = -1) -> Seen:
    """A run, judged."""
    outcome, judged = match.judge(run), run.judgement
    build = ""
    if outcome is Outcome.BUILD and (why := ended(judged.seen)):
        return Seen(revision, seed, Outcome.BROKEN, why, "", run.dir, run.wall_s, "", number)
    if outcome is Outcome.BUILD:
        build = _BOOT if _no_boot(run) else build_class(judged.seen)
    reason = build if build and build != _BOOT else judged.reason.partition("\n")[0]
    token = str(run.token or "")
    return Seen(revision, seed, outcome, reason, token, run.dir, run.wall_s, build, number)
