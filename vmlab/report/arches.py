"""Where a scenario came out otherwise on i386 than on x86_64, of kernels of one version. Pure."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmlab.report import clean
from vmlab.report.told import Step, Told, counted

NAMES = ("i386", "x86_64")
_FLAVOUR = re.compile(r"[-_.](?:686(?:-pae)?|amd64|i[3-6]86(?:-pae)?|x86[-_]64|generic(?:-pae)?)$")
# What is another number on each boot: times, addresses, pids.
_OWN = re.compile(r"\[ *\d+\.\d+\] |\b(?:0x)?[0-9a-f]{8,16}\b|\d+")
_LINES = 3  # of an output or of the console, of each side
_LENGTH = 160


@dataclass(frozen=True)
class Pair:
    """One scenario on both."""

    i386: Told
    x86_64: Told

    @property
    def runs(self) -> tuple[Told, Told]:
        return self.i386, self.x86_64


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: what, and how it is on either side."""

    what: str
    i386: str
    x86_64: str


def version(kernel: str) -> str:
    """A kernel's name without its architecture: 6.1.0-50 of 6.1.0-50-686."""
    return _FLAVOUR.sub("", kernel)


def pairs(runs: Sequence[Told]) -> list[Pair]:
    """The runs that have a twin, each with its twin, in their order."""
    by_key: dict[tuple[str, str], dict[str, Told]] = {}
    for run in runs:
        by_key.setdefault((run.scenario, version(run.kernel)), {}).setdefault(run.arch, run)
    return [
        Pair(found["i386"], found["x86_64"])
        for found in by_key.values()
        if set(NAMES) <= set(found)
    ]


def differences(pair: Pair) -> list[Difference]:
    """What differs: the verdict, then step by step the result, the output, the console's lines."""
    found = list(_verdicts(pair))
    for step, other in zip(pair.i386.steps, pair.x86_64.steps, strict=False):
        found += _steps(pair, step, other)
    return found


def _verdicts(pair: Pair) -> Iterator[Difference]:
    said = [f"{run.verdict}" + (f": {run.headline}" if run.headline else "") for run in pair.runs]
    if _plain(said[0]) != _plain(said[1]):
        yield Difference("verdict", *said)


def _steps(pair: Pair, step: Step, other: Step) -> Iterator[Difference]:
    at = f"step {step.number}, {step.label}"
    results = [f"{one.state}, outcome {one.outcome}" for one in (step, other)]
    if results[0] != results[1]:
        yield Difference(at, *results)
        return
    yield from _texts(f"{at}: output", step.output.splitlines(), other.output.splitlines())
    lines = [_matched(run, one) for run, one in zip(pair.runs, (step, other), strict=True)]
    yield from _texts(f"{at}: console", *lines)


def _texts(what: str, lines: list[str], others: list[str]) -> Iterator[Difference]:
    """The first lines that differ in more than the numbers of a boot."""
    both = itertools.zip_longest(lines, others, fillvalue="")
    differing = [(one, other) for one, other in both if _plain(one) != _plain(other)]
    if differing:
        sides = zip(*differing[:_LINES], strict=True)
        more = f" ({len(differing)} lines)" if len(differing) > _LINES else ""
        yield Difference(what + more, *("\n".join(side) for side in sides))


def _matched(run: Told, step: Step) -> list[str]:
    console = dict(run.guests()).get(step.on, run).content("console") if step.matches else b""
    return [console[begin:end].decode(errors="replace").strip() for begin, end in step.matches]


def _plain(text: str) -> str:
    return _OWN.sub("#", text)


def text(runs: Sequence[Told]) -> str:
    """All differences in words, or why there is nothing to compare."""
    found = pairs(runs)
    if not found:
        kernels = ", ".join(dict.fromkeys(run.kernel for run in runs)) or "none"
        return f"no kernel of those that were run is there for i386 and for x86_64: {kernels}"
    told = [(pair, differences(pair)) for pair in found]
    lines = [line for pair, some in told if some for line in _told(pair, some)]
    differ = sum(1 for _, some in told if some)
    return "\n".join([*lines, f"{counted(len(found), 'pair', 'pairs')} compared, {differ} differ"])


def _told(pair: Pair, found: Sequence[Difference]) -> Iterator[str]:
    yield f"{clean.line(pair.i386.scenario)} on {pair.i386.kernel} and {pair.x86_64.kernel}:"
    for one in found:
        yield f"  {clean.line(one.what)}"
        for name, said in zip(NAMES, (one.i386, one.x86_64), strict=True):
            for line in said.split("\n"):
                yield f"    {name + ':':<8}{clean.line(clean.short(line, _LENGTH)) or '-'}"
