"""Unpacks Debian packages and sources into directories; nothing is installed."""

import subprocess
import tarfile
from pathlib import Path

from vmlab.errors import LabError


def package(file: Path, directory: Path) -> None:
    """Raises LabError where dpkg-deb refuses the file."""
    command = ["dpkg-deb", "--extract", str(file), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"unpacking {file.name}: {done.stderr.strip()}")


def settle(directory: Path) -> None:
    """Gives a kernel's files, since 7 in usr/lib/modules/ID, their names on an installed system."""
    for image in directory.glob("usr/lib/modules/*/vmlinuz"):
        link = directory / "boot" / f"vmlinuz-{image.parent.name}"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(Path("..") / image.relative_to(directory))
    if not (directory / "lib").exists():
        (directory / "lib").symlink_to("usr/lib")


def source(file: Path, directory: Path) -> None:
    """The content of a tar file's one top directory."""
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                member.name = member.name.partition("/")[2]
                if member.name:
                    tar.extract(member, directory, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise LabError(f"unpacking {file.name}: {error}") from error
