"""Programs of a newer Debian, made to run on this host with the C library they were built for."""

import shlex
from collections.abc import Iterator
from pathlib import Path

LIBRARIES = Path("usr/lib/x86_64-linux-gnu")
_LOADER = "ld-linux-x86-64.so.2"
LOADER = LIBRARIES / _LOADER
_PLACES = (LIBRARIES, Path("usr/lib64"), Path("lib64"))  # Debian's, Fedora's
# Debian's; Ubuntu's and Fedora's stand among the headers.
_PROGRAMS = (
    "usr/lib/linux-kbuild-*", "usr/src/linux-headers-*/scripts", "usr/src/linux-headers-*/tools",
    "usr/src/kernels/*/scripts", "usr/src/kernels/*/tools",
)  # fmt: skip
_ELF = b"\x7fELF"
# argv[0] is kept, for modpost and objtool find their other halves beside it.
_WRAPPER = """\
#!/bin/sh
here=${{0%/*}}
exec "$here"/{loader} --library-path "$here"/{libraries} --argv0 "$0" "$here"/{program} "$@"
"""
WRAPPING = _WRAPPER  # part of the name of what wrap_programs made


def wrap_programs(root: Path) -> None:
    """Lets kbuild's programs under `root` run by the loader under `root`, where there is one.

    A program becomes a script beside it that finds both by relative paths, so that the tree may
    be moved.
    """
    libraries = next((one for one in _PLACES if (root / one / _LOADER).is_file()), None)
    if libraries is None:
        return
    for program in list(_programs(root)):
        depth = len(program.relative_to(root).parent.parts)
        beside = program.with_name(f".{program.name}.elf")
        program.rename(beside)
        program.write_text(
            _WRAPPER.format(
                loader=_up(depth, libraries / _LOADER),
                libraries=_up(depth, libraries),
                program=shlex.quote(beside.name),
            )
        )
        program.chmod(0o755)


def _up(depth: int, path: Path) -> str:
    return f"{'../' * depth}{path}"


def _programs(root: Path) -> Iterator[Path]:
    folders = [folder for pattern in _PROGRAMS for folder in root.glob(pattern)]
    for folder in folders:
        for path in folder.rglob("*") if not folder.is_symlink() else ():
            if path.is_symlink() or not path.is_file() or not path.stat().st_mode & 0o100:
                continue
            with path.open("rb") as file:
                if file.read(4) == _ELF:
                    yield path
