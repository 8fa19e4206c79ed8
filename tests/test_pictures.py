"""The pictures: each has a command that makes it, and shows what really comes of it."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from vmlab import Lab, Options

ROOT = Path(__file__).parent.parent
MAKER = ROOT / "docs" / "pictures" / "make.py"
SHOWN = {
    "ring-counts": "failed", "ring-loads": "passed", "ring-modern": "passed",
    "ring-resets": "crashed", "ring-waits": "timeout", "slots-refused": "passed",
}  # fmt: skip


def maker():
    spec = importlib.util.spec_from_file_location("pictures", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_picture_of_the_pages_is_there_and_can_be_made_again():
    made = maker().PICTURES
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for link in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            path = page.parent / link
            assert path.is_file() and path.stem in made, (page, link)


def test_a_picture_asks_nobody():
    for path in (ROOT / "docs").glob("*.svg"):
        assert re.findall(r"url\(\W*https?:|href=\W*https?:|@import", path.read_text()) == [], path


@pytest.mark.guest
def test_the_module_with_bugs_has_them(tmp_path):
    project = shutil.copytree(ROOT / "docs/pictures/ring", tmp_path / "ring")
    results = Lab(project).run(kernels="6.1.0-50-686", jobs=1, options=Options(dump=()))
    assert {run.scenario: str(run.verdict) for run in results} == SHOWN, results.table()
    (crashed,) = (run for run in results if run.verdict == "crashed")
    assert crashed.judgement.crash.function == "ring_reset"
