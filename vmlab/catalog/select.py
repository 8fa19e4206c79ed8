"""Which kernels an expression means, the same everywhere in the lab."""

import difflib
import fnmatch
from collections.abc import Iterable, Sequence

from vmlab.catalog.records import Kernel
from vmlab.errors import UsageError

WORDS = ("default", "all", "newest", "oldest")


def select(kernels: Sequence[Kernel], expression: str | None) -> list[Kernel]:
    """The kernels that any part of a comma list means, in the catalog's order.

    A part is an id, a glob, `arch=i386`, `default`, `all`, `newest` or `oldest` (one of each
    architecture). None means the default ones. Raises UsageError for a part that means none.
    """
    parts = [part.strip() for part in ("default" if expression is None else expression).split(",")]
    chosen = {kernel.id for part in parts for kernel in _part(kernels, part)}
    return [kernel for kernel in kernels if kernel.id in chosen]


def _part(kernels: Sequence[Kernel], part: str) -> list[Kernel]:
    if part == "all":
        return list(kernels)
    if part == "default":
        return [kernel for kernel in kernels if kernel.default]
    if part in ("newest", "oldest"):
        return _extreme(kernels, newest=part == "newest")
    if part.startswith("arch="):
        found = [kernel for kernel in kernels if kernel.arch.name == part.removeprefix("arch=")]
    else:
        found = [kernel for kernel in kernels if fnmatch.fnmatchcase(kernel.id, part)]
    if not found:
        raise UsageError(f"no kernel is meant by {part!r}; {_nearest(kernels, part)}")
    return found


def _extreme(kernels: Iterable[Kernel], newest: bool) -> list[Kernel]:
    by_arch: dict[str, Kernel] = {}
    for kernel in sorted(kernels, key=lambda kernel: kernel.number, reverse=not newest):
        by_arch[kernel.arch.name] = kernel
    return list(by_arch.values())


def _nearest(kernels: Sequence[Kernel], part: str) -> str:
    words = [kernel.id for kernel in kernels]
    words += sorted({f"arch={kernel.arch.name}" for kernel in kernels}) + list(WORDS)
    near = difflib.get_close_matches(part, words, n=3, cutoff=0.4)
    there = "see `vmlab kernels list`"
    return f"{there}; near to it: {', '.join(near)}" if near else there
