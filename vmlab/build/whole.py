"""Builds a folder of somebody's as a whole: with its Kbuild, or as its dkms.conf says."""

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vmlab.build import again, copies, faulty, kbuild, makefile
from vmlab.build.kbuild import ModuleBuildError, Tree
from vmlab.build.place import LOG, Place, command, makeflags, target_of
from vmlab.build.process import LIMIT_S
from vmlab.build.sandbox import HERE, Builder
from vmlab.cache import content_key
from vmlab.catalog import Unavailable

if TYPE_CHECKING:
    from vmlab.build import dkms  # and where one is read: it brings a reader of shell's language

Way = Literal["apart", "kbuild", "dkms"]
_STRIPPED = 8 << 20  # bytes; larger modules lose their debug information, as with DKMS all do
_RECIPE = (  # of each name
    "whole: settled, own options and headers, without the faulty, again, uname; of a dkms.conf "
    f"what it names, cc of one word; strip {_STRIPPED}"
)
_FAILED = ".failed"
_KEPT = (".ko", ".gcno", LOG, "Module.symvers", _FAILED)
_NO_LOG = Path(os.devnull)


class NotForKernel(Unavailable):
    """A module that cannot exist on a kernel; the message says why. No fault of anybody's."""


@dataclass(frozen=True)
class Folder:
    """What is built: a directory, how, and what in it is none of the modules'."""

    path: Path
    way: Way
    left_out: tuple[Path, ...] = ()
    limit_s: float = LIMIT_S  # for each command of a build

    def files(self) -> dict[str, bytes]:
        return copies.contents(self.path, self.left_out)


def key(tree: Tree, folder: Folder, files: Mapping[str, bytes], compiler: str) -> str:
    """The name of a build. It holds all modules of the folder, whichever are wanted.

    Raises what `needs` raises.
    """
    recipe: tuple[str, ...] = (
        tree.version,
        compiler,
        folder.way,
        makefile.SETTLING,
        *kbuild.command(tree, Path("/")),
        *(makefile.options(folder.path) if folder.way == "kbuild" else ()),
    )
    modes = [str((folder.path / name).stat().st_mode & 0o111) for name in sorted(files)]
    parts = [part for name in sorted(files) for part in (name.encode(), files[name])]
    if folder.way == "dkms":
        conf = conf_of(folder, tree)
        recipe += (conf.make, conf.pre_build, *conf.patches)
        for path in (*needs(tree, folder), *dkms_named(folder, conf)):
            other = replace(folder, path=path).files()
            parts += [part for name in sorted(other) for part in (name.encode(), other[name])]
    return f"{tree.id}-{content_key(_RECIPE, *recipe, *modes, *parts)}"


def build(
    tree: Tree, folder: Folder, files: dict[str, bytes], directory: Path, builder: Builder = HERE
) -> None:
    """Builds in a copy below `directory`, and leaves the modules there and build.log.

    Raises NotForKernel, and ModuleBuildError with the compiler's words.
    """
    with kbuild.alone(tree):
        way = {"kbuild": _kbuild, "dkms": _dkms}[folder.way]
        way(Place(tree, directory, builder), folder, files)
    for path in directory.rglob("*.ko"):
        if path.stat().st_size > _STRIPPED:
            builder.run(["objcopy", "--strip-debug", str(path)], directory)
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif not path.name.endswith(_KEPT):
            path.unlink()


def _kbuild(place: Place, folder: Folder, files: dict[str, bytes]) -> None:
    """At once what kbuild can build so; what it cannot each by itself, as its author does."""
    target = target_of(place.tree)

    def fresh(work: Path) -> None:
        copies.copy(folder.path, files, work)
        makefile.settle(work, target.kernel, target.machine, target.headers)

    work = place.directory / "build"
    fresh(work)
    roots = makefile.roots(work)
    if roots and Path() not in roots:
        (work / "Kbuild").write_text("".join(f"obj-m += {root}/\n" for root in roots))
    try:
        lost = _together(place, work)
        left = again.build(place, fresh, lost) if lost else {}
    except ModuleBuildError as error:
        if not error.lines:  # the lab ended it
            raise
        every = {one.name: error for one in makefile.modules(work)}
        shutil.rmtree(work)  # what is in it is of a build that failed as a whole
        left = again.build(place, fresh, every)
        if not kbuild.modules(place.directory / again.NAME):
            raise next(iter(left.values()), error) from error
    for name, why in left.items():
        if why.said:
            (place.directory / f"{name}{_FAILED}").write_text(why.said)


def _together(place: Place, work: Path) -> dict[str, ModuleBuildError]:
    """Builds all modules of a folder, after the headers that the author's make would make first;
    returns those that did not build, of several."""
    words = [*command(place.tree, work), f"-j{os.cpu_count() or 1}"]
    made = set()
    while True:
        try:
            place.run(words, work, {})
            return _not_left(place, work)
        except ModuleBuildError as error:
            lacking = faulty.to_make(error.said, work)
            if lacking is None or lacking in made:
                return _but_the_faulty(place, words, work, error)
            made.add(lacking)
            flags = {"MAKEFLAGS": makeflags(place, work)}
            place.run(["make", lacking[1]], lacking[0], flags, work)


def _not_left(place: Place, work: Path) -> dict[str, ModuleBuildError]:
    """Modules that a build that did not fail has not made, and that no option of the kernel's is
    asked about: their author's make may say more."""
    made = kbuild.modules(work)
    lost = [one.name for one in makefile.modules(work) if not one.option and one.name not in made]
    return {name: ModuleBuildError(place.tree.id, "", "") for name in lost}


def _but_the_faulty(
    place: Place, words: Sequence[str], work: Path, first: ModuleBuildError
) -> dict[str, ModuleBuildError]:
    """Builds the others of several modules where some do not build, and returns these.

    Raises what failed first where none is left. What the lab ended is not tried again.
    """
    left = makefile.modules(work)
    several = len(left) > 1
    lost: dict[str, ModuleBuildError] = {}
    while left and several and first.lines:
        try:
            place.run([*words, "-k"], work, {})
            return lost
        except ModuleBuildError as error:
            found = faulty.modules(error.lines, left)
        if not found:
            break
        for one in [one for one in left if one.name in found]:
            faulty.leave_out(work, one)
            said = found[one.name]
            lost[one.name] = ModuleBuildError(place.tree.id, "", said, said.splitlines())
            left.remove(one)
    raise first


def by_hand(tree: Tree, folder: Folder) -> str:
    """What builds a folder with its Kbuild where it stands, as it can be pasted into a shell."""
    return shlex.join(command(tree, folder.path))


def _dkms(place: Place, folder: Folder, files: dict[str, bytes]) -> None:
    """What others it needs first (BUILD_DEPENDS), then the folder itself."""
    named = {
        one.name
        for path in needs(place.tree, folder)
        for one in _dkms_one(place, replace(folder, path=path), None)
    }
    named |= {one.name for one in _dkms_one(place, folder, files)}
    for path in place.directory.rglob("*.ko"):
        if path.stem not in named:  # DKMS would not install it
            path.unlink()


def needs(tree: Tree, folder: Folder) -> list[Path]:
    """The folders of the packages that are built before one, in their order.

    Raises NotForKernel where one of them is not there.
    """
    from vmlab.build import dkms

    order: list[Path] = []
    begun: set[Path] = set()

    def visit(path: Path) -> None:
        if path in begun:
            return
        begun.add(path)
        for name in conf_of(replace(folder, path=path), tree).depends:
            other = dkms.beside(path, name)
            if other is None:
                raise NotForKernel(
                    f"{tree.id}: dkms.conf: BUILD_DEPENDS={name}, and there is no {name}-VERSION "
                    f"with a {dkms.FILE} beside {path.name}"
                )
            visit(other)
        order.append(path)

    visit(folder.path.resolve())
    return order[:-1]


def _dkms_one(
    place: Place, folder: Folder, files: dict[str, bytes] | None
) -> "tuple[dkms.Built, ...]":
    from vmlab.build import dkms

    files = folder.files() if files is None else files
    tree, directory = place.tree, place.directory
    target = target_of(tree)
    conf = conf_of(folder, tree)
    if conf.excluded:
        raise NotForKernel(f"{tree.id}: {conf.excluded}")
    place = replace(place, beside=tuple(dkms_named(folder, conf)))
    symbols = " ".join(map(str, sorted(directory.rglob("Module.symvers"))))
    work = directory / conf.name / conf.version / "build"
    copies.copy(folder.path, files, work)
    env = {**dkms.variables(conf, directory, target), "MAKEFLAGS": makeflags(place, work)}
    if symbols:
        env["KBUILD_EXTRA_SYMBOLS"] = symbols
    for patch in conf.patches:
        place.run(["patch", "-p1", "--batch", "-i", f"patches/{patch}"], work, {})
    makefile.settle(work, target.kernel, target.machine, target.headers)
    if conf.pre_build:
        place.run(["bash", "-c", f"./{conf.pre_build}"], work, env)
    command = dkms.placed(conf.make, directory, target, conf, folder.path)
    place.run(["bash", "-c", command], work, env)
    return conf.built


def dkms_named(folder: Folder, conf: "dkms.Conf") -> list[Path]:
    """The folders beside one that its commands name, as where packages' sources are installed."""
    from vmlab.build import dkms

    return dkms.named(folder.path, f"{conf.make} {conf.pre_build}", conf)


def conf_of(folder: Folder, tree: Tree) -> "dkms.Conf":
    """What dkms.conf says for a kernel. Raises ModuleBuildError where it is not read."""
    from vmlab.build import dkms

    try:
        return dkms.read(folder.path, target_of(tree))
    except (dkms.ConfError, re.error) as error:
        raise ModuleBuildError(tree.id, f"dkms build {folder.path}", str(error)) from error


def missing(
    tree: Tree, folder: Folder, name: str, built: Sequence[str], log: Path = _NO_LOG
) -> Exception:
    """Why a build left no module of this name: the kernel cannot have it, or the build is bad."""
    if folder.way == "dkms":
        if name not in {one.name for one in conf_of(folder, tree).built}:
            return NotForKernel(f"{tree.id}: dkms.conf builds no {name} for this kernel")
    elif option := makefile.option(folder.path, name):
        config = target_of(tree).config()
        if config.get(option) not in ("y", "m"):
            return NotForKernel(f"{tree.id}: {name} is built with {option}, and that is not set")
    failed = log.with_name(f"{name}{_FAILED}")
    if failed.is_file():
        return ModuleBuildError(tree.id, by_hand(tree, folder), failed.read_text())
    said = f"no {name}.ko was left; there are: {', '.join(sorted(built)) or 'none'}"
    if complaints := kbuild.errors(log):
        said += f"\nits build came to its end, and says:\n{complaints}"
    by = f"vmlab build --kernel {tree.id}" if folder.way == "dkms" else by_hand(tree, folder)
    return ModuleBuildError(tree.id, by, said)
