"""The Debian packages that the lab needs: packages.txt, which is installed with it."""

import sysconfig
from pathlib import Path

from vmlab.errors import LabError

NAME = "packages.txt"


def needed() -> list[str]:
    """Their names. Raises LabError where the list is gone."""
    in_a_clone = Path(__file__).parent.parent / NAME
    installed = Path(sysconfig.get_path("data")) / "share" / "vmlab" / NAME
    for place in (in_a_clone, installed):
        if place.is_file():
            lines = (line.partition("#")[0].strip() for line in place.read_text().splitlines())
            return [line for line in lines if line]
    raise LabError(f"no {NAME} in {in_a_clone.parent} or {installed.parent}: install vmlab anew")
