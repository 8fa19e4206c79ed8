"""Compiles static user programs with the host's gcc and Debian's musl, for either architecture.

Static musl programs run on every kernel from 2.6.8 on; static glibc ones need 2.6.32.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.build.environment import environment
from vmlab.build.sandbox import HERE, Builder
from vmlab.errors import LabError

FLAGS = ("-Os", "-static", "-fno-pie", "-no-pie", "-fno-stack-protector", "-Wall", "-Wextra", "-s")

# gcc's spec file syntax: manual, "Specifying Subprocesses and the Switches to Pass to Them".
# Links with musl's start files and library where gcc would take the host's.
_SPECS = """\
*startfile:
{lib}/crt1.o {lib}/crti.o

*endfile:
{lib}/crtn.o

*lib:
{lib}/libc.a

*libgcc:
{libgcc}

"""


@dataclass(frozen=True)
class Toolchain:
    """gcc for one architecture, with musl in the place of the host's C library."""

    arch: Arch
    includes: tuple[Path, ...]  # musl's headers, then the kernel's for user programs
    lib: Path  # musl's libraries
    specs: str  # the content of the spec file

    def command(self, specs_file: Path) -> list[str]:
        """The compiler's command, to which sources and flags are added."""
        system = [word for path in self.includes for word in ("-isystem", str(path))]
        link = [f"-specs={specs_file}", f"-L{self.lib}"]
        return ["gcc", self.arch.gcc_flag, *link, "-nostdinc", *system]

    def compile(
        self,
        sources: Sequence[Path],
        output: Path,
        includes: Sequence[Path] = (),
        flags: Sequence[str] = (),
        builder: Builder = HERE,
    ) -> list[str]:
        """Makes one static program; returns the command. Raises CompileError with gcc's words."""
        specs_file = output.with_suffix(".specs")
        specs_file.write_text(self.specs)
        command = [
            *self.command(specs_file), "-std=gnu11", *FLAGS, *flags,
            *(f"-I{include}" for include in includes),
            "-o", str(output), *map(str, sources),
        ]  # fmt: skip
        done = builder.run(command, output.parent, {path.parent for path in sources})
        specs_file.unlink(missing_ok=True)
        if done.returncode:
            raise CompileError(output.name, self.arch, done.ended or done.stderr)
        return command


class CompileError(LabError):
    """gcc refused a user program; the message holds gcc's own."""

    def __init__(self, program: str, arch: Arch, said: str) -> None:
        super().__init__(f"compiling {program} for {arch.name}:\n{said.rstrip()}")


def toolchain(arch: Arch, musl: Path, kernel_headers: Path) -> Toolchain:
    """From the unpacked packages musl-dev and linux-libc-dev of the architecture.

    Raises LabError where the host's gcc cannot make code for it.
    """
    includes = (
        musl / "usr/include" / f"{arch.name}-linux-musl",
        kernel_headers / "usr/include",
        kernel_headers / "usr/include" / f"{arch.name}-linux-gnu",
    )
    lib = musl / "usr/lib" / f"{arch.name}-linux-musl"
    return Toolchain(arch, includes, lib, _SPECS.format(lib=lib, libgcc=_libgcc(arch)))


def _libgcc(arch: Arch) -> str:
    command = ["gcc", arch.gcc_flag, "-print-libgcc-file-name"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment()
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(
            f"asking gcc for its {arch.name} library: {error}; install gcc-multilib"
        ) from error
    name = done.stdout.strip()
    if not Path(name).is_file():
        raise LabError(
            f"gcc has no library for {arch.name} ({name} was not found); install gcc-multilib"
        )
    return name
