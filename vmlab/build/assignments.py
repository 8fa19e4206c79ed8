"""A Kbuild file's assignments. Conditions that the file itself settles are followed; of others all
branches are taken as said, and nothing is run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

EXPANSION = r"\$\((?:[^()]|\([^()]*\))*\)|\$\{[^{}]*\}"
"""A variable or function of make's, with others in it."""
ASSIGNMENT = re.compile(
    rf"^\s*(?:export\s+|override\s+)*((?:[\w.-]|{EXPANSION})+)\s*(::|[:+?]|)=\s*(.*?)\s*$"
)
_VARIABLE = re.compile(r"\$[({](\w+)[)}]")
_CONDITION = re.compile(r"^\s*(else\s+)?(ifeq|ifneq|ifdef|ifndef)\b\s*(.*?)\s*$")
_OTHER = re.compile(r"^\s*(else|endif)\s*$")
_QUOTED = re.compile(r"""("[^"]*"|'[^']*')\s*("[^"]*"|'[^']*')$""")


@dataclass
class _Branches:
    """Of one condition; None is for what nobody here knows."""

    now: bool | None  # whether the branch that is read is taken
    before: bool | None  # whether one of those before it was


@dataclass
class _Reading:
    """Variables as they are where the file is read to, and those that only some branch sets."""

    values: dict[str, str] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    stack: list[_Branches] = field(default_factory=list)

    def active(self) -> bool:
        return all(one.now is not False for one in self.stack)

    def assign(self, name: str, how: str, value: str) -> None:
        before = self.values.get(name)
        if any(one.now is None for one in self.stack):
            self.unsettled.add(name)
        elif how != "+":
            self.unsettled.discard(name)
        if how == "?" and before is not None:
            return
        self.values[name] = f"{before} {value}" if how == "+" and before is not None else value

    def condition(self, line: str) -> bool:
        """Whether the line is one of a condition's, which is followed then."""
        if found := _CONDITION.match(line):
            met = self._met(found[2], found[3])
            if not found[1]:
                self.stack.append(_Branches(met, met))
            elif self.stack:
                last = self.stack[-1]
                last.now, last.before = _otherwise(last.before, met), _either(last.before, met)
            return True
        found = _OTHER.match(line)
        if found and self.stack:
            if found[1] == "endif":
                self.stack.pop()
            else:
                self.stack[-1].now = _otherwise(self.stack[-1].before, True)
        return bool(found)

    def _met(self, word: str, rest: str) -> bool | None:
        if word.endswith("def"):
            name = rest.split("#")[0].strip()
            known = name in self.values and name not in self.unsettled
            return bool(self.values[name]) == (word == "ifdef") if known else None
        sides = [self._settled(one) for one in _sides(rest)]
        if len(sides) != 2 or None in sides:
            return None
        return (sides[0] == sides[1]) == (word == "ifeq")

    def _settled(self, text: str) -> str | None:
        """A side of a comparison with the file's own variables; None where others are in it."""
        if self.unsettled.intersection(_VARIABLE.findall(text)):
            return None
        made = put(text, self.values)
        return None if "$" in made else made.strip()


def assignments(text: str) -> list[tuple[str, str]]:
    """Each that may hold: name and value, with the file's own variables put in.

    Lines of recipes are none, but for those that set what is built: some indent these.
    """
    reading = _Reading()
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        line = line.partition("#")[0]
        if reading.condition(line) or not reading.active():
            continue
        if line.startswith("\t") and not line.startswith("\tobj-") and not reading.stack:
            continue
        if one := ASSIGNMENT.match(line):
            found.append((one[1], one[3]))
            if _VARIABLE.search(one[1]) is None:
                reading.assign(one[1], one[2], one[3])
    # What is built where an option is set in a branch alone is built with that option.
    sure = {name: value for name, value in reading.values.items() if name not in reading.unsettled}
    return [
        (put(name, sure if name.startswith("obj-") else reading.values), put(value, reading.values))
        for name, value in found
    ]


def put(text: str, values: Mapping[str, str]) -> str:
    """A text with variables in it; those that are not known stay."""
    for _ in range(4):
        text = _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)
    return text


def _sides(text: str) -> Iterator[str]:
    if quoted := _QUOTED.match(text):
        yield from (quoted[1][1:-1], quoted[2][1:-1])
        return
    inner, depth, start = text.strip(), 0, 1
    for at, one in enumerate(inner):
        depth += (one in "({") - (one in ")}")
        if (one == "," and depth == 1) or depth == 0:
            yield inner[start:at]
            start = at + 1
        if depth == 0:
            return


def _otherwise(before: bool | None, met: bool | None) -> bool | None:
    """Of a branch after others, of which one may have been taken."""
    if before is True or met is False:
        return False
    return met if before is False else None


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if None in (one, other) else False
