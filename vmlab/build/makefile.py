"""What the Kbuild files of a folder say of modules, read without make.

Which branches of conditions are followed is in `vmlab.build.assignments`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vmlab.build.assignments import ASSIGNMENT, EXPANSION, assignments, put

FILES = ("Kbuild", "Makefile")
_OBJECT = re.compile(rf"obj-((?:m|y|{EXPANSION})+)$")
_OPTION = re.compile(r"\$[({](CONFIG_\w+)[)}]")
_SET = re.compile(r"\b(CONFIG_\w+)[ \t]*[:?]?=[ \t]*[my]\b")
_DEFINED = re.compile(r"^\s*(?:menu)?config\s+(\w+)\s*$", re.MULTILINE)
_UNSET = re.compile(r"\$[({](?!CONFIG_)(\w+)[)}]")
_ASSIGNS = re.compile(r"\b(\w+)\s*[:?+]?=")
# What kbuild gives to the files that it reads.
_KBUILD_S = frozenset(
    ("ARCH", "SRCARCH", "UTS_MACHINE", "BITS", "KERNELRELEASE", "KERNELVERSION", "VERSION",
     "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION", "KBUILD_MODNAME", "M", "src", "obj", "srctree",
     "objtree")
)  # fmt: skip
_MAKEFILES = ("*akefile*", "Kbuild*", "*.mk")
_BUILD_FILES = (*_MAKEFILES, "dkms.conf", "*.inc", "*.config", "Kconfig*")
_DEEPEST = 6  # directories
_PLACE = re.compile(
    r"/lib/modules/(?:\$?\$(?:\([^)\n]*\)|\{[^}\n]*\}|\w+)|`[^`\n]*`|[^/\s$`]+)/(?:build|source)\b"
)
_ASKED = {
    "-r": re.compile(r"\$\(shell uname -r\)|`uname -r`"),
    "-m": re.compile(r"\$\(shell uname -m\)|`uname -m`"),
}
_SHELL = re.compile(rb"#!.*\b(?:ba|da|k)?sh\b")
_FIRST = 200  # bytes of a script's first line
# Part of the name of what is built from settled files.
SETTLING = f"scripts {_PLACE.pattern} {_ASKED} {ASSIGNMENT.pattern}"


@dataclass(frozen=True)
class Made:
    """A module that a Kbuild file makes of sources."""

    name: str
    folder: Path  # from the root
    sources: tuple[Path, ...]  # as far as they are named in words
    option: str | None = None  # the CONFIG_ that it is built with, where the kernel gives that
    own: str | None = None  # or the folder's own, which a make of its author's gives


def modules(root: Path) -> list[Made]:
    """All modules below a folder, in the order in which its Kbuild files name them."""
    found: dict[str, Made] = {}
    folders = list(_folders(root))
    given, assigned = _given(folders), _assigned_in(root)
    for folder in folders:
        for made in _of(root, folder, given, assigned):
            found.setdefault(made.name, made)
    return list(found.values())


def options(root: Path) -> dict[str, str]:
    """What make has to be given where a folder's own Makefile would give it to the kernel's."""
    return {made.own: "m" for made in modules(root) if made.own}


def roots(root: Path) -> list[Path]:
    """The topmost folders whose Kbuild file makes something, from the root."""
    found: list[Path] = []
    for folder in _folders(root):
        name = folder.relative_to(root)
        known = any(name.is_relative_to(one) for one in found)
        if not known and any(True for _ in _objects(_statements(folder))):
            found.append(name)
    return found


def option(root: Path, name: str) -> str | None:
    """The CONFIG_ that a module is built with, None where it always is."""
    return next((made.option for made in modules(root) if made.name == name), None)


def _folders(root: Path) -> Iterator[Path]:
    files = [path for name in FILES for path in root.rglob(name) if path.is_file()]
    folders = {path.parent for path in files}
    inside = [one for one in folders if not _hidden(one.relative_to(root))]
    return iter(sorted(inside, key=lambda one: (len(one.relative_to(root).parts), str(one))))


def _hidden(folder: Path) -> bool:
    parts = folder.parts
    return len(parts) > _DEEPEST or any(
        part.startswith(".") or part == "vmlab-out" for part in parts
    )


def _statements(folder: Path) -> list[tuple[str, str]]:
    """Every assignment of the file that kbuild reads there: name, value."""
    path = next(folder / name for name in FILES if (folder / name).is_file())
    return assignments(path.read_text(errors="replace"))


def _objects(statements: list[tuple[str, str]]) -> Iterator[tuple[str, str | None]]:
    """What is made: NAME.o or FOLDER/, each with its CONFIG_ where it has one."""
    for name, value in statements:
        found = _OBJECT.match(name)
        if found:
            option = _OPTION.fullmatch(found[1])
            yield from ((word, option and option[1]) for word in value.split())


def _of(
    root: Path, folder: Path, given: frozenset[str], assigned: frozenset[str]
) -> Iterator[Made]:
    statements = [
        (name if name.startswith("obj-") else _without(name, assigned),
         " ".join(_without(word, assigned) for word in value.split()))
        for name, value in _statements(folder)
    ]  # fmt: skip
    where = folder.relative_to(root)
    for word, config in _objects(statements):
        if word.endswith(".o") and "$" not in word:
            name = Path(word).name.removesuffix(".o")
            sources = _sources(name, statements)
            if sources is None:
                sources = (f"{word.removesuffix('.o')}.c",)
            paths = tuple(where / one for one in sources)
            own = config if config in given else None
            yield Made(name, where, paths, None if own else config, own)


def _assigned_in(root: Path) -> frozenset[str]:
    """Every variable that some file of a build's may set, and those of kbuild's own."""
    files = {path for one in _BUILD_FILES for path in root.rglob(one)} | set(_scripts(root))
    texts = (path.read_text(errors="replace") for path in files if path.is_file())
    return _KBUILD_S.union(*(_ASSIGNS.findall(text) for text in texts))


def _without(word: str, assigned: frozenset[str]) -> str:
    """A name without the variables in it that nobody sets: they are empty."""
    names = _UNSET.findall(word)
    bare = _UNSET.sub("", word)
    return word if assigned.intersection(names) or bare.startswith((".", "-")) else bare


def _given(folders: Iterable[Path]) -> frozenset[str]:
    """Options of a folder's own: its Makefiles set them, for themselves or for a make that they
    call, or a Kconfig beside them defines them.

    No kernel gives those.
    """
    files = (folder / name for folder in folders for name in (*FILES, "Kconfig"))
    texts = [path.read_text(errors="replace") for path in files if path.is_file()]
    defined = (f"CONFIG_{name}" for text in texts for name in _DEFINED.findall(text))
    return frozenset((*defined, *(name for text in texts for name in _SET.findall(text))))


def _sources(name: str, statements: list[tuple[str, str]]) -> tuple[str, ...] | None:
    """The files of a module of several, as far as they are named in words; None of one of one."""
    key = re.compile(rf"{re.escape(name)}-(?:objs|y|m|{EXPANSION})")
    lists = [value for name, value in statements if key.fullmatch(name)]
    if not any(one.strip() for one in lists):
        return None
    parts = [word.removesuffix(".o") for one in lists for word in one.split() if word[-2:] == ".o"]
    return tuple(f"{one}.c" for one in dict.fromkeys(parts) if "$" not in one and ")" not in one)


def settle(root: Path, kernel: str, machine: str, headers: Path) -> None:
    """In Makefiles below a folder, puts a kernel in the place of the one that this machine runs.

    They name it by `uname` and by the place of an installed kernel's headers, which is put into
    scripts too.
    """
    makefiles = {path for one in _MAKEFILES for path in root.rglob(one)}
    for path in sorted(makefiles | set(_scripts(root))):
        if not path.is_file():
            continue
        before = path.read_bytes()
        text = _PLACE.sub(str(headers), before.decode("utf-8", "surrogateescape"))
        if path in makefiles:
            for option, value in (("-r", kernel), ("-m", machine)):
                text = _ASKED[option].sub(value, text)
            text = _assigned(text, headers)
        if (after := text.encode("utf-8", "surrogateescape")) != before:
            path.write_bytes(after)


def _scripts(root: Path) -> Iterator[Path]:
    """Shell scripts that a build may call."""
    for path in root.rglob("*"):
        if path.is_file() and (path.suffix == ".sh" or path.stat().st_mode & 0o111):
            with path.open("rb") as file:
                if _SHELL.match(file.readline(_FIRST)):
                    yield path


def _assigned(text: str, headers: Path) -> str:
    """The place of the headers where it is put together from variables of the same file."""
    lines = text.split("\n")
    found = [ASSIGNMENT.match(line) for line in lines]
    values = {one[1]: one[3] for one in found if one and "$" not in one[1]}
    for number, one in enumerate(found):
        if one and _PLACE.fullmatch(put(one[3], values).rstrip("/")):
            lines[number] = f"{lines[number][: one.start(3)]}{headers}"
    return "\n".join(lines)
