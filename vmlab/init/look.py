"""Looks at a folder: what modules are in it, and how they are built. Runs nothing of it."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from vmlab.build import dkms, makefile
from vmlab.build.whole import Way
from vmlab.errors import UsageError
from vmlab.init import meson
from vmlab.init.csource import Sources, is_module, is_program, sources
from vmlab.init.order import linked, order

_MOST = 20_000  # files
_MANY_FILES = 500  # of one module
_OF_A_KERNEL = ("Kconfig", "Makefile", "init/main.c", "kernel/sched", "mm")
_KERNEL = """\
{folder} is a kernel's own source tree: `vmlab kernels build {folder}` makes a kernel of it, whose \
modules a `modprobe:` step loads; go to the folder of a module of your own for `vmlab init`"""
_SUFFIXES = (".c", ".S", ".o_shipped", ".rs")
MANY = 16  # modules that a guest of the usual size holds
_NOTHING = """\
no kernel module was found in {folder}: no dkms.conf, no Kbuild or Makefile with obj-m, no \
meson.build with a target of one, and no C file with MODULE_LICENSE; go to the folder that holds \
the module's sources"""


@dataclass(frozen=True)
class Module:
    """`always` is false where only some kernels can have it; `linked` is one that uses symbols of
    others in the folder, or gives them some."""

    name: str
    always: bool
    sources: Sources
    linked: bool = False


@dataclass(frozen=True)
class Understood:
    """A folder's modules in the order in which they are loaded; `notes` are for the author."""

    folder: Path
    way: Way
    modules: tuple[Module, ...]
    notes: tuple[str, ...] = ()
    kbuild: str = ""  # a Kbuild file to write, where there is none
    read: str = ""  # the file that said so
    inner: Path = Path()  # from the folder: where the modules are

    @property
    def together(self) -> list[Module]:
        """Those that one run loads."""
        return [one for one in self.modules if one not in self.apart]

    @cached_property
    def apart(self) -> list[Module]:
        """Those with a run each: what became of one says nothing of another then.

        These only some kernels have, or they may lack a device, or they are very many and no
        package.
        """
        alone = [
            one for one in self.modules if one.always and not (one.linked or one.sources.stays)
        ]
        many = len(alone) > MANY and self.way != "dkms"
        parted = [one for one in alone if many or one.sources.may_lack_a_device]
        return [
            one
            for one in self.modules
            if not one.always or (one in parted and len(self.modules) > 1)
        ]


@dataclass
class _Found:
    way: Way
    read: str
    names: list[tuple[str, bool]]
    paths: dict[str, tuple[Path, ...]]
    notes: list[str] = field(default_factory=list)
    kbuild: str = ""


def look(folder: Path) -> Understood:
    """Raises UsageError where there is no module to be found."""
    _check(folder)
    if (inner := _with_dkms(folder)) and inner != folder:
        name, within = inner.relative_to(folder), look(inner)
        return replace(within, folder=folder, inner=name, read=f"{name}/{within.read}")
    notes: list[str] = []
    found = _dkms(folder, notes) or _kbuild(folder) or _meson(folder) or _plain(folder)
    if found is None:
        raise UsageError("\n".join([*notes, _NOTHING.format(folder=folder)]))
    known = {name: sources(_files(folder, found, name)) for name, _ in found.names}
    always = dict(found.names)
    exports = {name: one.exports for name, one in known.items()}
    words = {name: one.words for name, one in known.items()}
    ordered = order(list(always), exports, words)
    tied = linked(ordered, exports, words)
    modules = tuple(Module(name, always[name], known[name], name in tied) for name in ordered)
    said = (*notes, *found.notes, *_twice_exported(exports))
    return Understood(folder, found.way, modules, said, found.kbuild, found.read)


def _twice_exported(exports: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Of each two modules that export one symbol, that they do."""
    for one, other in itertools.combinations(exports, 2):
        if both := exports[one] & exports[other]:
            yield (
                f"{one} and {other} both export {_listed(sorted(both))}: the kernel refuses the "
                "second where both are loaded"
            )


def _check(folder: Path) -> None:
    """Raises UsageError for what holds far more than somebody's modules."""
    if all((folder / name).exists() for name in _OF_A_KERNEL):
        raise UsageError(_KERNEL.format(folder=folder))
    count = 0
    for _, _, files in os.walk(folder):
        count += len(files)
        if count > _MOST:
            raise UsageError(
                f"{folder} holds more than {_MOST} files; go to the folder that holds the "
                "module's sources, and no more"
            )


def _with_dkms(folder: Path) -> Path | None:
    """The folder with the sources and a dkms.conf: this one, or the only one below."""
    if (folder / dkms.FILE).is_file():
        return folder
    below = [
        path.parent
        for pattern in (f"*/{dkms.FILE}", f"*/*/{dkms.FILE}")
        for path in folder.glob(pattern)
        if any((path.parent / name).is_file() for name in makefile.FILES)
    ]
    return below[0] if len(below) == 1 else None


def _dkms(folder: Path, notes: list[str]) -> _Found | None:
    if not (folder / dkms.FILE).is_file():
        return None
    try:
        listed = dkms.listed(folder)
    except dkms.ConfError as error:
        notes.append(str(error))
        return None
    if not listed:
        notes.append(f"{dkms.FILE} names no module")
        return None
    paths = _paths(folder)
    names = list(dict.fromkeys((one.name, one.always) for one in listed))
    for name in [name for name, _ in names if name not in paths]:
        if found := _named(folder, name):
            paths[name] = (found,)
    lost = [name for name, _ in names if name not in paths]
    told = [f"no Kbuild file read here says what {', '.join(lost)} is made of"] if lost else []
    if wanted := dkms.depends(folder):
        told.append(f"needs {', '.join(wanted)} (BUILD_DEPENDS), looked for beside this folder")
    return _Found("dkms", dkms.FILE, names, paths, told)


def _kbuild(folder: Path) -> _Found | None:
    every = makefile.modules(folder)
    made = [one for one in every if not _lacks_sources(folder, one)] or every
    if not made:
        return None
    names = [(one.name, one.option is None) for one in made]
    files = sorted({str(_file(folder, one.folder)) for one in made})
    notes = [
        f"left out {one.name}: {_file(folder, one.folder)} makes it of "
        f"{_listed([path.name for path in one.sources])}, and there is no such file"
        for one in every
        if one not in made
    ]
    return _Found("kbuild", _listed(files), names, _paths(folder), notes)


def _lacks_sources(folder: Path, module: makefile.Made) -> bool:
    """Whether none of a module's files is there, nor named by its Kbuild file, which may make it:
    a `configure` tries its compiler on such ones."""
    said = (folder / _file(folder, module.folder)).read_text(errors="replace")
    for path in module.sources:
        there = any((folder / path).with_suffix(one).exists() for one in _SUFFIXES)
        if there or "$" in str(path) or path.name in said:
            return False
    return bool(module.sources)


def _paths(folder: Path) -> dict[str, tuple[Path, ...]]:
    return {
        one.name: tuple(folder / path for path in one.sources) for one in makefile.modules(folder)
    }


def _files(folder: Path, found: _Found, name: str) -> Sequence[Path]:
    """A module's C files; where no Kbuild file read here names one that is there, and there is no
    other module that they could be of, all that its folder has."""
    named = found.paths.get(name, ())
    if any(path.is_file() for path in named):
        return named
    if len(found.names) > 1:
        places = {one.name: one.folder for one in makefile.modules(folder)}
        own = places.get(name)
        if own is None or any(
            one.is_relative_to(own) for other, one in places.items() if other != name
        ):
            return named
        folder = folder / own
    every = sorted(path for path in folder.rglob("*.c") if not path.name.endswith(".mod.c"))
    return [] if len(every) > _MANY_FILES else [one for one in every if not is_program(one)]


def _named(folder: Path, name: str) -> Path | None:
    """The C file that has a module's name, where no Kbuild file that is read here tells."""
    return next(iter(sorted(folder.rglob(f"{name}.c"))), None)


def _file(folder: Path, where: Path) -> Path:
    return next(where / name for name in makefile.FILES if (folder / where / name).is_file())


def _meson(folder: Path) -> _Found | None:
    """Targets of meson.build, for which a Kbuild is written: meson itself is not run."""
    found = meson.targets(folder)
    if not found:
        return None
    kbuild, paths, notes = "", {}, []
    for one in found:
        files = [path.relative_to(folder) for path in one.sources]
        # kbuild knows no module that is named as one of its several files are.
        clash = len(files) > 1 and f"{one.name}.c" in map(str, files)
        name = f"{one.name}_module" if clash else one.name
        kbuild += f"obj-m += {name}.o\n"
        if [str(path) for path in files] != [f"{name}.c"]:
            kbuild += f"{name}-y := {' '.join(str(path.with_suffix('.o')) for path in files)}\n"
        paths[name] = one.sources
        notes.append(f"{name} is made of {_listed([str(path) for path in files])}")
    names = [(name, True) for name in paths]
    return _Found("kbuild", meson.FILE, names, paths, notes, kbuild)


def _plain(folder: Path) -> _Found | None:
    """C files without a Kbuild: each that says MODULE_LICENSE is a module.

    Where there is only one, the others that are no programs are parts of it.
    """
    files = sorted(path for path in folder.glob("*.c") if not path.name.endswith(".mod.c"))
    mains = [path for path in files if is_module(path)]
    if not mains:
        return None
    parts = [path for path in files if path not in mains and not is_program(path)]
    paths: dict[str, tuple[Path, ...]] = {path.stem: (path,) for path in mains}
    kbuild = "".join(f"obj-m += {path.stem}.o\n" for path in mains)
    notes = []
    if len(mains) == 1 and parts:
        # kbuild knows no module that is named as one of its several files are.
        name = f"{mains[0].stem}_module"
        paths = {name: (mains[0], *parts)}
        objects = " ".join(f"{path.stem}.o" for path in (mains[0], *parts))
        kbuild = f"obj-m += {name}.o\n{name}-y := {objects}\n"
        notes = [f"{name} is made of {_listed([path.name for path in paths[name]])}"]
    elif parts:
        notes = [f"not built, for they say no MODULE_LICENSE: {_listed([p.name for p in parts])}"]
    names = [(name, True) for name in paths]
    return _Found("kbuild", _listed([p.name for p in mains]), names, paths, notes, kbuild)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
