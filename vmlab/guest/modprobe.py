"""What a `modprobe` step needs in the program: modules, and the order in which they are loaded."""

import fnmatch
import functools
import gzip
import io
import lzma
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from vmlab.errors import LabError

DEPENDS = "depends"
REQUESTS = "requests"
OPTIONAL = "?"  # before a module whose refusal is not the end: guest/agent/modules.c reads it
# Where a module has another name by which it is asked for; all modules would be too many to read.
_ALIASED = ("crypto", "lib")

# Names by which a kernel asks for a module, and where modules with such names are.
_ASKED = {
    "fs-": ("fs",), "crypto-": ("crypto", "lib"), "net-": ("net",), "nf": ("net",), "ip": ("net",),
    "rtnl-link-": ("net", "drivers"), "tcp_": ("net",), "dm-": ("drivers",),
    "char-major-": (), "block-major-": (), "devname:": (),
}  # fmt: skip
_DEVICE = re.compile(r"[a-z0-9_]+:")  # pci:v00008086d..., of any bus
_ALLOCATES = b"crypto_alloc_"
_ALIAS = re.compile(rb"\0alias=([^\0]+)")
_ALGORITHM = re.compile(rb"\0alias=crypto-([\w-]+)\0")
_NAMED = re.compile(rb"[a-z][a-z0-9_]*(?:\([a-z0-9_(),-]*\))?")
_WORD = re.compile(rb"[a-z][a-z0-9_]*")
_REQUESTS = b"request_module\0"  # the symbol's end; it begins with __ since 2.6.30
_NAME = re.compile(rb"[A-Za-z0-9][\w-]+")
_ALLOC, _EXECUTED = 2, 4  # of a section's flags, SHF_ALLOC and SHF_EXECINSTR


def files(
    names: Iterable[str], directory: Callable[[], Path], ours: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Files for the modules to probe: those of the kernel's own that are needed, and DEPENDS.

    It says what to load for each, in order: nothing for a module that is built into the kernel. One
    that nobody has stands there without its file, and the guest finds it missing. REQUESTS says the
    same of what the project's modules may ask the kernel for while they run, and is there if one
    of them asks for any. `directory` gives lib/modules/ID; modules in `ours` are the project's.
    Raises LabError for what cannot be unpacked.
    """
    modules = _Modules(directory, ours)
    content: dict[str, bytes] = {}

    def listed(wanted: Iterable[str]) -> bytes:
        lines = []
        for name in wanted:
            order = modules.order(name)
            lines.append(" ".join([f"{name}:", *order]) + "\n")
            found = [one.removeprefix(OPTIONAL) for one in order]
            content.update(
                {f"{one}.ko": modules.content[one] for one in found if one in modules.content}
            )
        return "".join(lines).encode()

    if probed := listed(dict.fromkeys(names)):
        content[DEPENDS] = probed
    if asking := [data for data in ours.values() if _REQUESTS in data]:
        requested = {name for data in asking for name in _requested(data) if modules.has(name)}
        content[REQUESTS] = listed(sorted(requested))
    return {name: data for name, data in content.items() if name not in ours}


def closure(wanted: Iterable[str], built: Mapping[str, Path]) -> dict[str, Path]:
    """The wanted modules, and those of the same build that they depend on or may ask for."""
    by_name = {_name(name): name for name in built}
    found: dict[str, Path] = {}
    left = list(wanted)
    while left:
        name = by_name.get(_name(left.pop()))
        if name is not None and name not in found:
            found[name] = built[name]
            content = built[name].read_bytes()
            left += [*_depends(content), *sorted(_requested(content) & by_name.keys())]
    return found


def own_name(module: bytes) -> str:
    """The name by which a kernel knows a module; empty where it does not say (before 4.13)."""
    return _info(module, "name")


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
        self._ours = frozenset(self.content)
        self._directory = directory

    def order(self, name: str) -> list[str]:
        """The files to load for a module, without .ko: what it depends on, itself, what follows it.

        Debian's packages hold no modules.dep: the `depends=` of each module is read, and its
        `softdep=`, of which what nobody has is left out. What the module can do without has a `?`
        before it, as modprobe goes on where such a one is refused.
        """
        order: list[str] = []
        needed: set[str] = set()
        begun: set[tuple[str, bool]] = set()

        def visit(one: str, must: bool) -> None:
            file = self._file(_name(one))
            if file not in self.content and _name(one) in self._builtin:
                return
            if (file, must) in begun or (file, True) in begun:
                return
            begun.add((file, must))
            content = self.content.get(file, b"")
            asked = self._algorithms(content) if file in self._ours else []
            for other in (*self._soft(content, "pre:"), *asked):
                visit(other, False)
            for other in _depends(content):
                visit(other, must)
            if must:
                needed.add(file)
            if file not in order:
                order.append(file)
                for other in self._soft(content, "post:"):
                    visit(other, False)

        visit(self._named(name), True)
        return [one if one in needed else f"{OPTIONAL}{one}" for one in order]

    def has(self, name: str) -> bool:
        """Whether the project has a module of that name in a file, or the kernel, if it has any."""
        if _name(name) in self._files:
            return True
        try:
            return _name(name) in self._paths
        except LabError:  # it was added without its own modules
            return False

    def _named(self, name: str) -> str:
        """The module that is meant: the name itself, else the one that has it as an alias."""
        known = _name(name) in self._files or _name(name) in (self._paths.keys() | self._builtin)
        prefix = next((one for one in _ASKED if name.startswith(one)), None)
        if known or (prefix is None and not _DEVICE.match(name)):
            return name
        places = _ASKED.get(prefix or "", ())
        for own, alias in self._builtin_aliases:
            if fnmatch.fnmatchcase(name, alias):
                return own
        for one, path in sorted(self._paths.items()):
            if places and not self._is_in(path, places):
                continue
            texts = (text.decode(errors="replace") for text in _ALIAS.findall(_unpacked(path)))
            if any(fnmatch.fnmatchcase(name, text) for text in texts):
                return one
        return name

    @functools.cached_property
    def _builtin_aliases(self) -> list[tuple[str, str]]:
        """What is built in, by its other names; kernels tell since 5.2."""
        path = self._directory() / "modules.builtin.modinfo"
        texts = path.read_bytes().split(b"\0") if path.exists() else []
        pairs = (text.decode(errors="replace").partition(".alias=") for text in texts)
        return [(_name(own), alias) for own, found, alias in pairs if found]

    def _file(self, name: str) -> str:
        """The name of a module's file; its content is there then, where somebody has it."""
        if name not in self._files:
            self._files[name] = name
            if path := self._paths.get(name):
                self.content[name] = _unpacked(path)
        return self._files[name]

    def _soft(self, module: bytes, when: str) -> list[str]:
        """What a module wants to be there before it (`pre:`) or after, by the names that modules
        have."""
        words = _info(module, "softdep").split()
        wanted = words[words.index(when) + 1 :] if when in words else []
        found = []
        for name in wanted:
            if name.endswith(":"):
                break
            if _name(name) in self._paths or _name(name) in self._files:
                found.append(name)
            elif alias := self._aliased(name):
                found.append(alias)
        return found

    def _algorithms(self, module: bytes) -> list[str]:
        """The modules of algorithms that a module asks the kernel for by name while it runs.

        The kernel would ask for them when they are allocated. They are looked for among the
        strings of modules that allocate some: `ecb(aes)`, `md5`.
        """
        if _ALLOCATES not in module:
            return []
        named = (text for text in _strings(module) if _NAMED.fullmatch(text))
        words = {word.decode() for text in named for word in _WORD.findall(text)}
        return sorted({one for word in words if (one := self._crypto.get(word))})

    @functools.cached_property
    def _crypto(self) -> dict[str, str]:
        """The modules of algorithms that are for every processor, by the algorithms' names."""
        found: dict[str, str] = {}
        for name, path in self._paths.items():
            if path.relative_to(self._directory()).parts[:-1] == ("kernel", "crypto"):
                for alias in _ALGORITHM.findall(_unpacked(path)):
                    found.setdefault(alias.decode(), name)
        return found

    def _aliased(self, name: str) -> str | None:
        """A module that goes by another name; the one for every processor, where there are some."""
        wanted = {f"\0alias={one}\0".encode() for one in (name, f"crypto-{name}")}
        names = [
            one
            for one, path in self._paths.items()
            if self._is_in(path, _ALIASED) and any(text in _unpacked(path) for text in wanted)
        ]
        return min(names, key=lambda one: ("generic" not in one, one), default=None)

    def _is_in(self, path: Path, places: Iterable[str]) -> bool:
        """Whether a module is in one of these folders of a kernel's."""
        return not set(path.relative_to(self._directory()).parts[:-1]).isdisjoint(places)

    @functools.cached_property
    def _paths(self) -> dict[str, Path]:
        return {path_name(path): path for path in self._directory().rglob("*.ko*")}

    @functools.cached_property
    def _builtin(self) -> set[str]:
        listed = self._directory() / "modules.builtin"
        lines = listed.read_text().splitlines() if listed.exists() else []
        return {path_name(Path(line)) for line in lines}


def _depends(module: bytes) -> list[str]:
    return [name for name in _info(module, "depends").split(",") if name]


def _requested(module: bytes) -> set[str]:
    """What a module may ask the kernel to load while it runs: words among its strings.

    Names that it puts together first (`xt_%s`) are not among them, and most words are no names.
    """
    if _REQUESTS not in module:
        return set()
    return {text.decode() for text in _strings(module) if _NAME.fullmatch(text)}


def _strings(module: bytes) -> Iterator[bytes]:
    """What stands between NULs in the data of a module. Raises LabError for what is no ELF file."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        for section in ELFFile(io.BytesIO(module)).iter_sections():
            if section["sh_flags"] & (_ALLOC | _EXECUTED) == _ALLOC:
                yield from section.data().split(b"\0")
    except ELFError as error:
        raise LabError(f"reading a module's strings: {error}") from error


def _info(module: bytes, key: str) -> str:
    """A value of .modinfo, which holds strings that end in NUL; empty where it has none."""
    start = f"\0{key}=".encode()
    begin = module.find(start)
    if begin < 0:
        return ""
    return module[begin + len(start) :].partition(b"\0")[0].decode(errors="replace")


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
