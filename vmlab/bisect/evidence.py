"""What a run says of its revision: good, bad, nothing, or that it must be tried again."""

import enum
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vmlab.errors import LabError, UsageError
from vmlab.runner import Run
from vmlab.story import NOT_REACHED
from vmlab.verdict import Verdict

_DURATION = re.compile(r"slower than\s+(\d+(?:\.\d+)?)\s*(ms|s|m)")
_STEP = re.compile(r"step\s+(\d+)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0}
_STDERR = 2
_SKIP, _LAST_BAD = 125, 127  # as git bisect run takes a command's exit statuses
_OF_SHELL = {126: " (a shell's for what it may not run)", 127: " (a shell's for no such command)"}
# What compilers, assemblers, linkers, kbuild, make and shells say. A command line that was printed
# (-Werror=...) is none of them, and make's `*** [target] Error 2` and what it does then repeat one.
_ERROR = re.compile(
    r"(?:^|[\s:])(?:fatal |internal compiler )?error: |^ERROR: |\bError: |^ld: "
    r"|undefined!|undefined reference|multiple definition|: not found$|No such file or directory"
    r"|\*\*\* (?!\[.*\] Error \d+$|Waiting for unfinished jobs|Deleting )"
)
_PLACE = re.compile(r"^\S+?:\d+(?::\d+)?:\s*")
_BY_HAND = "again by hand: "  # what the lab says after the compiler's words
_NOT_TRIED = "not tried: this kernel did not come up before: "
_NO_BOOT = ("the guest never came to its first step", _NOT_TRIED)
_BOOT = "it does not come up"  # the class of those that do not say how
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
    BOOT = "boot"  # it does not come up; bad where the bad end does not come up so either
    UNTESTABLE = "untestable"
    BROKEN = "broken"


@dataclass(frozen=True)
class Match:
    """What makes a run bad; without any of these each verdict but passed does."""

    pattern: "re.Pattern[str] | None" = None
    step: int | None = None
    slower_s: float | None = None  # guest time
    command: str | None = None

    def judge(self, run: Run) -> tuple[Outcome, str]:
        """The outcome and why. Raises LabError where the user's command ends the bisection."""
        outcome, why = self._of_lab(run), run.judgement.reason.partition("\n")[0]
        if outcome is None and self.command is not None:
            return _by_command(self.command, run)
        return outcome or self._of_verdict(run), why

    def admits(self, said: str) -> bool:
        """Whether a kernel that does not build, or does not come up, saying this, may be what is
        looked for. Of a step, a duration and a command that run never came to, it is not."""
        if self.pattern is not None:
            return bool(self.pattern.search(said))
        return self == Match()

    def _of_lab(self, run: Run) -> Outcome | None:
        """Of a run that came to no verdict on what is looked for; None of the others."""
        verdict = run.judgement.verdict
        if verdict is Verdict.SKIPPED:
            return Outcome.UNTESTABLE
        if verdict is Verdict.BROKEN:
            return Outcome.BROKEN
        if verdict is Verdict.FAILED and run.token is None:
            return Outcome.BUILD
        if _no_boot(run):
            wanted = self.pattern is not None and self._fits(run)
            return Outcome.BAD if wanted else Outcome.BOOT
        return None

    def _of_verdict(self, run: Run) -> Outcome:
        verdict = run.judgement.verdict
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
    if text.strip().startswith("slower than"):
        raise UsageError(
            f"--match {text!r}: the time is a number and ms, s or m, as in 2s or 500ms"
        )
    try:
        return Match(re.compile(text, re.MULTILINE))
    except re.error as error:
        raise UsageError(f"--match {text!r} is no pattern: {error}") from error


def _no_boot(run: Run) -> bool:
    """Whether the kernel never came to the program, silent or with a panic."""
    judged = run.judgement
    if judged.step is not None or judged.verdict not in (Verdict.CRASHED, Verdict.TIMEOUT):
        return False
    if judged.reason.startswith(_NO_BOOT):
        return True
    booted = run.environment.get("began") == "from a snapshot"
    return bool(run.steps) and not booted and all(one["state"] == NOT_REACHED for one in run.steps)


def _fine(verdict: Verdict) -> Outcome:
    return Outcome.GOOD if verdict is Verdict.PASSED else Outcome.OTHER


def _by_command(command: str, run: Run) -> tuple[Outcome, str]:
    """The user's command tells by its exit status, as `git bisect run` takes it."""
    about = {
        "VMLAB_RUN": run.dir, "VMLAB_KERNEL": run.kernel, "VMLAB_ARCH": run.arch,
        "VMLAB_VERDICT": str(run.judgement.verdict), "VMLAB_REASON": run.judgement.reason,
        "VMLAB_GUEST_S": f"{run.guest_s:.6f}",
    }  # fmt: skip
    # What it prints is no part of what is found, and several of them run at once.
    status = subprocess.run(
        command, shell=True, env={**os.environ, **about}, stdin=subprocess.DEVNULL,
        stdout=_STDERR, check=False,
    ).returncode  # fmt: skip
    said = f"the command ended with {status}{_OF_SHELL.get(status, '')}"
    if status == _SKIP:
        return Outcome.UNTESTABLE, said
    if not 0 <= status <= _LAST_BAD:
        raise LabError(f"{said}, which ends a bisection: {command}")
    return (Outcome.GOOD, "") if status == 0 else (Outcome.BAD, said)


def ended(said: str) -> str:
    """The line in which a failed build says that it was the machine's fault; empty without one."""
    return next((line.strip() for line in said.splitlines() if _ENDED.search(line)), "")


def build_class(said: str) -> str:
    """The errors of a failed build, a line each, without their places and their numbers.

    All of them, for a make that does several things at once says them in any order. A build that
    says none is told by its last words.
    """
    lines = [line.strip() for line in said.partition(_BY_HAND)[0].splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.search(line)]
    kept = errors or lines[-1:]
    return "\n".join(dict.fromkeys(_NUMBER.sub("#", _PLACE.sub("", one)) for one in kept))


def alike(one: str, other: str) -> bool:
    """Whether two builds failed with an error in common."""
    return not set(one.splitlines()).isdisjoint(other.splitlines())


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
    build: str = ""  # the class of its build's errors, or of its boot's; none of another failure
    number: int = -1  # among the bisection's runs; its seed follows from it

    def record(self) -> dict[str, object]:
        return {**vars(self), "outcome": str(self.outcome), "wall_s": round(self.wall_s, 3)}

    @classmethod
    def read(cls, record: Mapping[str, object]) -> "Seen":
        given = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**{**given, "outcome": Outcome(str(record["outcome"]))})  # type: ignore[arg-type]


def seen(revision: str, seed: int, run: Run, match: Match, number: int = -1) -> Seen:
    """A run, judged."""
    outcome, reason = match.judge(run)
    token, said = str(run.token or ""), run.judgement.seen or run.judgement.reason
    made = Seen(revision, seed, outcome, reason, token, run.dir, run.wall_s, number=number)
    if outcome is Outcome.BUILD and (why := ended(said)):
        return replace(made, outcome=Outcome.BROKEN, reason=why)
    if outcome is Outcome.BUILD:
        build = build_class(said)
        kept = build if match.admits(said) else ""
        return replace(made, build=kept, reason=build.partition("\n")[0])
    if outcome is Outcome.BOOT and match.admits(said):
        return replace(made, build=_boot_class(run))
    return made


def _boot_class(run: Run) -> str:
    """With a panic's title, where there was one."""
    title = run.judgement.crash.title if run.judgement.crash else ""
    return f"{_BOOT}: {title}" if title else _BOOT
