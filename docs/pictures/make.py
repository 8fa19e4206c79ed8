"""Makes the pictures of README.md and docs/ again: python docs/pictures/make.py [NAME ...]

Each comes from a real run on this machine: `failing-module` takes guests for a minute, `bench`
for many, on a machine that does nothing else. Chromium and Playwright are those of the
tests (./lab test installs them).
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from vmlab import Lab, Options

HERE = Path(__file__).parent
DOCS = HERE.parent
WIDTH, HEIGHT = 1120, 1440  # of the page
BENCH = ("--kernel", "5.10*686,6.1.0*amd64", "--rounds", "3", "--runs", "300")


def failing_module() -> None:
    """The report of the module with bugs, on the default kernels."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page = Path(folder) / "report.html"
        Lab(HERE / "ring").run(options=Options(dump=())).write(html=page)
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium")
        shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        shown.goto(page.as_uri())
        shown.screenshot(path=DOCS / "failing-module.png")
        browser.close()


def bench() -> None:
    command = [sys.executable, "-m", "vmlab", "bench", *BENCH, "--svg", DOCS / "bench.svg"]
    subprocess.run(command, cwd=DOCS.parent, check=True)


PICTURES: dict[str, Callable[[], None]] = {
    "failing-module": failing_module, "bench": bench,
}  # fmt: skip

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"{', '.join(PICTURES)}; all without any")
    names = parser.parse_args().names or [*PICTURES]
    if unknown := set(names) - PICTURES.keys():
        parser.error(f"no picture {min(unknown)!r}; there are {', '.join(PICTURES)}")
    for name in names:
        PICTURES[name]()
        print(f"made {name}")
