"""The demonstrations' own way to make their projects."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "demos" / "bisect"

_spec = importlib.util.spec_from_file_location("bisect_demos_make", DEMO / "make.py")
assert _spec and _spec.loader
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)
