"""Whether all that a guest said is there."""

import shutil

from vmlab.guest import launch, qemu

_ROOM = 64 << 10  # bytes that a disk has free where nothing was dropped


def lost_bytes(files: qemu.RunDirectory, ended: launch.Ended) -> str | None:
    """Why bytes of the guest's may be missing: a judgement of what is left would be worth nothing.

    QEMU drops what it cannot write, and does not say so.
    """
    if ended.how == "lost":
        return None
    if gone := [path.name for path in (files.console, files.transcript) if not path.exists()]:
        return f"files of the run were taken away while it ran: {', '.join(gone)}"
    if ended.how not in ("off", "reset"):
        return None
    paths = (files.console, files.results, files.transcript)
    console, results, both = (path.stat().st_size if path.exists() else 0 for path in paths)
    if console + results != both:
        return (
            f"the console has {console} bytes, the results {results}, and both together {both}: "
            "some were lost; is the disk full?"
        )
    if shutil.disk_usage(files.path).free < _ROOM:
        return f"the disk of {files.path} is full: what the guest said last may be lost"
    return None
