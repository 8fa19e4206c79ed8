"""What a `modprobe` step needs in the program: the kernel's own modules and their order."""

import lzma
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vmlab.errors import UsageError

DEPENDS = "depends"


def files(
    names: Iterable[str], directory: Callable[[], Path], ours: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Files for the modules to probe: each module of the kernel's own that is needed, and DEPENDS.

    `directory` gives lib/modules/ID; modules in `ours` are the project's. Raises UsageError for a
    name that neither has.
    """
    content: dict[str, bytes] = {}
    lines = []
    for name in dict.fromkeys(names):
        if f"{name}.ko" in ours:
            lines.append(f"{name}:")
            continue
        order = needed(name, directory())
        lines.append(f"{name}: {' '.join(path_name(path) for path in order[:-1])}")
        content |= {f"{path_name(path)}.ko": _unpacked(path) for path in order}
    if lines:
        content[DEPENDS] = ("\n".join(lines) + "\n").encode()
    return content


def path_name(path: Path) -> str:
    """A module's name: its file's, without .ko and what it is packed with."""
    return path.name.partition(".ko")[0].replace("-", "_")


def needed(name: str, directory: Path) -> list[Path]:
    """The module's file after the files of those whose symbols it uses.

    Debian's packages hold no modules.dep: the `depends=` of each module is read.
    """
    by_name = {path_name(path): path for path in directory.rglob("*.ko*")}
    order: list[Path] = []

    def visit(one: str) -> None:
        path = by_name.get(one.replace("-", "_"))
        if path is None:
            raise UsageError(f"kernel {directory.name} has no module {one!r} ({directory})")
        for other in _depends(_unpacked(path)):
            visit(other)
        if path not in order:
            order.append(path)

    visit(name)
    return order


def _depends(module: bytes) -> list[str]:
    """The `depends=` of .modinfo, which holds strings that end in NUL."""
    begin = module.find(b"\0depends=")
    if begin < 0:
        return []
    value = module[begin + len(b"\0depends=") :].partition(b"\0")[0].decode()
    return [name for name in value.split(",") if name]


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content
