"""Released kernels as revisions: those that the catalog knows, in the order of their versions."""

from collections.abc import Iterable, Sequence

from debian.debian_support import Version

from vmlab.arch import ARCHES
from vmlab.catalog import Catalog, Kernel
from vmlab.catalog.progress import Say
from vmlab.errors import UsageError


def version(kernel: Kernel) -> Version:
    """Debian's order; of a kernel that was added its release counts."""
    return Version(kernel.release if kernel.added else kernel.version)


def ranges(
    catalog: Catalog, good: str, bad: str, arch: str | None, say: Say = lambda line: None
) -> dict[str, tuple[Kernel, ...]]:
    """By architecture the kernels from the good to the bad end. Raises UsageError.

    Where an expression means several, the newest good and the oldest bad one are the ends. An
    architecture that has only one of them is left out, which is said.
    """
    if arch is not None and arch not in ARCHES:
        raise UsageError(f"unknown architecture {arch!r}; there are {', '.join(ARCHES)}")
    goods, bads = catalog.select(good), catalog.select(bad)
    ends = {name: (_of(goods, name), _of(bads, name)) for name in ARCHES if arch in (None, name)}
    both = {name: pair for name, pair in ends.items() if all(pair)}
    if not both:
        found = (", ".join(one.id for one in ones) for ones in (goods, bads))
        raise UsageError(
            f"--good {good} and --bad {bad} mean no two kernels of one architecture"
            f"{f', {arch}' if arch else ''}: {next(found)}, and {next(found)}"
        )
    for name, (of_good, of_bad) in ends.items():
        if bool(of_good) != bool(of_bad):
            lacking = f"--bad {bad}" if of_good else f"--good {good}"
            say(f"{name} is left out: {lacking} means no kernel of it")
    return {name: _between(catalog.kernels, *pair) for name, pair in both.items()}


def _of(kernels: Iterable[Kernel], arch: str) -> list[Kernel]:
    return sorted((one for one in kernels if one.arch.name == arch), key=version)


def _between(
    kernels: Sequence[Kernel], good: Sequence[Kernel], bad: Sequence[Kernel]
) -> tuple[Kernel, ...]:
    first, last = good[-1], bad[0]
    if first.id == last.id:
        raise UsageError(f"both ends are {first.id}; a bisection needs a good and a bad kernel")
    if version(first) > version(last):
        raise UsageError(
            f"the good end, {first.id}, is newer than the bad end, {last.id}; are they swapped? "
            f"then it is --good '{last.id}' --bad '{first.id}'. Where the older one is the bad "
            "one, something was mended in between, which is not what is looked for here"
        )
    if version(first) == version(last):  # two flavours: what is between them is no newer
        return first, last
    order = _of(kernels, first.arch.name)
    return tuple(order[order.index(first) : order.index(last) + 1])
