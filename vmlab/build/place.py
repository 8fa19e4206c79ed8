"""Where a folder's copy is built, and what its commands are told of the kernel."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.build import kbuild, makefile, tables
from vmlab.build.kbuild import ModuleBuildError, Tree
from vmlab.build.sandbox import Builder

if TYPE_CHECKING:
    from vmlab.build import dkms  # and where one is read: it brings a reader of shell's language

LOG = "build.log"
_MACHINES = {"i386": "i686"}  # as `uname -m` says it, where that is another word
_HERE = Path()
_PROGRAMS = "bin"  # in a build's directory: found before the host's
UNAME = """\
#!/bin/sh
# In a build the machine is the one that is built for.
case "$*" in
-r | --kernel-release) echo '{kernel}' ;;
-m | --machine | -p | -i) echo '{machine}' ;;
-rm | -mr) echo '{kernel} {machine}' ;;
-a | --all) echo 'Linux localhost {kernel} #1 SMP {machine} GNU/Linux' ;;
*) exec /bin/uname "$@" ;;
esac
"""


@dataclass(frozen=True)
class Place:
    """A build's kernel, the directory that it writes in, and what runs its commands."""

    tree: Tree
    directory: Path
    builder: Builder
    beside: tuple[Path, ...] = ()  # other packages' sources that its commands name

    def run(
        self, words: Sequence[str], work: Path, more: Mapping[str, str], top: Path | None = None
    ) -> None:
        """Runs a command in a folder of the directory, with variables more than builds have.

        `top` is the copy's folder where `work` is one below: messages name files from there.
        Raises ModuleBuildError.
        """
        top = top or work
        path = f"{self._programs()}:{self.builder.path()}"
        given = [f"{name}={value}" for name, value in {"PWD": work, "PATH": path, **more}.items()]
        words_there = ["env", "-C", str(work), *given, *words]
        done = tables.built(
            self.tree,
            lambda one: self.builder.run(one, self.directory, self.beside),
            words_there,
            top,
        )
        with (self.directory / LOG).open("a") as file:
            file.write(shlex.join(words) + "\n" + done.stdout + done.stderr)
        if done.returncode:
            said = kbuild.message(done, top) or f"status {done.returncode}"
            heard = "" if done.ended else done.stdout + done.stderr
            lines = kbuild.shortened(heard, top).splitlines()
            again = f"vmlab build --kernel {self.tree.id}"
            raise ModuleBuildError(self.tree.id, again, said, lines)

    def _programs(self) -> Path:
        """The directory of a `uname` that tells of the kernel that is built for."""
        path = self.directory / _PROGRAMS / "uname"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            target = target_of(self.tree)
            path.write_text(UNAME.format(kernel=target.kernel, machine=target.machine))
            path.chmod(0o755)
        return path.parent


def target_of(tree: Tree) -> "dkms.Target":
    """A kernel as a dkms.conf asks for it."""
    from vmlab.build import dkms

    return dkms.Target(tree.id, _MACHINES.get(tree.arch.name, tree.arch.name), tree.headers)


def command(tree: Tree, work: Path, below: Path = _HERE) -> list[str]:
    """What has kbuild build a folder, or one below it."""
    options = [f"{name}={value}" for name, value in makefile.options(work).items()]
    words = [*kbuild.command(tree, work), *options]
    return [f"M={work / below}" if one.startswith("M=") else one for one in words]


def makeflags(place: Place, work: Path) -> str:
    """The variables that a build needs for every make below a command, as that reads them.

    Compilers are one word: Makefiles give them on as `CC=$(CC)`, without quotes.
    """
    given = kbuild.variables(place.tree, work)
    given |= {name: _one_word(place, name.lower(), given[name]) for name in ("CC", "HOSTCC")}
    words = [
        re.sub(r"([\s\\])", r"\\\1", f"{name}={value}").replace("$", "$$")
        for name, value in given.items()
    ]
    return f"-j{os.cpu_count() or 1} -- {' '.join(words)}"


def _one_word(place: Place, name: str, words: str) -> str:
    """A program that is a command of several words."""
    if len(words.split()) < 2:
        return words
    path = place.directory / name
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return str(path)
