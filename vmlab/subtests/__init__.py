"""Tests inside a step: what a program's output or a kernel's console says of them. Pure."""

from vmlab.subtests.fold import of_step
from vmlab.subtests.ktap import Folded, State, Subtest, parse

__all__ = ["Folded", "State", "Subtest", "of_step", "parse"]
