"""A kernel's own modules, taken out of the tree that they were built in, as packages have them."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from vmlab.errors import LabError

FOLDER = "kernel"
_ORDER = "modules.order"  # written by `make modules`; older kernels than 2.6.24 have none
_INDEXES = ("modules.builtin", "modules.builtin.modinfo")
_STRIPPED = 8 << 20  # bytes; larger modules lose their debug information


def were_built(out: Path) -> bool:
    """Whether a tree's modules were built, be it that it has none."""
    return (out / _ORDER).is_file()


def is_tree(folder: Path) -> bool:
    """Whether a folder is a tree with modules; installed ones have the list, and no Makefile."""
    return were_built(folder) and (folder / "Makefile").is_file()


def take(out: Path, target: Path) -> None:
    """Copies the modules that a tree's last build made, and its lists of what is built in.

    The directory is then as lib/modules/RELEASE is. Raises LabError for one that cannot be read.
    """
    (target / FOLDER).mkdir(parents=True)
    for index in _INDEXES:
        if (out / index).is_file():
            shutil.copy2(out / index, target / index)
    for name in _listed(out):
        copy = target / FOLDER / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(out / name, copy)
        if copy.stat().st_size > _STRIPPED:
            _strip(copy)


def content(source: Path) -> str:
    """A hash of the modules in a tree, or in a directory as packages have it."""
    names = _listed(source) if is_tree(source) else _installed(source)
    digest = hashlib.sha256()
    for name in sorted(names):
        data = (source / name).read_bytes()
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _installed(source: Path) -> Iterator[Path]:
    return (path.relative_to(source) for path in (source / FOLDER).rglob("*.ko*"))


def _listed(out: Path) -> Iterator[Path]:
    """The modules' places; the list names them `kernel/lib/x.ko`, `lib/x.ko` or `lib/x.o` (by era).

    What an earlier configuration left is not in it.
    """
    for word in (out / _ORDER).read_text().split():
        name = Path(word).with_suffix(".ko")
        for place in (name, name.relative_to(FOLDER) if name.parts[0] == FOLDER else name):
            if (out / place).is_file():
                yield place
                break


def _strip(module: Path) -> None:
    words = ["objcopy", "--strip-debug", str(module)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LabError("objcopy was not found: `apt-get install binutils`") from error
    if done.returncode:
        raise LabError(f"stripping {module.name}: {done.stderr.strip()}")
