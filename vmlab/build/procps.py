"""Builds procps's `ps` from its source with musl, for one architecture.

Its configure works with musl too, but takes six times as long as all of the compiling, and what it
finds depends on the host (numa, systemd); what `ps` asks it for are the few facts below.
"""

import re
from pathlib import Path

from vmlab.build.musl import CompileError, Toolchain

# Which parts `ps` is made of; the linker drops what it does not use of the library.
_SOURCES = ("library/*.c", "src/ps/*.c", "local/fileutils.c", "local/signals.c")
_INCLUDES = ("local", "library/include", "src/ps")
FLAGS = ("-w", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
"""Besides those of every user program; the warnings are upstream's."""
# What is so with musl, in the words of procps's config.h.in. No NLS: the guest has no locales.
FACTS = {
    "_GNU_SOURCE": "1",
    "HAVE_LANGINFO_H": "1",
    "HAVE_LOCALE_H": "1",
    "HAVE_PROGRAM_INVOCATION_SHORT_NAME": "1",
    "HAVE_STDIO_EXT_H": "1",
    "MAJOR_IN_SYSMACROS": "1",
}
_NAMED = re.compile(r"^PACKAGE_(?:NAME|VERSION|STRING)='[^'\n]*'$", re.MULTILINE)


def build(source: Path, toolchain: Toolchain, directory: Path) -> Path:
    """Makes `directory`/ps. Raises CompileError with gcc's words, or where a part is missing."""
    sources = [file for pattern in _SOURCES for file in sorted(source.glob(pattern))]
    if not {"display.c", "pids.c"} <= {file.name for file in sources}:
        raise CompileError("ps", toolchain.arch, f"{source} is not procps's source as of 4.0")
    header = directory / "config.h"
    header.write_text(config(source))
    output = directory / "ps"
    # Not every file includes config.h. Asserts hold the names of files; the program is to have the
    # same bytes wherever the source stands.
    flags = (*FLAGS, "-include", str(header), f"-ffile-prefix-map={source}=procps")
    includes = [directory, *(source / folder for folder in _INCLUDES)]
    toolchain.compile(sources, output, includes, flags)
    return output


def config(source: Path) -> str:
    """The content of config.h: the facts, and the package's names as its configure has them."""
    named = _NAMED.findall((source / "configure").read_text(errors="replace"))
    pairs = (line.replace("'", '"').split("=", 1) for line in named)
    facts = {**FACTS, **{name: value for name, value in pairs}}
    return "".join(f"#define {name} {value}\n" for name, value in facts.items())
