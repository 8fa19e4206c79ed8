"""Where kernels come from: Debian's archive through apt, under a private root."""

from vmlab.catalog.catalog import Catalog
from vmlab.catalog.records import Added, Kernel, Package, Source, Tool, Unavailable

__all__ = ["Added", "Catalog", "Kernel", "Package", "Source", "Tool", "Unavailable"]
