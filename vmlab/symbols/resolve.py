"""Fills in a crash's frames: which line each stands for, and what was inlined there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmlab.crash import Crash, Frame, Inlined, Source
from vmlab.errors import LabError
from vmlab.symbols import lines, sources
from vmlab.symbols.elf import Function, Functions, debug_file
from vmlab.symbols.lines import Line
from vmlab.symbols.sources import Root

_Place = tuple[str | None, str, int]
"""Module, function, offset."""


@dataclass(frozen=True)
class Sources:
    """Where sources are looked for, in this order, and debug information that was split off."""

    modules: Sequence[Root] = ()
    kernel: Sequence[Root] = ()
    debug: Sequence[Path] = (Path("/usr/lib/debug"),)


def resolve(
    crash: Crash,
    modules: Mapping[str, Path],
    vmlinux: Path | None,
    where: Sources,
    say: Callable[[str], None],
) -> Crash:
    """The crash with `source` and `inlined` of each frame that its file knows.

    `modules` are files by the name that the kernel has for them; without `vmlinux` the kernel's
    own frames stay as they are. So does a frame whose function the file has not, or has with
    another size: it is a file of another build. `say` hears of files that cannot be read.
    """
    found: dict[Frame, Frame] = {}
    for name in dict.fromkeys(frame.module for frame in crash.frames):
        path = vmlinux if name is None else modules.get(name)
        if path is None:
            continue
        roots = where.kernel if name is None else where.modules
        chosen = [frame for frame in crash.frames if frame.module == name]
        try:
            found |= _of_file(debug_file(path, where.debug), chosen, _exact(crash), roots)
        except LabError as error:
            say(f"source lines of {name or 'the kernel'}: {error}")
    return replace(crash, frames=tuple(found.get(frame, frame) for frame in crash.frames))


def _of_file(
    file: Path, frames: Sequence[Frame], exact: _Place | None, roots: Sequence[Root]
) -> dict[Frame, Frame]:
    """What one file says of frames.

    A return address is the next instruction's, perhaps the next line's. The counter itself is
    none, wherever on the stack it is found; nor is what stands behind no call.
    """
    functions = Functions(file)
    asked: dict[str | None, dict[Frame, int]] = {}
    for frame in frames:
        if function := _function(frame, functions):
            section = None if functions.linked else function.section
            returns = _place(frame) != exact and functions.after_call(function, frame.offset)
            at = function.begin + max(0, frame.offset - (returns is not False))
            asked.setdefault(section, {})[frame] = at
    found = {}
    for section, places in asked.items():
        answers = lines.lines(file, section, list(places.values()))
        for frame, chain in zip(places, answers, strict=True):
            found[frame] = _named(frame, chain, roots)
    return found


def _exact(crash: Crash) -> _Place | None:
    """The instruction that was interrupted: registers come with its place, the first frame."""
    return _place(crash.frames[0]) if crash.registers and crash.frames else None


def _place(frame: Frame) -> _Place:
    return frame.module, frame.function, frame.offset


def _function(frame: Frame, functions: Functions) -> Function | None:
    """The one function of that name and size; none where several are alike."""
    found = [one for one in functions.named(frame.function) if 0 <= frame.offset <= one.reach]
    if frame.size >= 0:
        found = [one for one in found if one.has_size(frame.size)]
    return found[0] if len(found) == 1 else None


def _named(frame: Frame, chain: Sequence[Line], roots: Sequence[Root]) -> Frame:
    if not chain:
        return frame
    *inner, own = chain
    source = _source(own, roots)
    return replace(frame, source=source, inlined=tuple(_inlined(one, roots) for one in inner))


def _source(line: Line, roots: Sequence[Root]) -> Source:
    file = sources.find(line.file, roots)
    return Source(file.name, line.line, sources.around(file.path, line.line))


def _inlined(line: Line, roots: Sequence[Root]) -> Inlined:
    at = _source(line, roots)
    return Inlined(line.function, at.file, at.line, at.around)
