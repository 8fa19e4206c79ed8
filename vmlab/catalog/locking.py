"""Makes the lock file anew from what the archive has."""

from collections.abc import Sequence

from vmlab.arch import ARCHES, Arch
from vmlab.cache import Cache
from vmlab.catalog.apt import Apt, mirrors
from vmlab.catalog.catalog import Catalog
from vmlab.catalog.find import CHANNELS, Channel, Finder
from vmlab.catalog.pins import Pins
from vmlab.catalog.progress import Say
from vmlab.catalog.records import Gone, Kernel, Unavailable
from vmlab.errors import UsageError


def locked(cache: Cache, say: Say) -> Pins:
    """Pins made anew from what the archive has now; each kernel was fetched to prove it."""
    finder = Finder(Apt(cache, mirrors(), say))
    packages, sources = finder.extras()
    return Pins(kernels(finder, Catalog(cache, _NONE, say)), packages, sources)


def relocked(old: Pins, series: Sequence[str], cache: Cache, say: Say) -> Pins:
    """The old pins, those of these series made anew. Raises UsageError for an unknown series."""
    known = [channel.series for channel in CHANNELS]
    for name in series:
        if name not in known:
            raise UsageError(
                f"unknown series {name!r}; there are {', '.join(dict.fromkeys(known))}"
            )
    finder = Finder(Apt(cache, mirrors(), say))
    made = kernels(finder, Catalog(cache, _NONE, say), old.kernels, series)
    return Pins(made, old.packages, old.sources)


def kernels(
    finder: Finder,
    catalog: Catalog,
    old: Sequence[Kernel] = (),
    series: Sequence[str] | None = None,
) -> tuple[Kernel, ...]:
    """One kernel for each channel and architecture; the old one where its series is not wanted."""
    found: dict[str, Kernel] = {}
    for channel in CHANNELS:
        for name in channel.arches:
            if series is None or channel.series in series:
                kernel = _first_whole(catalog, finder.kernels(channel, ARCHES[name]))
            else:
                kernel = _pinned(channel, ARCHES[name], old)
            if kernel:
                found.setdefault(kernel.id, kernel)
    return tuple(found.values())


_NONE = Pins((), (), ())


def _pinned(channel: Channel, arch: Arch, old: Sequence[Kernel]) -> Kernel | None:
    return next((one for one in old if channel.holds(one) and one.arch == arch), None)


def _first_whole(catalog: Catalog, candidates: Sequence[Kernel]) -> Kernel | None:
    for kernel in candidates:
        try:
            catalog.image(kernel)
            catalog.modules(kernel)
            if kernel.headers:
                catalog.headers(kernel)
        except (Gone, Unavailable) as gone:
            catalog.say(f"{kernel.id}: {gone}")
            continue
        return kernel
    return None
