"""The bench's figures as a picture: one SVG without scripts or fonts of its own.

Colours are classes, and the reader's light or dark scheme chooses between two sets of them. The
paper is drawn too, for what shows the picture may know no schemes.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

_BARS = (
    ("restored", "from a snapshot"),
    ("cold", "cold boot"),
    ("virtme", "virtme-ng"),
    ("virtme_lean", "--backend virtme"),
)
_WIDTH = 760
_LEFT, _RIGHT = 140, 150  # room for the names, and for the figures
_TOP, _BOTTOM = 56, 48
_BAR, _GAP, _TITLE = 18, 6, 26
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.paper { fill: #ffffff; }
.title { font-weight: 600; }
.head { font-size: 15px; font-weight: 600; }
.axis { fill: #57606a; font-size: 12px; }
.grid { stroke: #57606a; stroke-opacity: .25; }
.spread { stroke: #24292f; stroke-width: 1.5; }
.restored { fill: #1a7f37; } .cold { fill: #0969da; } .virtme { fill: #8250df; }
.virtme_lean { fill: #bf3989; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.paper { fill: #0d1117; }
.axis { fill: #9198a1; }
.grid { stroke: #9198a1; }
.spread { stroke: #e6edf3; }
.restored { fill: #3fb950; } .cold { fill: #4493f8; } .virtme { fill: #ab7df8; }
.virtme_lean { fill: #db61a2; }
}"""


def of_json(document: str) -> str:
    """A chart of `vmlab bench --json`: seconds to the first result, by kernel, on a log scale."""
    kernels: dict[str, Any] = json.loads(document)["kernels"]
    scale = _Scale([one["spread"]["first_result_s"] for one in kernels.values()])
    body = list(_groups(kernels, scale))
    bottom = _TOP + sum(_height(one) for one in kernels.values())
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" '
            f'width="{_WIDTH}" height="{bottom + _BOTTOM}" role="img" '
            'aria-labelledby="name about">',
            '<title id="name">Time to the first result of a guest</title>',
            f'<desc id="about">{escape(_about(kernels))}</desc>',
            f"<style>{_STYLE}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            _text(_LEFT, 22, "First command's result of a guest, without KVM", "head"),
            *_axis(scale, bottom),
            *body,
            "</svg>\n",
        )
    )


class _Scale:
    """Seconds to pixels: powers of ten at equal distances, from one below all to one above."""

    def __init__(self, spreads: Sequence[Mapping[str, Mapping[str, float]]]) -> None:
        ends = [some[end] for one in spreads for some in one.values() for end in ("min", "max")]
        self.low = math.floor(math.log10(min(ends) / 2))
        self.high = max(math.ceil(math.log10(max(ends))), self.low + 1)

    def at(self, seconds: float) -> float:
        part = (math.log10(seconds) - self.low) / (self.high - self.low)
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _axis(scale: _Scale, bottom: int) -> Iterator[str]:
    for tick in scale.ticks():
        x = scale.at(tick)
        yield f'<line class="grid" x1="{x:.1f}" y1="{_TOP - 14}" x2="{x:.1f}" y2="{bottom}"/>'
        yield _text(x, bottom + 16, f"{tick:g} s", "axis", "middle")
    yield _text(
        scale.at(math.sqrt(scale.ticks()[0] * scale.ticks()[-1])), bottom + 36,
        "seconds from the start of the process, each line ten times the one before",
        "axis", "middle",
    )  # fmt: skip


def _groups(kernels: Mapping[str, Any], scale: _Scale) -> Iterator[str]:
    y = _TOP
    for kernel, one in kernels.items():
        yield _text(8, y + 10, kernel, "title")
        for number, (way, label) in enumerate(_present(one)):
            yield from _bar(one, way, label, y + _TITLE + number * (_BAR + _GAP), scale)
        y += _height(one)


def _bar(one: Mapping[str, Any], way: str, label: str, y: int, scale: _Scale) -> Iterator[str]:
    """The median as a bar, from the least to the most as a line, the figure beside it."""
    some = one["spread"]["first_result_s"][way]
    left, right = scale.at(scale.ticks()[0]), scale.at(some["median"])
    low, high = scale.at(some["min"]), scale.at(some["max"])
    middle = y + _BAR / 2
    yield _text(_LEFT - 8, y + _BAR - 5, label, "", "end")
    yield (
        f'<rect class="{way}" x="{left:.1f}" y="{y}" width="{right - left:.1f}" '
        f'height="{_BAR}" rx="2"/>'
    )
    yield f'<line class="spread" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>'
    yield _text(max(high, right) + 8, y + _BAR - 5, _figure(one, way), "")


def _figure(one: Mapping[str, Any], way: str) -> str:
    seconds = one["spread"]["first_result_s"][way]["median"]
    times = one["ratio"].get(way)
    return f"{seconds:.2f} s" + (f" ({times:.0f} x)" if times else "")


def _about(kernels: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{kernel}: " + ", ".join(f"{label} {_figure(one, way)}" for way, label in _present(one))
        for kernel, one in kernels.items()
    )


def _present(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(way, label) for way, label in _BARS if way in one["first_result_s"]]


def _height(one: Mapping[str, Any]) -> int:
    return _TITLE + len(_present(one)) * (_BAR + _GAP) + 12


def _text(x: float, y: float, text: str, name: str, anchor: str = "start") -> str:
    return (
        f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
