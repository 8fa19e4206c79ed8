"""What goes into a guest: the program's archive, and how a step is written in it."""

import io
import tarfile
from collections.abc import Mapping, Sequence

STEPS = "steps"
PEER = "peer"
"""The option of a guest's mode that is one of two."""
RESCAN = "rescan"
"""The option before the ids of PCI devices that the guest's kernel is to find anew."""
FIRMWARE = "firmware"
"""The directory of the program that the guest's kernel looks for firmware in."""
_LONGEST = 99  # bytes of a name


def step(verb: str, argument: str, expect: str = "0", name: str = "-", ms: int = 0) -> str:
    """One step's line as the agent reads it. `ms` is guest time, see the agent's steps.c."""
    escaped = argument.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return f"{verb}\t{expect}\t{name}\t{ms}\t{escaped}"


def need(name: str) -> str:
    """The file in the archive that shows whether a kernel has what a step needs."""
    return f"need-{name}"


def freeze(settle_ms: int) -> str:
    """The mode in which a guest, after so much time of its own, asks to be frozen before it looks
    for a program."""
    return f"freeze {settle_ms}" if settle_ms else "freeze"


def mode(limit_ms: int, seed: int, option: str = "") -> str:
    """How the agent is to run: guest time for all steps (0: any), the seed for its entropy."""
    return f"{limit_ms} {seed} {option}".rstrip()


def archive(steps: Sequence[str], files: Mapping[str, bytes]) -> bytes:
    """The program as an uncompressed ustar archive; equal inputs give equal bytes.

    Raises ValueError for a step that is not one line of five fields, a file name that the agent
    cannot place, and a file that takes the name of the steps.
    """
    for line in steps:
        if "\n" in line or line.count("\t") != 4:
            raise ValueError(f"step {line!r} is not one line of five fields")
    if STEPS in files:
        raise ValueError(f"file name {STEPS!r} is taken by the program's own steps")
    members = {STEPS: "".join(f"{line}\n" for line in steps).encode(), **files}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(members.items()):
            if not _placed(name):
                raise ValueError(f"file name {name!r} is not a plain name of 1 to 99 bytes")
            about = tarfile.TarInfo(name)
            about.size = len(content)
            about.mode = 0o755
            tar.addfile(about, io.BytesIO(content))
    return out.getvalue()


def _placed(name: str) -> bool:
    """Whether the agent can place a file of this name; only firmware has directories."""
    plain = name.removeprefix(f"{FIRMWARE}/").split("/") if "/" in name else [name]
    leads = "/" not in name or name.startswith(f"{FIRMWARE}/")
    return leads and {"", ".", ".."}.isdisjoint(plain) and len(name.encode()) <= _LONGEST


def names(content: bytes) -> list[str]:
    """The files in an archive."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.getnames()
