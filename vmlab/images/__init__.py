"""The guest's userland."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Userland:
    """What a guest is to have of Debian."""

    packages: tuple[str, ...] = ()  # besides those that every such image has
    udev: bool = False  # whether its udev runs
