"""Tokens into commands."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vmlab.build.shell.errors import Refused
from vmlab.build.shell.scan import Token, tokens

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(?:\[([^]]*)\])?(\+?)=", re.DOTALL)
_LOOPS = ("while", "until", "select", "function")


@dataclass(frozen=True)
class Assignment:
    """NAME[index]=value; an array's values are `items`. Words are not expanded yet."""

    name: str
    index: str | None
    more: bool  # +=
    value: str = ""
    items: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Simple:
    """Assignments, or a command with its words."""

    line: int
    assignments: tuple[Assignment, ...]
    words: tuple[str, ...]
    redirects: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Chain:
    """Commands with && (True) or || (False) before each but the first."""

    first: "Command"
    rest: tuple[tuple[bool, "Command"], ...]


@dataclass(frozen=True)
class Pipe:
    """Commands, each reading what the one before it printed."""

    parts: tuple["Command", ...]
    negated: bool = False


@dataclass(frozen=True)
class If:
    """Conditions with what each leads to; the last may have none."""

    arms: tuple[tuple["Commands | None", "Commands"], ...]


@dataclass(frozen=True)
class For:
    line: int
    name: str
    words: tuple[str, ...]
    body: "Commands"


@dataclass(frozen=True)
class Case:
    """A word, and for each of several patterns what it leads to."""

    line: int
    word: str
    arms: tuple[tuple[tuple[str, ...], "Commands"], ...]


@dataclass(frozen=True)
class Group:
    body: "Commands"


Command = Simple | Chain | Pipe | If | For | Case | Group
Commands = tuple[Command, ...]


def parse(text: str) -> Commands:
    """Raises Refused for what is no shell code, or beyond what is read here."""
    parser = _Parser(tokens(text))
    made = parser.commands(())
    if parser.here:
        raise Refused(f"{parser.here.text.strip() or 'the end'!r} stands alone", parser.here.line)
    return made


@dataclass
class _Parser:
    tokens: Sequence[Token]
    at: int = 0
    last: int = field(default=1)

    @property
    def here(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        self.last = token.line
        return token

    def sees(self, *texts: str) -> bool:
        return self.here is not None and self.here.text in texts and self.here.kind != "redirect"

    def need(self, text: str) -> None:
        self.skip_lines()
        if not self.sees(text):
            raise Refused(f"{text!r} is missing", self.here.line if self.here else self.last)
        self.take()

    def skip_lines(self) -> None:
        while self.sees("\n"):
            self.take()

    def commands(self, ends: tuple[str, ...]) -> Commands:
        made: list[Command] = []
        while True:
            while self.sees("\n", ";"):
                self.take()
            if self.here is None or self.sees(*ends):
                return tuple(made)
            made.append(self.chain())
            if self.sees("&"):
                raise Refused("starts something in the background", self.last)
            if self.here and not self.sees("\n", ";", *ends):
                raise Refused(f"{self.here.text!r} is not expected here", self.here.line)

    def chain(self) -> Command:
        first, rest = self.pipe(), []
        while self.sees("&&", "||"):
            both = self.take().text == "&&"
            self.skip_lines()
            rest.append((both, self.pipe()))
        return Chain(first, tuple(rest)) if rest else first

    def pipe(self) -> Command:
        negated = self.sees("!")
        if negated:
            self.take()
        parts = [self.command()]
        while self.sees("|"):
            self.take()
            self.skip_lines()
            parts.append(self.command())
        return Pipe(tuple(parts), negated) if negated or len(parts) > 1 else parts[0]

    def command(self) -> Command:
        if self.here is None:
            raise Refused("a command is missing at the end", self.last)
        if self.sees(*_LOOPS):
            raise Refused(f"has a {self.here.text!r}", self.here.line)
        table: dict[str, Callable[[], Command]] = {
            "if": self.conditional,
            "for": self.loop,
            "case": self.cases,
            "(": self.group,
            "{": self.group,
        }
        if self.here.text in table and self.here.kind != "redirect":
            return table[self.here.text]()
        return self.simple()

    def conditional(self) -> If:
        self.take()
        arms: list[tuple[Commands | None, Commands]] = []
        word = "if"
        while word != "fi":
            condition = None
            if word != "else":
                condition = self.commands(("then",))
                self.need("then")
            body = self.commands(("elif", "else", "fi"))
            arms.append((condition, body))
            if self.here is None:
                raise Refused("'fi' is missing", self.last)
            word = self.take().text
        return If(tuple(arms))

    def loop(self) -> For:
        line = self.take().line
        name = self.take().text
        self.need("in")
        words = []
        while self.here and self.here.kind == "word":
            words.append(self.take().text)
        while self.sees("\n", ";"):
            self.take()
        self.need("do")
        body = self.commands(("done",))
        self.need("done")
        return For(line, name, tuple(words), body)

    def cases(self) -> Case:
        line = self.take().line
        if self.here is None:
            raise Refused("has a 'case' of nothing", line)
        word = self.take().text
        self.need("in")
        arms: list[tuple[tuple[str, ...], Commands]] = []
        self.skip_lines()
        while not self.sees("esac"):
            patterns = []
            while self.here and not self.sees(")"):
                if not self.sees("|", "("):
                    patterns.append(self.here.text)
                self.take()
            self.need(")")
            arms.append((tuple(patterns), self.commands((";;", "esac"))))
            if self.sees(";;"):
                self.take()
            self.skip_lines()
        self.take()
        return Case(line, word, tuple(arms))

    def group(self) -> Group:
        end = ")" if self.take().text == "(" else "}"
        body = self.commands((end,))
        self.need(end)
        self.redirects()
        return Group(body)

    def simple(self) -> Simple:
        line = self.tokens[self.at].line
        assignments: list[Assignment] = []
        words: list[str] = []
        redirects: list[tuple[str, str]] = []
        while self.here:
            if self.here.kind == "redirect" and words[:1] != ["[["]:
                redirects += self.redirects()
            elif self.here.kind == "array":
                assignments.append(_array(self.take()))
            elif not words and (found := _ASSIGNMENT.match(self.here.text)):
                value = self.take().text[found.end() :]
                assignments.append(Assignment(found[1], found[2], bool(found[3]), value))
            elif self.here.kind == "word" or (words[:1] == ["[["] and words[-1] != "]]"):
                words.append(self.take().text)
            else:
                break
        if self.sees("("):
            raise Refused("defines a function", line)
        if not (assignments or words or redirects):
            token = self.tokens[self.at]
            raise Refused(f"{token.text!r} is not expected here", token.line)
        return Simple(line, tuple(assignments), tuple(words), tuple(redirects))

    def redirects(self) -> list[tuple[str, str]]:
        made = []
        while self.here and self.here.kind == "redirect":
            operator = self.take()
            if "<<" in operator.text or self.here is None:
                raise Refused(f"has a {operator.text!r}", operator.line)
            made.append((operator.text, self.take().text))
        return made


def _array(token: Token) -> Assignment:
    name = token.text.rstrip("=")
    return Assignment(name.rstrip("+"), None, name.endswith("+"), items=token.items)
