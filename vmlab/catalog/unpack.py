"""Unpacks Debian packages and sources into directories; nothing is installed."""

import re
import subprocess
import tarfile
from pathlib import Path

from vmlab.errors import LabError

_ABSOLUTE = re.compile(r"^include /usr/src/", re.MULTILINE)
# From the including Makefile's own place, so that the tree may stand anywhere.
_RELATIVE = "include $(dir $(lastword $(MAKEFILE_LIST)))../"


def package(file: Path, directory: Path) -> None:
    """Raises LabError where dpkg-deb refuses the file."""
    command = ["dpkg-deb", "--extract", str(file), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"unpacking {file.name}: {done.stderr.strip()}")


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


def mend_headers(directory: Path) -> None:
    """Unpacked header packages name one another by their place on an installed system."""
    for makefile in directory.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text()
        mended = _ABSOLUTE.sub(_RELATIVE, text)
        if mended != text:
            makefile.write_text(mended)
