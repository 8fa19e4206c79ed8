"""What a configuration begins from: tiny, a distribution's, a file of the user's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.catalog import Catalog, Kernel
from vmlab.errors import UsageError
from vmlab.sources import tiny
from vmlab.sources.configure import Wish, fragment, fragment_file
from vmlab.sources.source import plain_name

TINY, DISTRO = "tiny", "distro"
Number = tuple[int, ...]


@dataclass(frozen=True)
class Changed:
    """Lines that Debian's configuration is changed by, and why."""

    lines: str
    why: str


CHANGES = (
    Changed('CONFIG_SYSTEM_TRUSTED_KEYS=""\nCONFIG_SYSTEM_REVOCATION_KEYS=""',
            "Debian's keys are not in the source"),
    Changed("# CONFIG_MODULE_SIG is not set\n# CONFIG_SECURITY_LOCKDOWN_LSM is not set",
            "modules of the lab are not signed"),
    Changed("CONFIG_DEBUG_INFO_NONE=y\n# CONFIG_DEBUG_INFO is not set\n"
            "# CONFIG_DEBUG_INFO_BTF is not set",
            "it takes as long as the code; the fragment debug-info has it"),
    Changed("CONFIG_KERNEL_GZIP=y\n# CONFIG_KERNEL_XZ is not set\n# CONFIG_KERNEL_ZSTD is not set",
            "a guest unpacks it in less time, and no program is needed for it"),
    Changed('CONFIG_BUILD_SALT=""', "the name of Debian's package"),
)  # fmt: skip


def wish(
    catalog: Catalog, arch: Arch, number: Number, config: str, fragments: Sequence[str],
    lenient: bool = False,
) -> Wish:  # fmt: skip
    """The configuration that is asked for, for a kernel of this release's numbers.

    Raises UsageError where a file is not there, or there is no distribution's configuration.
    """
    parts = "".join(fragment(name, number) for name in fragments)
    called = "+".join(plain_name(Path(name).name.removesuffix(".config")) for name in fragments)

    def named(base: str) -> str:
        return f"{base}+{called}" if called else base

    if config == TINY:
        return Wish(named(TINY), tiny.text(arch, number), parts, True, False, lenient)
    if config == DISTRO:
        text = _distro(catalog, arch, number)
        return Wish(named(DISTRO), text, parts, False, False, lenient)
    path = _file(config)
    text = path.read_text(errors="replace").rstrip("\n") + "\n"
    return Wish(
        named(plain_name(path.name.removesuffix(".config") or "config")),
        text,
        parts,
        False,
        True,
        lenient,
    )


def check(config: str, fragments: Sequence[str]) -> None:
    """Raises UsageError for names of configurations and fragments that mean nothing."""
    if config not in (TINY, DISTRO):
        _file(config)
    for name in fragments:
        fragment_file(name)


def _file(config: str) -> Path:
    path = Path(config).expanduser()
    if not path.is_file():
        raise UsageError(f"there is no configuration {config!r}: it is tiny, distro or a file")
    return path


def _distro(catalog: Catalog, arch: Arch, number: Number) -> str:
    kernel = nearest(catalog.pins.kernels, arch, number)
    got = catalog.obtain(kernel)
    path = catalog.config_file(got)
    if path is None:
        raise UsageError(f"{got.id}: its packages hold no configuration; give a file")
    changes = "".join(f"# {one.why}\n{one.lines}\n" for one in CHANGES)
    catalog.say(f"configuration of {got.id}")
    return f"{path.read_text()}\n{changes}"


def nearest(kernels: Sequence[Kernel], arch: Arch, number: Number) -> Kernel:
    """The kernel of an architecture whose release is nearest; of two as near the newer."""
    fitting = [one for one in kernels if one.arch == arch]
    if not fitting:
        raise UsageError(f"the catalog has no kernel for {arch.name} to take a configuration of")
    return min(fitting, key=lambda one: (*_distance(one.number, number), [-n for n in one.number]))


def _distance(one: Number, other: Number) -> tuple[int, int]:
    return abs(one[0] - other[0]), abs((one[1] if len(one) > 1 else 0) - (*other, 0)[1])
