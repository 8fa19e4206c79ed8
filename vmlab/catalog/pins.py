"""The lock file: which versions of kernels, packages and sources the lab uses."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vmlab.arch import ARCHES
from vmlab.catalog.records import Kernel, Package, Source, Tool
from vmlab.errors import LabError

HEAD = "# Written by `vmlab kernels lock`. Paths are relative to a Debian mirror.\n"


@dataclass(frozen=True)
class Pins:
    """All that is pinned."""

    kernels: tuple[Kernel, ...]
    packages: tuple[Package, ...]
    sources: tuple[Source, ...]
    tools: tuple[Tool, ...] = ()


def committed() -> Path:
    """The lock file that travels with the lab."""
    return Path(__file__).with_name("kernels.lock")


def read(path: Path) -> Pins:
    """Raises LabError where the file is not a lock file."""
    try:
        content = tomllib.loads(path.read_text())
        return Pins(
            tuple(_kernel(entry) for entry in content.get("kernel", [])),
            tuple(Package(**entry) for entry in content.get("package", [])),
            tuple(Source(**entry) for entry in content.get("source", [])),
            tuple(_tool(entry) for entry in content.get("tool", [])),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise LabError(
            f"reading the lock file {path}: {error}; make it anew with `vmlab kernels lock`"
        ) from error


def text(pins: Pins) -> str:
    """The lock file's content; equal pins give equal text."""
    parts = [HEAD]
    for kernel in pins.kernels:
        parts.append(_table("kernel", {"id": kernel.id, "arch": kernel.arch.name,
                                       "default": kernel.default}))  # fmt: skip
        parts += [_table("kernel.image", _content(package)) for package in kernel.image]
        parts += [_table("kernel.headers", _content(package)) for package in kernel.headers]
    parts += [_table("package", _content(package)) for package in pins.packages]
    parts += [_table("source", _content(source)) for source in pins.sources]
    for tool in pins.tools:
        parts.append(_table("tool", {"name": tool.name}))
        parts += [_table("tool.package", _content(package)) for package in tool.packages]
    return "\n".join(parts)


def _kernel(entry: dict[str, Any]) -> Kernel:
    return Kernel(
        entry["id"],
        ARCHES[entry["arch"]],
        entry["default"],
        _packages(entry["image"]),
        _packages(entry.get("headers", [])),
    )


def _tool(entry: dict[str, Any]) -> Tool:
    return Tool(entry["name"], _packages(entry["package"]))


def _packages(entries: Iterable[dict[str, Any]]) -> tuple[Package, ...]:
    return tuple(Package(**entry) for entry in entries)


def _content(record: Package | Source) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _table(name: str, content: dict[str, Any]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in content.items()]
    return f"[[{name}]]\n" + "\n".join(lines) + "\n"


def _value(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'
