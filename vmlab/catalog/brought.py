"""Looks at a folder that a user brings as a kernel, and says all that is wrong with it."""

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab import bootable
from vmlab.arch import Arch
from vmlab.catalog import bzimage, intree, kconfig
from vmlab.errors import UsageError, reading

_BUILT = ("arch/x86/boot/bzImage", "arch/i386/boot/bzImage", "arch/x86_64/boot/bzImage")
_IMAGES = ("bzImage", "vmlinuz*", "boot/vmlinuz*")
# %s is the image's release: of several files the one of its name counts.
_CONFIGS = ("config", "config-%s", "boot/config-%s", "config-*", ".config", "boot/config-*",
            "build/.config")  # fmt: skip
_MAPS = ("System.map", "System.map-%s", "boot/System.map-%s", "System.map*", "boot/System.map*",
         "build/System.map")  # fmt: skip
# What the version magic is made from comes first: Debian's kernel.release is upstream's number.
_RELEASES = (
    ("include/generated/utsrelease.h", r'UTS_RELEASE "([^"]+)"'),
    ("include/linux/utsrelease.h", r'UTS_RELEASE "([^"]+)"'),  # up to 2.6.32
    ("include/linux/version.h", r'UTS_RELEASE "([^"]+)"'),  # up to 2.6.17
    ("include/config/kernel.release", r"(\S+)"),
    (".kernelrelease", r"(\S+)"),  # 2.6.15 to 2.6.19
)
# What a configuration says of the compiler that read it, and of the name that the kernel got.
_OF_THE_BUILD = re.compile(
    r"(CC|GCC|CLANG|AS|LD|LLD|RUSTC?|BINDGEN|PAHOLE|TOOLS_SUPPORT|BUILD_SALT|LOCALVERSION)(_.*)?"
)
RELEASES = tuple(name for name, _ in _RELEASES)
_COMPILED = ("include/generated/compile.h", "include/linux/compile.h")
# kconfig's head of a configuration; up to 2.6.37 the second.
_CONFIG_OF = re.compile(
    r"^# (?:Linux/\S+ (\d[\d.]*)\S* Kernel Configuration|Linux kernel version: (\d[\d.]*))",
    re.MULTILINE,
)
_OF_A_WHOLE_TREE = ("Makefile", "Kbuild", "scripts", "include", "arch", "lib", "drivers")
_WHOLE = re.compile(r"^EXTRAVERSION\b", re.MULTILINE)


@dataclass(frozen=True)
class Brought:
    """A folder's parts, of one kernel."""

    folder: Path
    image: Path
    config: Path
    system_map: Path | None
    tree: Path | None  # what modules are built against
    release: str
    arch: Arch
    origin: str = ""  # where the folder came from, if not from the user
    modules: Path | None = None  # the kernel's own: as in packages, or the tree that has them

    @property
    def number(self) -> tuple[int, ...]:
        """The numbers that the release begins with."""
        found = re.match(r"\d+(\.\d+)*", self.release)
        return tuple(int(part) for part in found[0].split(".")) if found else ()

    @property
    def copied(self) -> bool:
        """Whether the tree is whole, so that a copy of it serves as well.

        Packages of headers and trees built with O= name other directories, in their Makefile or by
        links (Ubuntu's).
        """
        if self.tree is None or any(_leads_out(self.tree, name) for name in _OF_A_WHOLE_TREE):
            return False
        return bool(_WHOLE.search(_text(self.tree / "Makefile")))

    @property
    def built_with(self) -> str:
        """The compiler that the kernel was built with, in its own words; empty where unknown."""
        for name in _COMPILED if self.tree else ():
            assert self.tree
            if found := re.search(r'LINUX_COMPILER "([^"]+)"', _text(self.tree / name)):
                return found[1]
        return kconfig.read(self.config).get("CC_VERSION_TEXT", "").strip('"')

    @property
    def differing(self) -> list[str]:
        """The options that the kernel's configuration and that of its tree say otherwise."""
        if self.tree is None or not (self.tree / ".config").is_file():
            return []
        one, other = kconfig.read(self.config), kconfig.read(self.tree / ".config")
        names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
        return [f"CONFIG_{name}" for name in names if not _OF_THE_BUILD.fullmatch(name)]


def look(folder: Path, wanted: str | None = None) -> Brought:
    """Raises UsageError with all that is wrong with the folder, a line for each.

    Of several kernels `wanted` names one, by its release or a glob.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no directory; {_WANTED}")
    with reading(folder):
        return _looked(folder, wanted)


def _looked(folder: Path, wanted: str | None) -> Brought:
    built = _first(folder, _BUILT)
    _check_readable([built] if built else list(_files(folder, _IMAGES)))
    image, release = _meant(folder, [built] if built else _images(folder), wanted)
    config = _first(folder, (".config",) if built else (), release) or _first(
        folder, _CONFIGS, release
    )
    if config is None:
        raise UsageError(
            f"{folder} holds no config; take it from the box's /boot/config-* or "
            "/proc/config.gz (unpacked), or the tree's .config"
        )
    system_map = _map(folder, release)
    tree = folder if (folder / "Makefile").is_file() else folder / "build"
    _check_readable([config, *([system_map] if system_map else []), tree])
    _check_readable([tree / name for name in ("Makefile", "Module.symvers", ".config")])
    made = _parts(folder, image, config, system_map, tree, release)
    if wrong := _problems(made):
        raise UsageError(
            "\n".join([f"{folder}: the kernel {made.release} cannot be added:", *wrong])
        )
    return made


def _images(folder: Path) -> list[Path]:
    """Its bootable files, each once."""
    paths = list({path.resolve(): path for path in _files(folder, _IMAGES)}.values())
    if not paths:
        build = f"; `vmlab kernels build {folder}` builds and adds it" if _is_source(folder) else ""
        raise UsageError(f"{folder} holds neither bzImage nor vmlinuz; {_WANTED}{build}")
    return [path for path in paths if bootable.release(path) is not None] or paths


def _meant(folder: Path, images: Sequence[Path], wanted: str | None) -> tuple[Path, str]:
    """The image that is meant, with its release."""
    found = [(path, bzimage.release(path)) for path in images]
    meant = [one for one in found if fnmatch.fnmatch(one[1], wanted or "*")]
    if len({release for _, release in meant}) != 1:
        names = ", ".join(f"{release} ({path.name})" for path, release in found)
        raise UsageError(f"{folder} holds the kernels {names}; name one of them with --release")
    return meant[0]


_WANTED = (
    "a kernel's folder has bzImage, config, System.map and build/, or is a built tree, or has "
    "its packages (.deb, .rpm)"
)


def _is_source(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("Makefile", "Kconfig"))


def _check_readable(paths: Sequence[Path]) -> None:
    if closed := [str(path) for path in paths if _closed(path)]:
        raise UsageError(
            f"{', '.join(closed)} cannot be read (some distributions keep it for root): `sudo "
            f"chmod -R a+rX {' '.join(closed)}`"
        )


def _closed(path: Path) -> bool:
    return os.path.exists(path) and not os.access(path, os.R_OK | (path.is_dir() and os.X_OK))


def _parts(
    folder: Path, image: Path, config: Path, system_map: Path | None, tree: Path, release: str
) -> Brought:
    arch = kconfig.arch(kconfig.read(config))
    if arch is None:
        raise UsageError(f"{config} is of another architecture than x86; there are i386, x86_64")
    if tree.is_symlink() and not tree.exists():
        raise UsageError(
            f"{tree} is a link to {tree.readlink()}, which is not here: copy the tree itself, on "
            "the box (`cp -a build/. ...`), or take the link away where no modules are wanted"
        )
    return Brought(
        folder, image, config, system_map, tree if tree.is_dir() else None,
        release, arch, modules=_modules(folder),
    )  # fmt: skip


def _map(folder: Path, release: str) -> Path | None:
    """Its System.map; none of a file that is named by another release."""
    named = [pattern.replace("%s", glob.escape(release)) for pattern in _MAPS]
    other = re.compile(rf"System\.map-(?!{re.escape(release)}$)\d")
    return next((one for one in _files(folder, named) if not other.match(one.name)), None)


def _leads_out(tree: Path, name: str) -> bool:
    path = tree / name
    return path.is_symlink() and not path.resolve().is_relative_to(tree.resolve())


def _modules(folder: Path) -> Path | None:
    found = folder / "modules"
    if (found / intree.FOLDER).is_dir():
        return found.resolve()
    return folder.resolve() if intree.is_tree(folder) else None


def _problems(made: Brought) -> list[str]:
    wrong = kconfig.problems(kconfig.read(made.config), made.number)
    of = _CONFIG_OF.search(_text(made.config))
    if of and _series(of[1] or of[2]) != _series(made.release):
        wrong.append(f"{made.config} is of {of[1] or of[2]}, and the kernel is {made.release}")
    if made.arch.name == "i386" and bootable.for_64_bits(made.image):
        wrong.append(f"{made.config} is of {made.arch.name}, and {made.image} of x86_64")
    return [f"  {one}" for one in [*wrong, *(_tree_problems(made.tree, made) if made.tree else [])]]


def _tree_problems(tree: Path, made: Brought) -> list[str]:
    wrong = []
    if not (tree / "Makefile").is_file():
        wrong.append(f"{tree} holds no Makefile: it is no tree that modules are built against")
    if not (tree / "Module.symvers").is_file():
        wrong.append(
            f"{tree} holds no Module.symvers, which names what the kernel exports: run "
            f"`make ARCH={made.arch.name} modules` in the tree that the kernel was built in"
        )
    configured = (
        kconfig.arch(kconfig.read(tree / ".config")) if (tree / ".config").exists() else None
    )
    if configured not in (None, made.arch):
        assert configured
        wrong.append(f"{tree} is of {configured.name}, and the kernel of {made.arch.name}")
    if (other := _release(tree)) not in (None, made.release):
        wrong.append(f"{tree} is of {other}, and the kernel {made.release}: it refuses its modules")
    return wrong


def _release(tree: Path) -> str | None:
    for name, pattern in _RELEASES:
        if found := re.search(pattern, _text(tree / name)):
            return found[1]
    return None


def _series(release: str) -> tuple[str, ...]:
    """What distributions leave as it was in a release's numbers: 2.6.32, 6.1."""
    numbers = re.findall(r"\d+", release)
    return tuple(numbers[: 3 if numbers[:1] == ["2"] else 2])


def _first(folder: Path, patterns: tuple[str, ...], release: str = "") -> Path | None:
    named = [pattern.replace("%s", glob.escape(release)) for pattern in patterns]
    return next(_files(folder, named), None)


def _files(folder: Path, patterns: Iterable[str]) -> Iterator[Path]:
    paths = (path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return (path for path in paths if path.is_file())


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""
