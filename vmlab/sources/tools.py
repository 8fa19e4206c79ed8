"""Programs and headers of the host that a kernel is built with."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vmlab.build.environment import environment
from vmlab.errors import LabError

Config = Mapping[str, str]


@dataclass(frozen=True)
class Tool:
    """What is needed, by whom, and which Debian package has it."""

    name: str
    package: str
    why: str
    wanted: Callable[[Config], bool] = lambda config: True
    header: bool = False


def _any(*names: str) -> Callable[[Config], bool]:
    return lambda config: any(config.get(name) == "y" for name in names)


_PACKED = "the kernel is compressed so"
TOOLS = (
    Tool("make", "make", "all of it"),
    Tool("flex", "flex", "the reader of configurations is made with it"),
    Tool("bison", "bison", "the reader of configurations is made with it"),
    Tool("bc", "bc", "the tables of time are made with it"),
    Tool("gelf.h", "libelf-dev", "objtool reads objects with it",
         _any("OBJTOOL", "STACK_VALIDATION"), header=True),
    Tool("openssl/opensslv.h", "libssl-dev", "keys and signatures",
         _any("MODULE_SIG", "SYSTEM_TRUSTED_KEYRING"), header=True),
    Tool("lz4", "lz4", _PACKED, _any("KERNEL_LZ4")),
    Tool("xz", "xz-utils", _PACKED, _any("KERNEL_XZ")),
    Tool("zstd", "zstd", _PACKED, _any("KERNEL_ZSTD")),
    Tool("pahole", "dwarves", "type information (BTF)", _any("DEBUG_INFO_BTF")),
)  # fmt: skip


def check(config: Config | None = None) -> None:
    """Raises LabError that names all that is missing, and how it is installed.

    Without a configuration only what every kernel needs is looked for.
    """
    lacking = [one for one in TOOLS if one.wanted(config or {}) and not _there(one)]
    if lacking:
        lines = [f"  {one.name} ({one.package}): {one.why}" for one in lacking]
        install = "apt-get install " + " ".join(dict.fromkeys(one.package for one in lacking))
        raise LabError("\n".join(["building a kernel needs what is not here:", *lines, install]))


def _there(tool: Tool) -> bool:
    if not tool.header:
        return shutil.which(tool.name) is not None
    try:
        done = subprocess.run(
            ["gcc", "-E", "-x", "c", "-", "-o", "/dev/null"], input=f"#include <{tool.name}>\n",
            text=True, capture_output=True, check=False, env=environment(),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise LabError("gcc was not found: apt-get install gcc-multilib") from error
    return done.returncode == 0
