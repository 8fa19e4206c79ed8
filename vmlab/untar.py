"""Members of tar archives, onto the disk and nowhere else.

As tarfile's own filters do it, which Debian 12's Python 3.11.2 does not have yet.
"""

import copy
import os
import tarfile
from pathlib import Path
from typing import Any

# A later Python's tarfile warns of a caller that names no filter; what is given was checked here.
_CHECKED: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}


class Unsafe(tarfile.TarError):
    """A member that would be, or would point, outside of the directory; or that is a device."""


def extract(
    tar: tarfile.TarFile, member: tarfile.TarInfo, directory: Path, links_inside: bool = True
) -> None:
    """Writes one member below a directory, as the user who runs this.

    Raises Unsafe. Links may point elsewhere only without `links_inside`, as those of a root
    directory do.
    """
    tar.extract(_checked(member, directory, links_inside), directory, **_CHECKED)


def _checked(member: tarfile.TarInfo, directory: Path, links_inside: bool) -> tarfile.TarInfo:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise Unsafe(f"{member.name} is a device, a pipe or a socket")
    made = copy.copy(member)
    made.name = member.name.lstrip("/")
    _inside(made.name, directory, member.name)
    if member.islnk():
        _inside(member.linkname, directory, f"what {member.name} is a link to")
    elif member.issym() and links_inside:
        if Path(member.linkname).is_absolute():
            raise Unsafe(f"{member.name} is a link to {member.linkname}")
        target = str(Path(made.name).parent / member.linkname)
        _inside(target, directory, f"what {member.name} is a link to")
    made.uid, made.gid, made.uname, made.gname = os.getuid(), os.getgid(), "", ""
    made.mode = _mode(member)
    return made


def _inside(name: str, directory: Path, said: str) -> None:
    """Also through links that were written before."""
    root = os.path.realpath(directory)
    if os.path.commonpath((root, os.path.realpath(Path(root, name)))) != root:
        raise Unsafe(f"{said} would be outside of {directory}")


def _mode(member: tarfile.TarInfo) -> int:
    """Nobody else may write, and the owner may read and write."""
    if member.isdir():
        return 0o755
    mode = member.mode & 0o755 | 0o600
    return mode if mode & 0o100 else mode & ~0o111
