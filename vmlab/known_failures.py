"""Failures that a project knows of: they are told, and until a day they are not held against it.

Pure: a run's verdict and `known_failures:` of vmlab.yaml come in, and what it is held to be out.
"""

import datetime
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from vmlab.verdict import Judgement, Verdict

FAILURES = (Verdict.FAILED, Verdict.CRASHED, Verdict.TIMEOUT)
State = Literal["known", "expired", "passes"]


class KnownFailure(BaseModel):
    """One entry; it is for what both globs mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenario: str = Field(description="the scenario's name, or a glob")
    kernel: str = Field(default="*", description="the kernel's id, or a glob")
    reason: str = Field(min_length=1, description="why it fails; shown in the table")
    until: datetime.date = Field(description="the last day on which it is known, 2026-12-31")
    match: str | None = Field(
        default=None, description="a pattern that the failure's reason must match"
    )
    if_passed: Literal["say", "fail", "ignore"] = Field(
        default="say",
        description="what a run that passes all the same does: it is said, the command exits with "
        "1 as well, or nothing (of one that fails now and then)",
    )

    @field_validator("match")
    @classmethod
    def _pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no pattern: {error}") from None
        return pattern

    def means(self, scenario: str, kernel: str) -> bool:
        """Whether it is for this scenario, with or without its parameters, on this kernel."""
        names = (scenario, scenario.partition("(")[0])
        return any(fnmatch.fnmatchcase(name, self.scenario) for name in names) and (
            fnmatch.fnmatchcase(kernel, self.kernel)
        )


@dataclass(frozen=True)
class Held:
    """What a run is held to be."""

    state: State
    reason: str  # why it fails, as the project says
    until: str  # ISO's date
    counts: bool  # whether the command's status is 1 for it

    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        return {
            "state": self.state, "reason": self.reason, "until": self.until,
            "text": self.text, "counts": self.counts,
        }  # fmt: skip

    @property
    def text(self) -> str:
        """In one line."""
        if self.state == "known":
            return f"known until {self.until}: {self.reason}"
        if self.state == "expired":
            return f"known until {self.until}, which is over, so it counts again: {self.reason}"
        return f"passes, and is known to fail: {self.reason}; take it out of vmlab.yaml"


def held(
    known: Iterable[KnownFailure],
    scenario: str,
    kernel: str,
    judged: Judgement,
    today: datetime.date | None = None,
) -> Held | None:
    """None where no entry has to do with it: it counts as it is.

    Of several entries the one that excuses it decides. `broken` and `skipped` are excused by none.
    """
    day = today or datetime.date.today()
    found = [_held(one, judged, day) for one in known if one.means(scenario, kernel)]
    those = [one for one in found if one]
    return min(those, key=lambda one: one.state != "known", default=None)


def _held(one: KnownFailure, judged: Judgement, today: datetime.date) -> Held | None:
    until = one.until.isoformat()
    if judged.verdict is Verdict.PASSED and one.if_passed != "ignore":
        return Held("passes", one.reason, until, one.if_passed == "fail")
    if judged.verdict not in FAILURES:
        return None
    if one.match is not None and not re.search(one.match, _said(judged)):
        return None
    expired = today > one.until
    return Held("expired" if expired else "known", one.reason, until, expired)


def _said(judged: Judgement) -> str:
    return "\n".join([judged.reason, *([judged.crash.title] if judged.crash else [])])


def unmeant(known: Sequence[KnownFailure], scenarios: Iterable[str]) -> list[tuple[int, str]]:
    """The entries that mean none of a project's scenarios, by number, each with its glob."""
    names = list(scenarios)
    return [
        (number, one.scenario)
        for number, one in enumerate(known)
        if not fnmatch.filter(names, one.scenario.partition("(")[0])
    ]
