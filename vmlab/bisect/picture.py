"""The probabilities over the range, as a picture: one SVG without scripts or fonts of its own."""

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from vmlab.bisect import engine
from vmlab.bisect.drive import Result

_WIDTH, _HEIGHT = 760, 150  # of one range
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 20, 40, 40
_MOST_NAMES = 8
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
    height = _HEIGHT * len(results)
    body = [line for at, one in enumerate(results) for line in _range(at * _HEIGHT, *one)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" role="img" aria-labelledby="name">',
            '<title id="name">How probably each revision is the first bad one</title>',
            f"<style>{_STYLE}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            *body,
            "</svg>\n",
        )
    )


def _range(top: int, title: str, result: Result) -> Iterator[str]:
    names = result.space.names
    chances = engine.shares(result.space, result.evidence, result.rules)
    floor, width = top + _HEIGHT - _BOTTOM, (_WIDTH - _LEFT - _RIGHT) / len(names)
    yield _text(_LEFT, top + 20, title, "title")
    yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>'
    for at, (name, chance) in enumerate(zip(names, chances, strict=True)):
        x, high = _LEFT + at * width, chance * (_HEIGHT - _TOP - _BOTTOM)
        bar = max(width - 1, 0.5)
        yield (
            f'<rect class="chance" x="{x:.1f}" y="{floor - high:.1f}" width="{bar:.1f}" '
            f'height="{high:.1f}"><title>{escape(name)}: {chance:.2%}</title></rect>'
        )
        if state := _state(result, at):
            yield f'<circle class="{state}" cx="{x + bar / 2:.1f}" cy="{floor + 8}" r="3"/>'
    for at in _shown(len(names), result):
        yield _text(_LEFT + (at + 0.5) * width, floor + 28, names[at][:20], "axis", "middle")


def _state(result: Result, at: int) -> str:
    if at in result.evidence.untestable:
        return "untestable"
    count = result.evidence.of(at)
    return "failed" if count.failed else "passed" if count.passed else ""


def _shown(size: int, result: Result) -> list[int]:
    """Whose names there is room for: both ends and the first bad one, or all of a few."""
    if size <= _MOST_NAMES:
        return list(range(size))
    return sorted({0, size - 1, *result.answer.first[-1:]})


def _text(x: float, y: float, text: str, name: str, anchor: str = "start") -> str:
    return (
        f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
