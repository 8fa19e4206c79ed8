"""Makes the lock file anew from what the archive has."""

from collections.abc import Sequence

from vmlab.arch import ARCHES, Arch
from vmlab.cache import Cache
from vmlab.catalog import tools
from vmlab.catalog.apt import Apt, mirrors
from vmlab.catalog.catalog import Catalog
from vmlab.catalog.find import CHANNELS, Channel, Finder
from vmlab.catalog.pins import Pins
from vmlab.catalog.progress import Say
from vmlab.catalog.records import Gone, Kernel, Tool, Unavailable
from vmlab.errors import UsageError


def locked(cache: Cache, say: Say) -> Pins:
    """Pins made anew from what the archive has now; each kernel was fetched to prove it."""
    apt = Apt(cache, mirrors(), say)
    finder, catalog = Finder(apt), Catalog(cache, _NONE, say)
    packages, sources = finder.extras()
    return Pins(kernels(finder, catalog), packages, sources, programs(apt, catalog))


def relocked(old: Pins, series: Sequence[str], cache: Cache, say: Say) -> Pins:
    """The old pins, those of these series and tools made anew. Raises UsageError for others."""
    known = [*(channel.series for channel in CHANNELS), *(one.name for one in tools.RECIPES)]
    for name in series:
        if name not in known:
            raise UsageError(
                f"unknown series {name!r}; there are {', '.join(dict.fromkeys(known))}"
            )
    apt = Apt(cache, mirrors(), say)
    finder, catalog = Finder(apt), Catalog(cache, _NONE, say)
    made = kernels(finder, catalog, old.kernels, series)
    return Pins(made, old.packages, old.sources, programs(apt, catalog, old.tools, series))


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


def programs(
    apt: Apt, catalog: Catalog, old: Sequence[Tool] = (), wanted: Sequence[str] | None = None
) -> tuple[Tool, ...]:
    """The tools, each unpacked to prove it; the old one where its name is not wanted."""
    found = []
    for recipe in tools.RECIPES:
        tool = next((one for one in old if one.name == recipe.name), None)
        if wanted is None or recipe.name in wanted:
            tool = tools.find(apt, recipe)
            catalog.unpack_tool(tool)
        found += [tool] if tool else []
    return tuple(found)


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
