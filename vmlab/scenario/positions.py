"""YAML with the line and column of everything in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

LONGEST = 1 << 20
"""How long a file may be, characters."""
DEEPEST = 32
"""How many lists and keys may stand in one another."""
MOST = 100_000
"""How many values a file may have, each counted where it is meant: aliases repeat them."""
Path = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with a file; line and column count from 1."""

    line: int
    column: int
    message: str


@dataclass
class Document:
    """A file's content as plain strings, lists and dicts, and where each part stands."""

    content: Any = None
    places: dict[Path, tuple[int, int]] = field(default_factory=dict)  # of values
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)  # of keys
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Sequence[str | int], key: bool = False) -> tuple[int, int]:
        """Where this part stands, or the nearest part around it that is there."""
        at = tuple(path)
        if key and at in self.keys:
            return self.keys[at]
        while at and at not in self.places:
            at = at[:-1]
        return self.places.get(at, (1, 1))


def read(text: str) -> Document:
    """Reads YAML text; every scalar stays the text it is. What is wrong is in `problems`."""
    document = Document()
    if len(text) > LONGEST:
        document.problems.append(Problem(1, 1, f"the file is longer than {LONGEST} characters"))
        return document
    try:
        if (line := _too_deep(text)) is not None:
            document.problems.append(Problem(line, 1, f"nested deeper than {DEEPEST} levels"))
            return document
        node = _composed(text)
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax(error))
        return document
    except yaml.YAMLError as error:
        document.problems.append(Problem(1, 1, f"this is no YAML: {error}".replace("\n", " ")))
        return document
    if node is None:
        document.problems.append(Problem(1, 1, "the file is empty"))
        return document
    if (line := _bomb(node)) is not None:
        document.problems.append(
            Problem(line, 1, f"its aliases contain themselves, or make more than {MOST} values")
        )
        return document
    document.content = _content(node, (), document)
    return document


# libyaml where PyYAML has it: much faster, and its messages say less.
_FAST = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def _too_deep(text: str) -> int | None:
    """The line where it is; who composes it goes as deep, by calls, until memory ends."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_FAST):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                return event.start_mark.line + 1 if event.start_mark else 1
    except yaml.YAMLError:
        pass  # told when it is composed
    return None


def _bomb(root: yaml.Node) -> int | None:
    """The line where the values become too many, or an alias contains itself."""
    left, waiting = MOST, [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            return _start(node)[0]
        if isinstance(node, yaml.CollectionNode):
            pairs = isinstance(node, yaml.MappingNode)
            children = [one for pair in node.value for one in pair] if pairs else node.value
            waiting += [(child, depth + 1) for child in children]
    return None


def _composed(text: str) -> yaml.Node | None:
    """Errors are told by PyYAML's own parser."""
    try:
        return yaml.compose(text, Loader=_FAST)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.BaseLoader)


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = error.problem or error.context or "this is no YAML"
    if "'\\t'" in said:
        said = "a tab begins this; YAML is indented with spaces"
    return Problem(line, column, said)


def _content(node: yaml.Node, path: Path, document: Document) -> Any:
    document.places[path] = _start(node)
    if isinstance(node, yaml.MappingNode):
        return dict(_pairs(node, path, document))
    if isinstance(node, yaml.SequenceNode):
        return [
            _content(child, (*path, number), document) for number, child in enumerate(node.value)
        ]
    return str(node.value)


def _pairs(node: yaml.MappingNode, path: Path, document: Document) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line, column = _start(key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(Problem(line, column, "a key must be a word"))
            continue
        key = str(key_node.value)
        if key in seen:
            document.problems.append(
                Problem(line, column, f"key {key!r} is here twice, first in line {seen[key]}")
            )
            continue
        seen[key] = line
        document.keys[*path, key] = (line, column)
        yield key, _content(value_node, (*path, key), document)


def _start(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
