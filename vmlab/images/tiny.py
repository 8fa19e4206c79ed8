"""The tiny image: what stands in a tiny.yaml, made into an initramfs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vmlab.images import cpio


@dataclass(frozen=True)
class Recipe:
    """What a tiny.yaml says; `text` is all of it, for the image's name."""

    text: str
    on: tuple[str, ...]  # busybox options
    off: tuple[str, ...]
    directories: tuple[str, ...]
    devices: tuple[tuple[str, int, int], ...]
    files: tuple[tuple[str, str], ...]


def default_recipe() -> Path:
    """The recipe that travels with the lab."""
    return Path(__file__).with_name("tiny.yaml")


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe; the file is the lab's own, so what is missing raises KeyError."""
    text = path.read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return Recipe(
        text,
        tuple(content["busybox"]["on"]),
        tuple(content["busybox"]["off"]),
        tuple(content["directories"]),
        tuple((name, major, minor) for name, major, minor in content["devices"]),
        tuple(content["files"].items()),
    )


def initramfs(
    recipe: Recipe, agent: bytes, programs: Mapping[str, bytes], applets: Sequence[str]
) -> bytes:
    """The image's bytes; not compressed, for the guest unpacks slower than QEMU copies.

    `programs` go into bin; busybox is one of them, and its applets are links where none is so
    named.
    """
    links = [cpio.symlink(f"bin/{name}", "busybox") for name in applets if name not in programs]
    return cpio.archive(
        [
            *(cpio.directory(path) for path in recipe.directories),
            *(cpio.char_device(path, major, minor) for path, major, minor in recipe.devices),
            *(cpio.Member(path, 0o100644, text.encode()) for path, text in recipe.files),
            cpio.executable("init", agent),
            *(cpio.executable(f"bin/{name}", content) for name, content in programs.items()),
            *links,
        ]
    )
