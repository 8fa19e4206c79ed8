"""How well the parser does on a folder of logs that say in a header what is in them.

A file is header lines (`TITLE: ...`, `TYPE: ...`), an empty line, and the log; a line `REPORT:`
ends the log. A file without a title holds no crash. The logs are of machines that ran when they
were begun: a boot is a crash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.crash import find
from vmlab.crash.model import Crash
from vmlab.errors import UsageError

TYPES = {
    # a header's TYPE, or how it begins -> the kinds that are the same thing
    "KASAN": ("KASAN",),
    "KMSAN": ("KMSAN",),
    "KCSAN": ("KCSAN",),
    "KFENCE": ("KFENCE",),
    "UBSAN": ("UBSAN",),
    "LEAK": ("kmemleak",),
    "LOCKDEP": ("lockdep",),
    "HANG": (
        "soft lockup", "hard lockup", "hung task", "RCU stall", "workqueue lockup",
        "netdevice hang",
    ),
    "ATOMIC_SLEEP": ("scheduling while atomic", "sleeping function"),
    "NULL-POINTER-DEREFERENCE": ("NULL dereference",),
    "MEMORY_SAFETY_BUG": ("page fault", "list corruption"),
    "REFCOUNT_WARNING": ("refcount",),
    "WARNING": ("warning", "list corruption"),
    "BUG": ("BUG", "list corruption"),
    "REBOOT": ("reboot",),
    "DoS": (
        "general protection fault", "page fault", "double fault", "divide error", "invalid opcode",
        "int3", "oops", "panic", "init killed", "no root", "no init", "stack overflow",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One file: what it says of itself, and its log. `type` may be missing."""

    name: str
    title: str | None
    type: str | None
    log: str


@dataclass(frozen=True)
class Result:
    """What was found in one sample."""

    sample: Sample
    crash: Crash | None

    @property
    def detected(self) -> bool:
        return self.crash is not None

    @property
    def right_kind(self) -> bool:
        return self.crash is not None and self.crash.kind in kinds_of(self.sample.type or "")

    @property
    def right_title(self) -> bool:
        """A header names a function that cannot be found `corrupted`; a title leaves it out."""
        wanted = (self.sample.title or "").removesuffix(" in corrupted")
        return self.crash is not None and self.crash.title == wanted


def kinds_of(type_: str) -> tuple[str, ...]:
    """The kinds that a header's TYPE stands for; none for one that is not known."""
    if type_ in TYPES:
        return TYPES[type_]
    return next((kinds for name, kinds in TYPES.items() if type_.startswith(f"{name}-")), ())


def read(path: Path) -> Sample:
    """Raises UsageError where the file cannot be read."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise UsageError(f"reading {path}: {(error.strerror or str(error)).lower()}") from error
    head, _, log = ("\n" + text).partition("\n\n")
    said = dict(line.split(": ", 1) for line in head.split("\n") if ": " in line)
    log = ("\n" + log).partition("\nREPORT:\n")[0].removeprefix("\n")
    return Sample(path.name, said.get("TITLE", "").strip() or None, said.get("TYPE"), log)


def measure(directory: Path) -> list[Result]:
    """Parses all samples of a folder, in the order of their names; a README is none."""
    if not directory.is_dir():
        raise UsageError(f"measuring {directory}: it is no directory; give a folder of logs")
    paths = [path for path in directory.iterdir() if path.is_file() and path.stem != "README"]
    samples = (read(path) for path in sorted(paths, key=_order))
    return [Result(sample, find(sample.log, running=True)) for sample in samples]


def _order(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdecimal() else 0, path.name)


def misses(results: Sequence[Result]) -> Iterator[str]:
    """One line for each thing that is not as the header says."""
    for one in results:
        wanted, found = one.sample, one.crash
        if wanted.title is None:
            if found:
                yield f"{wanted.name}: false alarm: {found.kind}: {found.line_text[:120]}"
        elif found is None:
            yield f"{wanted.name}: not detected: {wanted.title}"
        else:
            if wanted.type and not one.right_kind:
                yield f"{wanted.name}: kind: {found.kind}, and {wanted.type} was wanted"
            if not one.right_title:
                yield f"{wanted.name}: title: {found.title!r}, and {wanted.title!r} was wanted"


def summary(results: Sequence[Result]) -> str:
    """The shares, of all samples with a title (for kinds, of those with a TYPE as well)."""
    titled = [one for one in results if one.sample.title]
    typed = [one for one in titled if one.sample.type]
    alarms = sum(one.detected for one in results if not one.sample.title)
    return (
        f"detected {_share([one.detected for one in titled])} %, "
        f"kind {_share([one.right_kind for one in typed])} %, "
        f"title {_share([one.right_title for one in titled])} %, false alarms {alarms}"
    )


def _share(true: Sequence[bool]) -> str:
    return f"{100 * sum(true) / len(true):.1f}" if true else "0.0"
