"""Builds modules out of tree with a kernel's own kbuild, in a copy of their sources."""

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.build import eras, tables
from vmlab.build.environment import environment
from vmlab.build.process import Done
from vmlab.build.sandbox import HERE, Builder
from vmlab.cache import content_key
from vmlab.errors import VmlabError

_ERROR = re.compile(r"(?:error|fatal error|ERROR|FATAL|undefined!?)\b|\*\*\*|: not found$")
_COPY = re.compile(r"[^\s'=]*/\.making-[^\s']*?/build/")  # where a folder's copy was built
_SOURCES = ("*.c", "*.h", "*.S", "Kbuild", "Makefile", "*.lds")
_MESSAGE_LINES = 30
_LAST_LINES = 5  # of a build that the lab ended
# What the kernel's configuration asks for, and this host cannot give or nothing here reads.
_INSTEAD = {
    "CONFIG_DEBUG_INFO_BTF_MODULES": "",  # it would need pahole, and nothing here reads it
    "PAHOLE_VERSION": "$(CONFIG_PAHOLE_VERSION)",  # else 7.0 warns that it is another, or none
    # -fmin-function-alignment is gcc's since 14; kbuild falls back to -falign-functions, which
    # leaves out cold functions. Others of the kind stand in catalog/headers.py.
    "CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT": "",
}


class ModuleBuildError(VmlabError):
    """The compiler or modpost refused a module; the message is theirs, with the source line."""

    def __init__(self, kernel: str, by_hand: str, said: str, lines: Sequence[str] = ()) -> None:
        self.kernel = kernel
        self.by_hand = by_hand
        self.said = said
        self.lines = lines  # all that was said
        super().__init__(f"building for {kernel}:\n{said}\nagain by hand: {by_hand}")


@dataclass(frozen=True)
class Tree:
    """A kernel that modules can be built against."""

    id: str  # its release
    arch: Arch
    headers: Path  # what `make -C` is given
    version: str  # of the headers' package
    compiler: str = ""  # make's CC; the host's gcc without
    cross_compile: str = ""
    maps: bool = True  # whether the compiler can leave out the directory of a build
    number: tuple[int, ...] = ()  # of a kernel whose kbuild may be of another era
    locked: bool = False  # kbuild may write into the tree: one build at a time
    profiled: bool = False  # whether modules count which of their lines run


def command(tree: Tree, directory: Path) -> list[str]:
    """The command that builds the modules in a directory.

    What it makes does not depend on where it is made: debug information names the sources relative
    to the directory, and the headers by their place on an installed system.
    """
    return [
        "make", "-C", str(tree.headers), f"M={directory}",
        *(f"{name}={value}" for name, value in variables(tree, directory).items()),
        "modules",
    ]  # fmt: skip


def variables(tree: Tree, directory: Path) -> dict[str, str]:
    """The make variables of every build for a kernel."""
    host = f"gcc {tree.arch.gcc_flag}"
    given = {"ARCH": tree.arch.name, "CC": tree.compiler or host, "HOSTCC": host}
    if tree.number or tree.cross_compile:  # a brought tree may name one of its own
        given["CROSS_COMPILE"] = tree.cross_compile
    if tree.maps:
        given["KCFLAGS"] = _maps(tree, directory)
    if tree.profiled:
        given["GCOV_PROFILE"] = "y"
    return {**given, **_INSTEAD}


def _maps(tree: Tree, directory: Path) -> str:
    """The last map that fits counts; the first is for the directory itself, where kbuild runs the
    compiler since 6.13."""
    installed = tree.headers if tree.number else tree.headers.parent.parent.parent
    maps = (f"{directory}=.", f"{directory}/=", f"{installed}/=/")
    return " ".join(f"-ffile-prefix-map={one}" for one in maps)


def by_hand(tree: Tree, source: Path, wanted: Sequence[str]) -> str:
    """What builds the wanted modules where their sources stand, as it can be pasted into a shell.

    Without a Kbuild of its own a source directory is built module by module.
    """
    if any((source / name).is_file() for name in ("Kbuild", "Makefile")):
        return shlex.join(command(tree, source))
    commands, symbols = [], ""
    for name in needed(source, wanted):
        more = [f"KBUILD_EXTRA_SYMBOLS={symbols}"] if symbols else []
        commands.append(shlex.join([*command(tree, source / name), *more]))
        symbols = f"{symbols} {source / name / 'Module.symvers'}".strip()
    return " && ".join(commands)


def source_files(source: Path) -> dict[str, bytes]:
    """The files of a directory that a build reads, by their relative path."""
    found = {path for pattern in _SOURCES for path in source.rglob(pattern) if path.is_file()}
    return {
        str(path.relative_to(source)): path.read_bytes()
        for path in sorted(found)
        if not path.name.endswith(".mod.c")
    }


def key(tree: Tree, files: Mapping[str, bytes], wanted: Sequence[str], compiler: str) -> str:
    """The name of a build: kernel and the hash of all that goes into it."""
    recipe = (tree.version, compiler, *command(tree, Path("/")), *sorted(wanted))
    parts = [part for name in sorted(files) for part in (name.encode(), files[name])]
    return f"{tree.id}-{content_key(*recipe, *parts)}"


def build(
    tree: Tree,
    source: Path,
    wanted: Sequence[str],
    directory: Path,
    more: Sequence[str] = (),
    builder: Builder = HERE,
) -> list[str]:
    """Copies the sources into `directory` and builds the wanted modules there.

    A wanted module is a subdirectory with a Kbuild of its own, or one that the source's own
    Kbuild makes; `more` are words for make, W=1 for instance. Returns the command; raises
    ModuleBuildError with the compiler's words.
    """
    files = source_files(source)
    builder.refuse(source, files)
    for name, content in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content + more_of(tree, Path(name)))
    apart = [name for name in wanted if (source / name / "Kbuild").is_file()]
    if apart:
        (directory / "Kbuild").write_text(_kbuild(source, apart))
    if tree.number and tree.number < eras.KBUILD_FILES:
        for path in list(directory.rglob("Kbuild")):
            path.with_name("Makefile").write_text("include $(obj)/Kbuild\n")
    words = [*command(tree, directory), *more, f"-j{os.cpu_count() or 1}"]
    with alone(tree):
        seen = [tree.headers] if tree.number else []
        done = tables.built(tree, lambda one: builder.run(one, directory, seen), words, directory)
    (directory / "build.log").write_text(shlex.join(words) + "\n" + done.stdout + done.stderr)
    if done.returncode:
        said = message(done, directory)
        raise ModuleBuildError(tree.id, by_hand(tree, source, wanted), said)
    return words


def more_of(tree: Tree, name: Path) -> bytes:
    """What is added to a file of the sources for an old or a new kbuild."""
    wanted = tree.number and name.name in ("Kbuild", "Makefile")
    return f"\n{eras.kbuild_line(tree.number)}".encode() if wanted else b""


@contextlib.contextmanager
def alone(tree: Tree) -> Iterator[None]:
    """Old kbuilds write into the kernel's tree, which must not happen twice at once.

    The directory itself is locked: a lock's file beside it would bring back one that was removed.
    """
    try:
        held = os.open(tree.headers, os.O_RDONLY | os.O_DIRECTORY) if tree.locked else None
    except FileNotFoundError:
        held = None  # the build says so
    try:
        if held is not None:
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        if held is not None:
            os.close(held)


def _kbuild(source: Path, wanted: Sequence[str]) -> str:
    """One Kbuild for the wanted modules and what they need of one another."""
    names = needed(source, wanted)
    return "".join(f"obj-m += {name}/\n" for name in names)


def needed(source: Path, wanted: Sequence[str]) -> list[str]:
    """The wanted modules after the ones whose symbols they use.

    A module names those in its Kbuild, in a comment `# needs: NAME ...`.
    """
    order: list[str] = []

    def visit(name: str) -> None:
        kbuild = source / name / "Kbuild"
        for line in kbuild.read_text().splitlines() if kbuild.is_file() else ():
            if line.startswith("# needs:"):
                for other in line.removeprefix("# needs:").split():
                    visit(other)
        if name not in order:
            order.append(name)

    for name in wanted:
        visit(name)
    return order


def message(done: Done, directory: Path) -> str:
    """What a failed build said, from its first error on, with paths as the author knows them; of
    one that the lab ended why, and its last words."""
    lines = done.stderr.splitlines() or done.stdout.splitlines()
    if done.ended:
        last = [*done.stdout.splitlines()[-_LAST_LINES:], *done.stderr.splitlines()[-_LAST_LINES:]]
        kept = [done.ended, *(["its last words:"] if last else []), *last]
    else:
        first = next((number for number, line in enumerate(lines) if _ERROR.search(line)), 0)
        start = max(0, first - 1)
        kept = lines[start : start + _MESSAGE_LINES]
    return shortened("\n".join(kept), directory)


def shortened(text: str, directory: Path) -> str:
    """With paths from the directory of a build."""
    return text.replace(f"{directory}/", "").replace(str(directory), ".")


def errors(log: Path) -> str:
    """What a build that did not fail complained of all the same; empty where it was of nothing."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    found = [_COPY.sub("", line) for line in lines if _ERROR.search(line)]
    return "\n".join(found[:_LAST_LINES])


def modules(directory: Path) -> dict[str, Path]:
    """The built modules of a directory, by name."""
    return {path.stem: path for path in sorted(directory.rglob("*.ko"))}


def compiler_version(arch: Arch) -> str:
    """What gcc says of itself; part of a build's name."""
    return version_of(["gcc", arch.gcc_flag])


def version_of(compiler: Sequence[str]) -> str:
    """What a compiler says of itself, in its first line."""
    if not shutil.which(compiler[0]):
        return f"no {compiler[0]}"
    done = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, check=False, env=environment()
    )
    return done.stdout.partition("\n")[0]
