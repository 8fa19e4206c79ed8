"""What a `modprobe` step needs in the program: modules, and the order in which they are loaded."""

import functools
import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vmlab.errors import LabError

DEPENDS = "depends"


def files(
    names: Iterable[str], directory: Callable[[], Path], ours: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Files for the modules to probe: those of the kernel's own that are needed, and DEPENDS.

    It says what to load for each, in order: nothing for a module that is built into the kernel. One
    that nobody has stands there without its file, and the guest finds it missing. `directory` gives
    lib/modules/ID; modules in `ours` are the project's. Raises LabError for what cannot be
    unpacked.
    """
    modules = _Modules(directory, ours)
    content: dict[str, bytes] = {}
    lines = []
    for name in dict.fromkeys(names):
        order = modules.order(name)
        lines.append(" ".join([f"{name}:", *order]) + "\n")
        content |= {f"{one}.ko": modules.content[one] for one in order if one in modules.content}
    if lines:
        content[DEPENDS] = "".join(lines).encode()
    return {name: data for name, data in content.items() if name not in ours}


def closure(wanted: Iterable[str], built: Mapping[str, Path]) -> dict[str, Path]:
    """The wanted modules, and those of the same build that they depend on."""
    by_name = {_name(name): name for name in built}
    found: dict[str, Path] = {}
    left = list(wanted)
    while left:
        name = by_name.get(_name(left.pop()))
        if name is not None and name not in found:
            found[name] = built[name]
            left += _depends(built[name].read_bytes())
    return found


def path_name(path: Path) -> str:
    """A module's name: its file's, without .ko and what it is packed with."""
    return _name(path.name.partition(".ko")[0])


def _name(text: str) -> str:
    """As the kernel has it: a dash in a file's name is an underscore."""
    return text.replace("-", "_")


class _Modules:
    """The project's modules and a kernel's own, which are looked for when one is asked for."""

    def __init__(self, directory: Callable[[], Path], ours: Mapping[str, bytes]) -> None:
        self.content = {name.removesuffix(".ko"): data for name, data in ours.items()}
        self._files = {_name(one): one for one in self.content}
        self._directory = directory

    def order(self, name: str) -> list[str]:
        """The files to load for a module, without .ko: what it depends on, then itself.

        Debian's packages hold no modules.dep: the `depends=` of each module is read.
        """
        order: list[str] = []

        def visit(one: str) -> None:
            file = self._file(_name(one))
            if file in order or (file not in self.content and _name(one) in self._builtin):
                return
            for other in _depends(self.content.get(file, b"")):
                visit(other)
            order.append(file)

        visit(name)
        return order

    def _file(self, name: str) -> str:
        """The name of a module's file; its content is there then, where somebody has it."""
        if name not in self._files:
            self._files[name] = name
            if path := self._paths.get(name):
                self.content[name] = _unpacked(path)
        return self._files[name]

    @functools.cached_property
    def _paths(self) -> dict[str, Path]:
        return {path_name(path): path for path in self._directory().rglob("*.ko*")}

    @functools.cached_property
    def _builtin(self) -> set[str]:
        listed = self._directory() / "modules.builtin"
        lines = listed.read_text().splitlines() if listed.exists() else []
        return {path_name(Path(line)) for line in lines}


def _depends(module: bytes) -> list[str]:
    """The `depends=` of .modinfo, which holds strings that end in NUL."""
    begin = module.find(b"\0depends=")
    if begin < 0:
        return []
    value = module[begin + len(b"\0depends=") :].partition(b"\0")[0].decode()
    return [name for name in value.split(",") if name]


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    try:
        return _UNPACK[path.suffix](content)
    except KeyError as error:
        raise LabError(f"unpacking {path}: what packs {path.suffix} is unknown here") from error
    except (OSError, EOFError, lzma.LZMAError, subprocess.CalledProcessError) as error:
        raise LabError(f"unpacking {path}: {error}") from error


def _zstd(content: bytes) -> bytes:
    """Python's own library has no zstd before 3.14."""
    if shutil.which("zstd") is None:
        raise OSError("the program zstd was not found; install Debian's package zstd")
    command = ["zstd", "-dcq"]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".ko": lambda content: content,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": _zstd,
}
