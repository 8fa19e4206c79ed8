"""The probabilities over the range, as a picture: one SVG without scripts or fonts of its own."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from vmlab.bisect import engine
from vmlab.bisect.drive import Result
from vmlab.bisect.tell import short
from vmlab.report.bisection import Bar, Drawing, Label
from vmlab.report.clean import line

_WIDTH, _HEIGHT = 760.0, 160.0  # of one range
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 20.0, 40.0, 44.0
_LETTER = 6.4  # about as wide as one of a label is
_LONGEST_TITLE = 100  # letters that the picture has room for
_NARROWEST = 2.0  # a bar that is still seen
_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.paper { fill: #ffffff; } .title { font-weight: 600; }
.axis { fill: #57606a; font-size: 11px; } .grid { stroke: #57606a; stroke-opacity: .4; }
.chance { fill: #cf222e; } .failed { fill: #cf222e; } .passed { fill: #1a7f37; }
.untestable { fill: #8c959f; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .paper { fill: #0d1117; } .axis { fill: #9198a1; }
.grid { stroke: #9198a1; } .chance { fill: #ff7b72; } .failed { fill: #ff7b72; }
.passed { fill: #3fb950; } .untestable { fill: #6e7681; }
}"""


def svg(results: Sequence[tuple[str, Result]]) -> str:
    """Bars: how probably each is the first bad one; dots below: what its runs said."""
    width, height = int(_WIDTH), int(_HEIGHT) * len(results)
    made = [drawing(*one) for one in results]
    body = [text for at, one in enumerate(made) for text in _lines(one, at * _HEIGHT)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-labelledby="name">',
            '<title id="name">How probably each revision is the first bad one</title>',
            f"<style>{_STYLE}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            *body,
            "</svg>\n",
        )
    )


def drawing(title: str, result: Result) -> Drawing:
    """Where everything stands, for whoever draws it."""
    chances = engine.shares(result.space, result.evidence, result.rules)
    step = (_WIDTH - _LEFT - _RIGHT) / len(chances)
    full = _HEIGHT - _TOP - _BOTTOM
    bars = [
        Bar(
            round(_LEFT + at * step, 1), round(max(step - 1, _NARROWEST), 1),
            round(chance * full, 1), f"{line(name)}: {chance:.2%}{_told(result, at)}",
            _state(result, at),
        )
        for at, (name, chance) in enumerate(zip(result.space.names, chances, strict=True))
    ]  # fmt: skip
    return Drawing(
        line(title), _WIDTH, _HEIGHT, _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM, full, bars,
        _labels(result, step),
    )  # fmt: skip


def _state(result: Result, at: int) -> str:
    if at in result.evidence.untestable:
        return "untestable"
    count = result.evidence.of(at)
    return "failed" if count.failed else "passed" if count.passed else ""


def _told(result: Result, at: int) -> str:
    if at in result.evidence.untestable:
        return ", untestable"
    count = result.evidence.of(at)
    return f", {count.failed} of {count.runs} failed" if count.runs else ""


def _labels(result: Result, step: float) -> list[Label]:
    """All names of a few revisions; of more the first bad one's, and those of the ends that have
    room beside it."""
    names, last = result.space.names, result.space.size - 1
    if step >= _LETTER * max(len(short(name)) for name in names) + _LETTER:
        return [_label(result, at, step) for at in range(len(names))]
    wanted = [*result.answer.first[-1:], 0, last]
    made: list[Label] = []
    for at in dict.fromkeys(wanted):
        one = _label(result, at, step)
        if all(_apart(one, other) for other in made):
            made.append(one)
    return sorted(made, key=lambda one: one.x)


def _label(result: Result, at: int, step: float) -> Label:
    """Below the middle of its bar, as far as it stays within the picture."""
    text = line(short(result.space.names[at]))[:24]
    half = len(text) * _LETTER / 2
    middle = _LEFT + (at + 0.5) * step
    if middle - half < 0:
        return Label(4.0, "start", text)
    if middle + half > _WIDTH:
        return Label(_WIDTH - 4, "end", text)
    return Label(round(middle, 1), "middle", text)


def _apart(one: Label, other: Label) -> bool:
    (left, right), (from_, to) = _span(one), _span(other)
    return right + _LETTER < from_ or to + _LETTER < left


def _span(label: Label) -> tuple[float, float]:
    wide = len(label.text) * _LETTER
    left = label.x - {"start": 0.0, "middle": wide / 2, "end": wide}[label.anchor]
    return left, left + wide


def _lines(one: Drawing, top: float) -> Iterator[str]:
    yield f'<g transform="translate(0 {top:g})">'
    yield _text(one.left, 20, one.title[:_LONGEST_TITLE], "title", "start")
    for share in (0.0, 1.0):
        y = one.floor - share * one.full
        yield f'<line class="grid" x1="{one.left}" x2="{one.right}" y1="{y}" y2="{y}"/>'
        yield _text(one.left - 6, y + 4, f"{share:.0%}", "axis", "end")
    for bar in one.bars:
        y, middle = one.floor - bar.height, bar.left + bar.width / 2
        yield (
            f'<rect class="chance" x="{bar.left}" y="{y:.1f}" width="{bar.width}" '
            f'height="{bar.height}"><title>{escape(bar.about)}</title></rect>'
        )
        if bar.state:
            yield (
                f'<circle class="{bar.state}" cx="{middle:.1f}" cy="{one.floor + 9}" r="3">'
                f"<title>{escape(bar.about)}</title></circle>"
            )
    for label in one.labels:
        yield _text(label.x, one.floor + 30, label.text, "axis", label.anchor)
    yield "</g>"


def _text(x: float, y: float, text: str, name: str, anchor: str) -> str:
    return f'<text class="{name}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
