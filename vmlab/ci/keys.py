"""Names for what CI keeps between its jobs, by the hashes of what it is made from.

Everything in the cache is named by its content, so a name that says too little costs time and
never makes a result wrong.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from vmlab.cache import content_key
from vmlab.catalog import Catalog, Kernel

KINDS = {
    "kernels": ("headers", "kernels", "packages", "sources", "tools"),
    "snapshots": ("busybox", "debian", "images", "procps", "programs", "snapshots"),
}
"""What is kept under each name: directories of the cache."""
_DEBIAN = "image: debian"
_PACKAGE = Path(__file__).parent.parent


def debian_roots(scenarios: Iterable[Path]) -> set[str]:
    """The lists of packages that these files ask for; a file that is none asks for nothing."""
    wanted = set()
    for path in scenarios:
        text = path.read_text(errors="replace")
        if _DEBIAN not in text:
            continue
        with contextlib.suppress(yaml.YAMLError):
            content = yaml.safe_load(text)
            listed = content.get("packages") if isinstance(content, dict) else None
            wanted.add(" ".join(sorted(map(str, listed if isinstance(listed, list) else []))))
    return wanted


def kernels(catalog: Catalog, chosen: Sequence[Kernel]) -> str:
    """Of the packages of these kernels and all that guests' userland is built from."""
    packages = [one for kernel in chosen for one in (*kernel.image, *kernel.headers)]
    hashes = {one.sha256 for one in (*packages, *catalog.pins.packages)}
    hashes |= {one.sha256 for one in catalog.pins.sources}
    return content_key(*sorted(hashes), *[kernel.id for kernel in chosen])


def snapshots(
    catalog: Catalog, chosen: Sequence[Kernel], qemu: str, roots: Iterable[str] = ()
) -> str:
    """Of the same, the QEMU that made them, the lab's own part of guests, and the lists of Debian
    packages that guests have."""
    files = [
        path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes()
        for folder in ("guest", "images")
        for path in sorted((_PACKAGE / folder).rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    ]
    return content_key(kernels(catalog, chosen), qemu, *files, *sorted(roots))
