"""Makes the lock file anew from what the archive has."""

from collections.abc import Sequence

from vmlab.cache import Cache
from vmlab.catalog.apt import Apt, mirrors
from vmlab.catalog.catalog import Catalog
from vmlab.catalog.find import Finder
from vmlab.catalog.pins import Pins
from vmlab.catalog.progress import Say
from vmlab.catalog.records import Gone, Kernel


def locked(cache: Cache, say: Say) -> Pins:
    """Pins made anew from what the archive has now; each kernel was fetched to prove it."""
    finder = Finder(Apt(cache, mirrors(), say))
    packages, sources = finder.extras()
    kernels: list[Kernel] = []
    for candidates in finder.kernels():
        kernel = _first_whole(cache, candidates, say)
        if kernel and kernel.id not in {other.id for other in kernels}:
            kernels.append(kernel)
    return Pins(tuple(kernels), packages, sources)


def _first_whole(cache: Cache, candidates: Sequence[Kernel], say: Say) -> Kernel | None:
    empty = Pins((), (), ())
    for kernel in candidates:
        try:
            Catalog(cache, empty, say).image(kernel)
            if kernel.headers:
                Catalog(cache, empty, say).headers(kernel)
        except Gone as gone:
            say(f"{kernel.id}: {gone}")
            continue
        return kernel
    return None
