"""One page that tells all of a report, in one file: no script is needed to read it.

What came out of a guest goes into the page as text only, cleaned (`report.clean`) and escaped by
jinja2. Should something get through all the same, the page's own policy lets no other script,
style, picture or connection be used than those whose hashes stand in it.
"""

import base64
import functools
import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.report import clean
from vmlab.report.axis import Axis, axis
from vmlab.report.console import Piece, pieces
from vmlab.report.told import WORST_FIRST, Report, Step, Told, counted, natural

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent
SYMBOLS = {
    "passed": "\u2713", "failed": "\u2717", "crashed": "\u25b2", "timeout": "\u25f7",
    "skipped": "\u2013", "broken": "?", "not judged": "\u00b7", "not reached": "\u00b7",
}  # fmt: skip

SHORT_STACK = 8  # frames that are shown of a crash before the whole stack is asked for


@dataclass(frozen=True)
class Guest:
    """What the page makes of a guest's files. A run with one guest does not name it."""

    name: str
    pieces: Sequence[Piece]
    axis: Axis | None
    command: str  # that started QEMU
    bytes: int  # of its console


@dataclass(frozen=True)
class Shown:
    """One run with what the page makes of its files."""

    number: int
    run: Told
    guests: Sequence[Guest]
    steps: Mapping[int, Step]  # by number

    @property
    def printed(self) -> bool:
        """Whether there is a console to be shown."""
        return any(guest.pieces for guest in self.guests)


def html(report: Report) -> str:
    """The whole page."""
    style, script = ((_FOLDER / name).read_text() for name in ("page.css", "page.js"))
    shown = [_shown(number, run) for number, run in enumerate(report.worst_first(), start=1)]
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report, shown=shown, style=style, script=script, symbols=SYMBOLS,
            rows=_rows(shown), kernels=_kernels(report), counts=report.counts(),
            short_stack=SHORT_STACK, counted=counted, policy=_policy(style, script),
            made=f"vmlab {importlib.metadata.version('vmlab')}",
        )
    )  # fmt: skip


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        autoescape=True, loader=FileSystemLoader(_FOLDER), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_cleaned,
    )  # fmt: skip
    made.filters.update(ours=Markup, line=clean.line)
    return made


def _cleaned(value: object) -> object:
    """Every expression of the template passes here; jinja2 escapes it afterwards."""
    return clean.visible(value) if type(value) is str else value


def _shown(number: int, run: Told) -> Shown:
    steps = {step.number: step for step in run.steps}
    return Shown(number, run, [_guest(*one) for one in run.guests()], steps)


def _guest(name: str, run: Told) -> Guest:
    console = run.content("console")
    command = run.content("argv").decode(errors="replace").strip()
    return Guest(name, pieces(run, console), axis(run, console), command, len(console))


def _kernels(report: Report) -> list[str]:
    """In the order of their names; of a bisection's range in the range's, as its runs come."""
    if report.bisections:
        return list(dict.fromkeys(run.kernel for run in report.runs))
    return sorted({run.kernel for run in report.runs}, key=natural)


def _rows(shown: Sequence[Shown]) -> dict[str, dict[str, list[Shown]]]:
    """Scenarios, those with the worst verdict first, and their runs by kernel."""
    rows: dict[str, dict[str, list[Shown]]] = {}
    for one in shown:  # the worst come first
        rows.setdefault(one.run.scenario, {}).setdefault(one.run.kernel, []).append(one)
    return dict(sorted(rows.items(), key=lambda row: _rank(row[0], row[1])))


def _rank(name: str, row: dict[str, list[Shown]]) -> tuple[int, list[tuple[int, str]]]:
    fine = all(one.run.fine for some in row.values() for one in some)
    worst = min(WORST_FIRST.index(one.run.verdict) for some in row.values() for one in some)
    return len(WORST_FIRST) if fine else worst, natural(name)


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
