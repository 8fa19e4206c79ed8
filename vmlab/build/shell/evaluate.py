"""Settings as they come out: variables after all commands have been followed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vmlab.build.shell import expand
from vmlab.build.shell.arithmetic import arithmetic
from vmlab.build.shell.commands import COMMANDS, Given
from vmlab.build.shell.errors import Refused
from vmlab.build.shell.files import Files
from vmlab.build.shell.parse import (
    Assignment,
    Case,
    Chain,
    Command,
    Commands,
    For,
    Group,
    If,
    Pipe,
    Simple,
    parse,
)
from vmlab.build.shell.patterns import glob

_DEEPEST = 8  # files that name one another, and commands in commands
_TARGETS = ("/dev/null", "1", "2")
_DECLARES = ("export", "declare", "local", "readonly", "typeset")


class _Left(Exception):
    """`exit` or `return`: the settings end here."""


@dataclass
class Shell:
    """Variables, and what may be seen of the machine.

    With `every`, conditions are not looked at and every branch is followed: what may be set at all.
    """

    files: Files = field(default_factory=Files)
    uname: Mapping[str, str] = field(default_factory=dict)
    every: bool = False
    arrays: dict[str, dict[int, str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)  # what was echoed, and not into a pipe
    sometimes: set[tuple[str, int]] = field(default_factory=set)  # set in a branch only
    _status: int = 0
    _depth: int = 0
    _branch: int = 0
    _line: int = 1

    def set(self, name: str, value: str, index: int = 0) -> None:
        if self._branch:
            self.sometimes.add((name, index))
        self.arrays.setdefault(name, {})[index] = value

    def value(self, name: str, index: str | None = None) -> str | None:
        """A variable's text, None where it is not set."""
        if name == "?":
            return str(self._status)
        array = self.arrays.get(name)
        if array is None:
            return None
        if index in ("@", "*"):
            return " ".join(array[key] for key in sorted(array))
        return array.get(self._index(index))

    def array(self, name: str) -> dict[int, str]:
        """An array by number; a plain variable is its element 0."""
        return dict(sorted(self.arrays.get(name, {}).items()))

    def follow(self, text: str) -> None:
        """Follows settings to their end. Raises Refused, with the line, for more than that."""
        try:
            self._all(parse(text), "")
        except _Left:
            pass
        except Refused as error:
            if error.line:
                raise
            raise Refused(error.what, self._line) from error

    def printed(self, text: str) -> str:
        """What a command in a word prints."""
        line = self._line
        with_depth = self._deeper()
        try:
            return self._all(parse(text), "")[1].rstrip("\n")
        finally:
            self._depth, self._line = with_depth, line

    def _deeper(self) -> int:
        before = self._depth
        if before >= _DEEPEST:
            raise Refused(f"is more than {_DEEPEST} files or commands deep")
        self._depth += 1
        return before

    def _index(self, raw: str | None) -> int:
        if not raw:
            return 0
        return arithmetic(expand.text(raw, self), lambda name: self.value(name) or "")

    def _all(self, commands: Commands, given: str) -> tuple[int, str]:
        output = ""
        for command in commands:
            self._status, printed = self._one(command, given)
            output += printed
        return self._status if commands else 0, output

    def _one(self, command: Command, given: str) -> tuple[int, str]:
        match command:
            case Simple():
                return self._simple(command, given)
            case Chain():
                return self._chain(command, given)
            case Pipe():
                status = 0
                for part in command.parts:
                    status, given = self._one(part, given)
                return (int(not status) if command.negated else status), given
            case If():
                return self._conditional(command, given)
            case Group():
                return self._all(command.body, given)
            case For():
                return self._loop(command, given)
            case Case():
                return self._cases(command, given)

    def _chain(self, chain: Chain, given: str) -> tuple[int, str]:
        status, output = self._one(chain.first, given)
        for both, command in chain.rest:
            if self.every or both == (status == 0):
                self._branch += 1
                status, more = self._one(command, given)
                self._branch -= 1
                output += more
        return status, output

    def _conditional(self, command: If, given: str) -> tuple[int, str]:
        output = ""
        self._branch += 1
        try:
            for condition, body in command.arms:
                status = 0
                if condition is not None:
                    status, more = self._all(condition, given)
                    output += more
                if status == 0 or self.every:
                    status, more = self._all(body, given)
                    output += more
                    if not self.every:
                        return status, output
            return 0, output
        finally:
            self._branch -= 1

    def _cases(self, command: Case, given: str) -> tuple[int, str]:
        self._line = command.line
        word, output = expand.text(command.word, self), ""
        self._branch += 1
        for patterns, body in command.arms:
            found = any(re.fullmatch(glob(expand.text(one, self)), word) for one in patterns)
            if found or self.every:
                _, more = self._all(body, given)
                output += more
                if not self.every:
                    break
        self._branch -= 1
        return 0, output

    def _loop(self, loop: For, given: str) -> tuple[int, str]:
        self._line = loop.line
        output, status = "", 0
        words = [pair for raw in loop.words for pair in self._words(raw)]
        for word, sometimes in words:
            self._branch += sometimes
            self.set(loop.name, word)
            status, more = self._all(loop.body, given)
            self._branch -= sometimes
            output += more
        return status, output

    def _words(self, raw: str) -> list[tuple[str, bool]]:
        """What a loop goes through, and whether that is an element that was set in a branch."""
        words = expand.fields(raw, self)
        each = expand.EACH.fullmatch(raw)
        keys = self.array(each[2]) if each else []
        marks = [(each[2], key) in self.sometimes for key in keys] if each else []
        return list(zip(words, marks or [False] * len(words), strict=True))

    def _simple(self, command: Simple, given: str) -> tuple[int, str]:
        try:
            return self._done(command, given)
        except Refused:
            if self.every and self._branch:  # a kernel may never come there
                return 0, ""
            raise

    def _done(self, command: Simple, given: str) -> tuple[int, str]:
        self._line = command.line
        if not command.words:
            for assignment in command.assignments:
                self._assign(assignment)
            asked = any("$(" in one.value or "`" in one.value for one in command.assignments)
            return self._status if asked else 0, ""
        words = [one for raw in command.words for one in expand.fields(raw, self)]
        if not words:
            return 0, ""
        status, output = self._command(words, given)
        return self._redirected(command, status, output, words[0])

    def _redirected(self, command: Simple, status: int, output: str, name: str) -> tuple[int, str]:
        """What is left of the output; files are not written."""
        for operator, raw in command.redirects:
            target = expand.text(raw, self)
            if "<" in operator:
                raise Refused(f"reads {target} as its input")
            if target not in _TARGETS:
                raise Refused(f"writes to {target}")
            if operator.startswith("2"):
                continue
            if name == "echo" and target == "2":
                self.said.append(output.strip())
            output = output if target == "1" else ""
        return status, output

    def _command(self, words: list[str], given: str) -> tuple[int, str]:
        name, *rest = words
        if name in (".", "source"):
            return self._source(rest), ""
        if name in ("exit", "return"):
            if self.every:
                return 0, ""
            raise _Left
        if name in _DECLARES:
            return self._declare(rest), ""
        if name == "unset":
            for one in rest:
                self.arrays.pop(one, None)
            return 0, ""
        if name not in COMMANDS:
            raise Refused(f"runs {name!r}")
        return COMMANDS[name](Given(name, rest, given, self.files, self.uname))

    def _declare(self, words: list[str]) -> int:
        for word in words:
            if found := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word, re.DOTALL):
                self.set(found[1], found[2])
        return 0

    def _source(self, words: list[str]) -> int:
        """A file's settings. A kernel's configuration is such a file too."""
        text = self.files.read(words[0]) if words else None
        if text is None:
            return 1
        before, line = self._deeper(), self._line
        try:
            self._all(parse(text), "")
        except Refused as error:
            raise Refused(f"{words[0]}:{error.line or self._line}: {error.what}", line) from error
        finally:
            self._depth, self._line = before, line
        return 0

    def _assign(self, assignment: Assignment) -> None:
        name = assignment.name
        if assignment.items is not None:
            values = [one for raw in assignment.items for one in expand.fields(raw, self)]
            start = max(self.arrays.get(name, {-1: ""}), default=-1) + 1 if assignment.more else 0
            if not assignment.more:
                self.arrays.pop(name, None)
            for number, value in enumerate(values, start):
                self.set(name, value, number)
            return
        index = self._index(assignment.index)
        before = self.arrays.get(name, {}).get(index, "") if assignment.more else ""
        self.set(name, before + expand.text(assignment.value, self), index)
