"""A folder as its author has it: what a build of the whole of it needs, and no more."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from vmlab.errors import UsageError

# What builds leave behind, and what is the lab's own or a version control's.
_LEFT = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".order", ".symvers", ".a", ".o.d", ".pyc")
_OWN = frozenset({"vmlab-out", "vmlab.yaml", "vmlab-scenarios", "__pycache__", ".tmp_versions"})
_LIMIT = 256 << 20  # bytes of all files


def names(folder: Path, left_out: tuple[Path, ...] = ()) -> Iterator[str]:
    """The files of a folder by their relative names, sorted; no links that lead out.

    `left_out` are folders that are none of the modules', as the one of the scenarios.
    """
    out = {path.resolve() for path in left_out}
    root = folder.resolve()
    for where, inner, files in os.walk(root):
        here = Path(where)
        inner[:] = sorted(
            name
            for name in inner
            if not name.startswith(".") and name not in _OWN and here / name not in out
        )
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or name in _OWN or name.endswith(_LEFT):
                continue
            if path.is_file() and path.resolve().is_relative_to(root):
                yield str(path.relative_to(root))


def contents(folder: Path, left_out: tuple[Path, ...] = ()) -> dict[str, bytes]:
    """Raises UsageError where a folder holds more than sources ever are."""
    total, found = 0, {}
    for name in names(folder, left_out):
        path = folder / name
        total += path.stat().st_size
        if total > _LIMIT:
            raise UsageError(
                f"{folder} holds more than {_LIMIT >> 20} MiB, and all of it would be copied for "
                f"each build; name the modules' own folder as `modules:` in vmlab.yaml"
            )
        found[name] = path.read_bytes()
    return found


def copy(folder: Path, wanted: dict[str, bytes], target: Path) -> None:
    """Writes the files below a directory, scripts as executable as they are."""
    for name, content in wanted.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        shutil.copymode(folder / name, path)
        path.chmod(path.stat().st_mode | 0o200)
