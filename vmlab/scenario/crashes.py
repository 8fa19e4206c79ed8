"""What a scenario says of a sick kernel: the crash that it wants, and what it knowingly accepts."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from vmlab.scenario.values import CrashKind, CrashKinds, Duration, Text

WITHIN_MS = 1000
_KIND = "the kind of crash, or a list of kinds that will do"
_TITLE = "a pattern that its title or its first line must match"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Wanted(_Model):
    """A crash that must come."""

    kind: CrashKinds = Field(description=_KIND)
    title: Text | None = Field(default=None, description=_TITLE)
    within: Duration = Field(
        default=WITHIN_MS,
        description="guest time since the last action began, and how long is waited after it",
    )


class Allowed(_Model):
    """What is not held against the kernel; a kind alone may be written as a word."""

    kind: CrashKind | None = Field(default=None, description="the kind; any without it")
    title: Text | None = Field(default=None, description=_TITLE)

    @model_validator(mode="after")
    def _says_something(self) -> "Allowed":
        if self.kind is None and self.title is None:
            raise ValueError("a kind, a title or both are needed: else everything is allowed")
        return self

    def accepts(self, kind: str, texts: "tuple[str, ...]") -> bool:
        """Whether a crash of this kind, with this title and first line, is meant."""
        return self.kind in (None, kind) and matches(self.title, texts)


def matches(pattern: str | None, texts: "tuple[str, ...]") -> bool:
    """Whether one of the texts has a match; no pattern matches all."""
    return pattern is None or any(re.search(pattern, text) for text in texts)


def _whole(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _schema() -> Mapping[str, Any]:
    whole = {key: value for key, value in Allowed.model_json_schema().items() if key != "title"}
    return {"anyOf": [{"type": "string"}, whole]}


AllowedEntry = Annotated[Allowed, BeforeValidator(_whole), WithJsonSchema(dict(_schema()))]
