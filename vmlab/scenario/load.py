"""Reads a scenario file, and says all that is wrong with it at once, each with its place."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from vmlab.errors import UsageError
from vmlab.scenario import check
from vmlab.scenario.crashes import Allowed, Wanted
from vmlab.scenario.known import Known
from vmlab.scenario.model import BY_VERB, Scenario, SkipIf
from vmlab.scenario.positions import Document, Problem, read

_M = TypeVar("_M", bound=BaseModel)
# The models of what stands below a key.
_INNER: dict[str | int, type[BaseModel]] = {
    "expect_crash": Wanted, "allow": Allowed, "skip_if": SkipIf,
}  # fmt: skip


class ScenarioError(UsageError):
    """A file that says something that cannot be meant; one line for each problem."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        lines = (f"{path}:{one.line}:{one.column}: {one.message}" for one in self.problems)
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Loaded:
    """A valid scenario with its file, what that held, and the line of each step."""

    path: Path
    scenario: Scenario
    lines: tuple[int, ...]
    text: str


def load(path: Path, known: Known) -> Loaded:
    """Reads and checks one file. Raises ScenarioError with everything that is wrong."""
    text = _text(path)
    document = read(text)
    if document.content is None or not isinstance(document.content, dict):
        if not document.problems:
            document.problems.append(Problem(1, 1, "a scenario begins with name:"))
        raise ScenarioError(path, document.problems)
    problems = list(document.problems)
    scenario = _validated(document, problems)
    problems += check.references(document)
    problems += check.names(document, known)
    if scenario is not None:
        problems += check.meaning(scenario, document, known, path.stem)
    if problems or scenario is None:
        raise ScenarioError(path, problems)
    count = len(scenario.steps)
    lines = tuple(document.place(("steps", n))[0] for n in range(count))
    return Loaded(path, scenario, lines, text)


def _text(path: Path) -> str:
    def fail(line: int, message: str) -> NoReturn:
        raise ScenarioError(path, [Problem(line, 1, message)])

    try:
        content = path.read_bytes()
    except OSError as error:
        fail(1, f"the file cannot be read: {(error.strerror or str(error)).lower()}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        fail(line, f"byte 0x{content[error.start]:02x} is no UTF-8 text")


def _validated(document: Document, problems: list[Problem]) -> Scenario | None:
    """The steps one by one first, each by its verb's model; then the rest around them."""
    content = dict(document.content)
    steps = content.get("steps")
    if isinstance(steps, list):
        content["steps"] = [
            step
            for number, raw in enumerate(steps)
            if (step := _step(raw, number, document, problems)) is not None
        ]
        if steps and not content["steps"]:
            content["steps"] = [BY_VERB["sleep"](sleep="1s")]  # type: ignore[call-arg]
    before = len(problems)
    scenario = _model(Scenario, content, (), document, problems)
    return scenario if len(problems) == before else None


def _step(raw: Any, number: int, document: Document, problems: list[Problem]) -> BaseModel | None:
    path = ("steps", number)
    line, column = document.place(path)
    if not isinstance(raw, dict):
        problems.append(Problem(line, column, "a step is a verb, a colon and what it needs"))
        return None
    verbs = [key for key in raw if key in BY_VERB]
    if len(verbs) > 1:
        at = document.place((*path, verbs[1]), key=True)
        message = f"a step has one verb, and this has {verbs[0]} and {verbs[1]}"
        problems.append(Problem(*at, message))
        return None
    if not verbs:
        first = next(iter(raw), "")
        at = document.place((*path, first), key=True)
        problems.append(Problem(*at, f"unknown step {first!r}{nearest(first, BY_VERB)}"))
        return None
    return _model(BY_VERB[verbs[0]], raw, path, document, problems)


def _model(
    model: type[_M],
    content: dict[str, Any],
    path: tuple[str | int, ...],
    document: Document,
    problems: list[Problem],
) -> _M | None:
    try:
        return model.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            problems.append(_problem(one, model, path, document))
        return None


def _problem(
    error: Any, model: type[BaseModel], path: tuple[str | int, ...], document: Document
) -> Problem:
    where = (*path, *error["loc"])
    kind, last = error["type"], error["loc"][-1] if error["loc"] else ""
    inner = _INNER.get(next((one for one in error["loc"][:-1] if one in _INNER), ""), model)
    names = [field.alias or name for name, field in inner.model_fields.items()]
    if kind == "extra_forbidden":
        at = document.place(where, key=True)
        return Problem(*at, f"unknown key {last!r}{nearest(str(last), names)}")
    if kind == "missing":
        return Problem(*document.place(where[:-1]), f"key {last!r} is missing")
    message = error["msg"].removeprefix("Value error, ")
    if kind != "value_error":
        message = f"{last}: {message[:1].lower()}{message[1:]}"
    return Problem(*document.place(where), message)


def nearest(word: str, words: Iterable[str]) -> str:
    """`; the nearest is X`, or all there are where none is near."""
    known = sorted(words)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"; the nearest is {near[0]!r}"
    return f"; there are {', '.join(known)}" if known else ""
