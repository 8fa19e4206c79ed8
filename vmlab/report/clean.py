"""What came out of a guest, made harmless for each thing that shows it. Nothing of it is lost."""

import re

from vmlab.plain import UNSEEN

_PICTURES = 0x2400  # Unicode's pictures of the first 32 control characters
# In Markdown, what may begin anything; a dot between digits stays, for the sake of versions.
_MARKS = re.compile(r"(?<!\d)\.|\.(?!\d)|[!-+/:-@\[-`{-~]")
_GITHUB_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_GITHUB_PROPERTY = {**_GITHUB_DATA, ":": "%3A", ",": "%2C"}
LONGEST = 4000  # characters of a line


def visible(text: str) -> str:
    """The text with what is not seen made visible: ESC is shown as its picture."""
    return UNSEEN.sub(_picture, text.replace("\r\n", "\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(_PICTURES + code) if code < 0x20 else "\u2421" if code == 0x7F else f"<U+{code:04X}>"


def line(text: str) -> str:
    """The text in one line."""
    return visible(text).replace("\n", "\u240a").replace("\t", " ")


def short(text: str, longest: int = LONGEST) -> str:
    """The text with each line cut to so many characters."""
    return re.sub(
        rf"([^\n]{{{longest}}})([^\n]+)",
        lambda found: f"{found[1]}\u2026 ({len(found[2])} more characters)",
        text,
    )


def markdown(text: str) -> str:
    """One line for a Markdown page, in which no character marks anything up.

    Entities cannot stand for a mark (CommonMark 6.4); in `code` nobody is mentioned either.
    """
    return _MARKS.sub(lambda found: f"&#{ord(found[0])};", line(text))


def fenced(text: str) -> str:
    """A Markdown block of code that its text cannot end: no run of backticks in it is as long."""
    inner = visible(text)
    longest = max((len(run) for run in re.findall("`+", inner)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{inner}\n{fence}"


def ktap(text: str) -> str:
    """A description, which may hold anything but # and newlines (Documentation/dev-tools/ktap)."""
    return line(text).replace("#", "\\x23")


def github_data(text: str) -> str:
    """The message of a workflow command."""
    return _replaced(visible(text), _GITHUB_DATA)


def github_property(text: str) -> str:
    """A property of a workflow command."""
    return _replaced(visible(text), _GITHUB_PROPERTY)


def _replaced(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(one, one) for one in text)
