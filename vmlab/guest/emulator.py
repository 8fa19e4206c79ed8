"""The QEMU that a guest runs in: the host's, or one that stands in a directory of its own."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch


@dataclass(frozen=True)
class Emulator:
    """A QEMU for one architecture."""

    program: str  # a name to be found on the PATH, or a path
    firmware: tuple[Path, ...] = ()  # looked into before the program's own directories
    root: Path | None = None  # the directory that it stands in with all that it needs

    @property
    def words(self) -> list[str]:
        """What its command begins with."""
        return [self.program, *(word for path in self.firmware for word in ("-L", str(path)))]


def host(arch: Arch) -> Emulator:
    """The one that is installed.

    Debian 12's qemu-system-i386 is a script before the program, to send calls of Xen elsewhere.
    """
    name = f"qemu-system-{arch.qemu}"
    behind = Path("/usr/libexec") / name
    as_packaged = shutil.which(name) == f"/usr/bin/{name}" and behind.exists()
    return Emulator(str(behind) if as_packaged else name)


def unpacked(root: Path, arch: Arch) -> Emulator:
    """The one that Debian's packages unpacked under `root` hold."""
    share = root / "usr" / "share"
    program = root / "usr" / "bin" / f"qemu-system-{arch.qemu}"
    return Emulator(str(program), (share / "qemu", share / "seabios"), root)
