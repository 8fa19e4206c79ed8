"""Frames of a crash to the lines of their sources, through the debug information of ELF files."""

from vmlab.symbols.resolve import Sources, resolve
from vmlab.symbols.sources import Root

__all__ = ["Root", "Sources", "resolve"]
