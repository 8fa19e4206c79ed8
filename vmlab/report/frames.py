"""A crash's frames in text: each with its file and line, the guilty one with the lines around."""

from collections.abc import Iterator
from dataclasses import replace

from vmlab.crash import Crash, Frame, Inlined, Source
from vmlab.crash.guilty import called
from vmlab.plain import plain

_MOST = 16  # frames of a stack


def guilty(crash: Crash) -> list[str]:
    """Where it happened, with the source's lines; nothing where no source is known."""
    frame = _guilty(crash)
    if frame is None or frame.source is None:
        return []
    names = [*(f"{_inlined(one)}, inlined in" for one in frame.inlined), _entry(frame)]
    places = [*(Source(one.file, one.line, one.around) for one in frame.inlined), frame.source]
    return [
        line for name, place in zip(names, places, strict=True) for line in (name, *_code(place))
    ]


def stack(crash: Crash) -> list[str]:
    """The frames that are sure, and the modules' own of the others, innermost first.

    Nothing where none of them has a source.
    """
    own = {frame for frame in crash.frames if frame.source and frame.module}
    top = [replace(frame, reliable=False) for frame in crash.frames[:1]]  # is found once more
    frames = [one for one in crash.frames if one.reliable or (one in own and one not in top)]
    if not any(frame.source for frame in frames):
        return []
    left = len(frames) - _MOST
    lines = [line for frame in frames[:_MOST] for line in entries(frame)]
    return [*lines, f"and {left} more"] if left > 0 else lines


def entries(frame: Frame) -> Iterator[str]:
    """A frame's line, after those of what was inlined in it."""
    for one in frame.inlined:
        yield f"{_inlined(one)} (inlined)"
    yield _entry(frame)


def _guilty(crash: Crash) -> Frame | None:
    """The frame of the guilty function, else the first one whose lines are here."""
    wanted = called((crash.function or "").partition("/")[0])
    named = [one for one in crash.frames if called(one.function) == wanted and one.source]
    sure = [one for one in crash.frames if one.reliable and one.source and one.source.around]
    return next(iter([*named, *sure]), None)


def _entry(frame: Frame) -> str:
    """As the kernel prints it, with the place in the source."""
    text = frame.function if frame.reliable else f"? {frame.function}"
    if frame.offset >= 0:
        text += f"+{frame.offset:#x}"
        text += f"/{frame.size:#x}" if frame.size >= 0 else ""
    text += f" [{frame.module}]" if frame.module else ""
    return f"{text} ({frame.source.file}:{frame.source.line})" if frame.source else text


def _inlined(one: Inlined) -> str:
    return f"{one.function} ({one.file}:{one.line})"


def _code(source: Source) -> list[str]:
    """The lines around a place, with their numbers; the place's own is marked."""
    width = max((len(str(number)) for number, _ in source.around), default=0)
    lines = [(number, plain(text.expandtabs(4))) for number, text in source.around]
    return [
        f"  {'>' if number == source.line else ' '} {number:>{width}}  {text}".rstrip()
        for number, text in lines
    ]
