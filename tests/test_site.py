"""The pages as a site: each link leads somewhere, with its anchor."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("docs", "kmod", "examples", "README.md", "mkdocs.yml")


def built(folder: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    pytest.importorskip("material", reason="the site is made with mkdocs-material: ./lab test")
    # Not --quiet: it would hold back the warnings that --strict counts.
    words = ["-m", "mkdocs", "build", "--strict", "-d", str(site)]
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_page_is_in_the_site_and_every_link_leads_somewhere(tmp_path):
    done = built(ROOT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"kmod", "example"}
    assert {name for name in pages if not (tmp_path / name / "index.html").is_file()} == set()
    home = (tmp_path / "index.html").read_text()
    assert 'href="scenarios/"' in home and 'href="kmod/"' in home and "failing-module.png" in home
    outside = [part for part in home.split() if part.startswith(("src=http", 'src="http'))]
    assert outside == []  # nothing is fetched from elsewhere


BROKEN = {
    "README.md": "docs/gone.md",
    "docs/library.md": "scenarios.md#gone",
    "kmod/README.md": "../docs/races.md#gone",
}


def test_links_that_lead_nowhere_are_found(tmp_path):
    for name in PARTS:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    for page, link in BROKEN.items():
        with (tmp_path / page).open("a") as file:
            file.write(f"\nand [more]({link}) of it\n")
    (tmp_path / "docs/unnamed.md").write_text("# A page that mkdocs.yml does not name\n")
    done = built(tmp_path, tmp_path / "site")
    said = [line for line in (done.stdout + done.stderr).splitlines() if "gone" in line]
    assert done.returncode != 0 and len(said) == len(BROKEN), done
    assert "unnamed" not in done.stdout + done.stderr
