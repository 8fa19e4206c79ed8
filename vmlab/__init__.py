"""A kernel test lab on QEMU. What programs may use of it stands in `__all__` (docs/library.md).

It is imported when it is asked for: `import vmlab` alone costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmlab.catalog import Kernel
    from vmlab.errors import LabError, UsageError, VmlabError
    from vmlab.guest.results import StepResult
    from vmlab.guest.session import GuestLost
    from vmlab.interactive import Guest, KernelSick, StepFailed
    from vmlab.lab import Options
    from vmlab.library import Lab, Results
    from vmlab.runner import Run
    from vmlab.verdict import Verdict

__all__ = [
    "Guest", "GuestLost", "Kernel", "KernelSick", "Lab", "LabError", "Options", "Results", "Run",
    "StepFailed", "StepResult", "UsageError", "Verdict", "VmlabError",
]  # fmt: skip

_HOMES = {
    "catalog": ("Kernel",),
    "errors": ("LabError", "UsageError", "VmlabError"),
    "guest.results": ("StepResult",),
    "guest.session": ("GuestLost",),
    "interactive": ("Guest", "KernelSick", "StepFailed"),
    "lab": ("Options",),
    "library": ("Lab", "Results"),
    "runner": ("Run",),
    "verdict": ("Verdict",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(f"vmlab.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
