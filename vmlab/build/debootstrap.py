"""Runs mmdebstrap, which makes a Debian root from the archive's packages."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from vmlab.build import process
from vmlab.errors import LabError, UsageError

EPOCH = "1577836800"  # no file of a root is younger: 2020-01-01
_TAIL = 600  # characters of what it said
_STAGE = re.compile(r"I: ([^/]*?)\.*\n")  # but for its own directories and hooks
_ABSENT = re.compile(
    r"^E: (?:Unable to locate package (\S+)|Package '([^']+)' has no installation candidate)",
    re.MULTILINE,
)
# What apt and dpkg found wrong: their errors, and which package lacks what it depends on.
_TELLING = re.compile(r"^(?:E: |dpkg: error | \S+ : )")
_ITS_OWN = re.compile(r"^E: (?:setup failed|mmdebstrap failed|.*apt-get .* failed$)")
_NEXT_STEPS = {
    "No space left": "free some space there (`vmlab cache prune`)",
    "unmet dependencies": "take away the packages that cannot be together",
    "dpkg: error": "this package cannot be installed in a plain root; leave it out",
    "Failed to fetch": "is the mirror reachable? VMLAB_MIRROR names another one",
}


class NoPackage(UsageError):
    """The archive has no package of a name that was asked for."""


def make(
    command: Sequence[str], archive: Path, what: str, heard: Callable[[str], None] = lambda _: None
) -> None:
    """Leaves the root as a tar archive; `heard` is told what mmdebstrap is at.

    Raises NoPackage where the archive has none of a name, LabError with what was said for
    everything else; `what` is what was to be made.
    """
    if shutil.which(command[0]) is None:
        raise LabError(
            f"{what}: {command[0]} was not found; as root: apt-get install "
            "--no-install-recommends mmdebstrap"
        )
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C"}
    if os.geteuid() == 0:  # another user's root is made by ones who cannot come here
        environment["TMPDIR"] = str(archive.with_name("root"))
        Path(environment["TMPDIR"]).mkdir()
    status, said = _run(command, archive, environment, heard)
    if status:
        raise _error(what, said)
    if "TMPDIR" in environment:
        shutil.rmtree(environment["TMPDIR"])


def _run(
    command: Sequence[str], archive: Path, environment: dict[str, str], heard: Callable[[str], None]
) -> tuple[int, str]:
    """Its status and what it said. It takes its directory away when it is told to end."""
    words = ["setpriv", "--pdeathsig", "TERM", "--", *command]
    said: list[str] = []
    with (
        archive.open("wb") as out,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True,
            errors="replace", env=environment, start_new_session=True,
        ) as started,
        process.ending(started.pid, signal.SIGTERM),
    ):  # fmt: skip
        for line in started.stderr or ():
            said.append(line)
            if stage := _STAGE.fullmatch(line):
                heard(stage[1])
    return started.returncode, "".join(said)


def _error(what: str, said: str) -> Exception:
    absent = sorted({name for found in _ABSENT.findall(said) for name in found} - {""})
    if absent:
        several = len(absent) > 1
        return NoPackage(
            f"{what}: the archive has no package{'s' if several else ''} {', '.join(absent)} to "
            "install; look for the right name with `apt-cache search`, or on packages.debian.org"
        )
    lines = [line.strip() for line in said.splitlines() if _TELLING.match(line)]
    told = [line for line in lines if not _ITS_OWN.match(line)] or said.split("\n")
    text = " ".join(told).strip()[-_TAIL:] or "nothing"
    step = next((step for word, step in _NEXT_STEPS.items() if word in said), _advice())
    return LabError(f"{what}: mmdebstrap said: {text}; {step}")


def _advice() -> str:
    if os.geteuid() == 0:
        return "is the mirror reachable?"
    return (
        "without root it needs uidmap and a line in /etc/subuid, or the packages fakechroot and "
        "fakeroot"
    )
