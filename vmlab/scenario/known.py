"""What a project has that its scenarios may name."""

from collections.abc import Callable
from dataclasses import dataclass


def _any_kernel(expression: str) -> str | None:
    """Every expression is accepted."""
    return None


@dataclass(frozen=True)
class Known:
    """Names of what it has; `kernel_problem` says what is wrong with a selection of kernels."""

    modules: frozenset[str] = frozenset()
    workloads: frozenset[str] = frozenset()
    kernel_problem: Callable[[str], str | None] = _any_kernel
    firmware: frozenset[str] = frozenset()
