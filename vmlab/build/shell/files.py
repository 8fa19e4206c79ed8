"""The files that settings may look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_LIMIT = 4 << 20  # bytes; a kernel's configuration has 0.3 MB


@dataclass(frozen=True)
class Files:
    """Directories by the name that settings know them by; nothing else is there for them."""

    places: Mapping[str, Path] = field(default_factory=dict)

    def find(self, name: str) -> Path | None:
        """The real place of a file, None where there is none or it is not to be seen."""
        for known, place in self.places.items():
            if name == known or name.startswith(f"{known}/"):
                path = place / name[len(known) :].lstrip("/")
                inside = path.resolve().is_relative_to(place.resolve())
                return path if inside and path.exists() else None
        return None

    def read(self, name: str) -> str | None:
        path = self.find(name)
        if path is None or not path.is_file() or path.stat().st_size > _LIMIT:
            return None
        return path.read_text(errors="replace")
