"""Kernels from source: a tree, a git revision, Debian's source; configured, built, kept by content.

source = sources.parse("git:/path/to/linux@v6.1")
built = build.build(catalog, source, build.Options(ARCHES["i386"], "tiny"))
"""

from vmlab.sources.source import DebianSource, GitSource, Source, TreeSource, is_source, parse

__all__ = ["DebianSource", "GitSource", "Source", "TreeSource", "is_source", "parse"]
