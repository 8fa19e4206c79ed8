"""What builds see of the caller's environment."""

import os

_KEPT = ("PATH", "HOME", "TMPDIR")


def environment(**more: str) -> dict[str, str]:
    """Where programs and temporary files are, and no more: what is built is named by its inputs.

    LLVM, MAKEFLAGS, CPATH and the like would change a build and not its name.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "LC_ALL": "C", **more}
