"""Runs mmdebstrap, which makes a Debian root from the archive's packages."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vmlab.errors import LabError

EPOCH = "1577836800"  # no file of a root is younger: 2020-01-01
_TAIL = 600  # characters of what it said


def make(command: Sequence[str], archive: Path) -> None:
    """Leaves the root as a tar archive. Raises LabError with what mmdebstrap said."""
    attempt = f"making a Debian root ({archive.name})"
    if shutil.which(command[0]) is None:
        raise LabError(
            f"{attempt}: {command[0]} was not found; as root: apt-get install "
            "--no-install-recommends mmdebstrap"
        )
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C"}
    with archive.open("wb") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE,
            env=environment, check=False,
        )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-_TAIL:] or "nothing"
        raise LabError(f"{attempt}: mmdebstrap said: {said}; {_advice()}")


def _advice() -> str:
    if os.geteuid() == 0:
        return "is the mirror reachable, and are these names of packages?"
    return (
        "are these names of packages? without root it needs uidmap and a line in /etc/subuid, or "
        "the packages fakechroot and fakeroot"
    )
