"""Runs a kernel's own make, out of tree, so that equal inputs give equal files."""

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.build import kbuild, process
from vmlab.build.environment import environment
from vmlab.build.eras import Compiler
from vmlab.errors import UsageError, VmlabError

# Else time, user, host and the number of builds so far stand in the kernel's banner.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "2020-01-01 00:00:00 UTC",
    "KBUILD_BUILD_USER": "vmlab",
    "KBUILD_BUILD_HOST": "vmlab",
    "KBUILD_BUILD_VERSION": "1",
}
_NUMBERS = ("VERSION", "PATCHLEVEL", "SUBLEVEL")
_CCACHE_SIZE = "5G"
_LIMIT_S = 24 * 3600.0


class KernelBuildError(VmlabError):
    """The tree does not build; the message has the first error with its line."""

    def __init__(self, what: str, by_hand: str, said: str, hint: str = "") -> None:
        self.said = said
        more = f"\n{hint}" if hint else ""
        super().__init__(f"building {what}:\n{said}{more}\nagain by hand: {by_hand}")


@dataclass(frozen=True)
class Make:
    """One tree, one directory that is built in, one compiler."""

    tree: Path
    out: Path
    arch: Arch
    compiler: Compiler
    cross_compile: str
    ccache: Path | None  # where its files are, if it is here
    local: str = ""  # what the release ends in
    held: tuple[int, ...] = ()  # descriptors that say, while they are open, that it is at work
    hint: str = ""  # what may be wrong where a build fails, besides the tree

    def words(self, *targets: str) -> list[str]:
        """The command, fit to be pasted."""
        cc = f"ccache {self.compiler.words}" if self.ccache else self.compiler.words
        given = {
            "O": str(self.out),
            "ARCH": self.arch.name,
            "CC": cc,
            "HOSTCC": "gcc",
            **({"CROSS_COMPILE": self.cross_compile} if self.cross_compile else {}),
            **({"KCFLAGS": self._maps()} if self.compiler.maps else {}),
            **REPRODUCIBLE,
            "LOCALVERSION": self.local,
        }
        pairs = [f"{name}={value}" for name, value in given.items()]
        return ["make", "-C", str(self.tree), *pairs, f"-j{os.cpu_count() or 1}", *targets]

    def _maps(self) -> str:
        """Debug information and BUGs name a source by its place in the tree, wherever that is.

        The last map that fits counts.
        """
        maps = (f"{self.tree}=.", f"{self.tree}/=", f"{self.out}=.")
        return " ".join(f"-ffile-prefix-map={one}" for one in maps)

    def run(self, what: str, *targets: str) -> str:
        """Returns what make said. Raises KernelBuildError with its first error."""
        words = self.words(*targets)
        done = process.run(words, environment(**self._environment()), _LIMIT_S, self.held)
        log = self.out.with_name("build.log")
        log.write_text(f"{shlex.join(words)}\n{done.stdout}{done.stderr}")
        if done.returncode:
            said = kbuild.message(done, self.tree)
            raise KernelBuildError(what, shlex.join(words), said, self.hint)
        return done.stdout

    def _environment(self) -> dict[str, str]:
        if not self.ccache:
            return {}
        return {
            "CCACHE_DIR": str(self.ccache),
            "CCACHE_MAXSIZE": _CCACHE_SIZE,
            "CCACHE_BASEDIR": str(self.ccache.parent.parent),
            "CCACHE_NOHASHDIR": "1",
            "CCACHE_DEPEND": "1",  # else what is compiled for the first time is read twice
        }


def ccache() -> bool:
    return shutil.which("ccache") is not None


def number(tree: Path, source: str) -> tuple[int, ...]:
    """The release's numbers, from the Makefile of a source's tree.

    Raises UsageError where it names none.
    """
    makefile = tree / "Makefile"
    text = makefile.read_text(errors="replace") if makefile.is_file() else ""
    found = [re.search(rf"^{name}\s*=\s*(\d+)\s*$", text, re.MULTILINE) for name in _NUMBERS]
    if found[0] is None:
        lacks = "its Makefile has no line VERSION = NUMBER" if text else "it has no Makefile"
        raise UsageError(f"{source} is no kernel's source: {lacks}")
    return tuple(int(one[1]) for one in found if one)
