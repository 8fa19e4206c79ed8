"""Unpacks Debian packages and sources into directories; nothing is installed."""

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from vmlab import untar
from vmlab.errors import LabError


def package(file: Path, directory: Path) -> None:
    """Raises LabError where dpkg-deb refuses the file."""
    command = ["dpkg-deb", "--extract", str(file), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"unpacking {file.name}: {done.stderr.strip()}")


def member(file: Path, wanted: "re.Pattern[str]", target: Path) -> bool:
    """Unpacks a package's first file whose path matches; whether there is one.

    What stands behind it is not read. Raises LabError where dpkg-deb refuses the file.
    """
    command = ["dpkg-deb", "--fsys-tarfile", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as unpacking:
        assert unpacking.stdout and unpacking.stderr
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar:
                found = _first(tar, wanted, target)
        except tarfile.TarError as error:
            unpacking.kill()
            said = unpacking.stderr.read().decode(errors="replace").strip()
            raise LabError(f"unpacking {file.name}: {said or error}") from error
        unpacking.stdout.close()
    return found


def _first(tar: tarfile.TarFile, wanted: "re.Pattern[str]", target: Path) -> bool:
    for one in tar:
        if one.isreg() and wanted.fullmatch(one.name.removeprefix("./")):
            content = tar.extractfile(one)
            assert content
            with target.open("wb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
            return True
    return False


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
                    untar.extract(tar, member, directory)
    except (tarfile.TarError, OSError) as error:
        raise LabError(f"unpacking {file.name}: {error}") from error
