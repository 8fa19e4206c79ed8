"""Bisections with a kernel built at each step: sixty commits, and two hundred options."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_bisect_git import git

from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.sources.configure import options

SERIES = "6.1"
SIZE, PLANTED = 60, 37
UNBUILT = (12, 29, 36, 38, 50)  # among them both neighbours of the planted one
LEFT_OUT = ("Documentation", "drivers/gpu", "drivers/media", "drivers/net", "sound", "tools/perf",
            "tools/testing")  # fmt: skip
HARMLESS = ("crypto/Kconfig", "fs/nls/Kconfig", "lib/Kconfig", "drivers/hid/Kconfig")
TRISTATE = re.compile(r"^config (\w+)\n\ttristate", re.MULTILINE)
SCENARIO = """
name: version
about: /proc/version begins as it always did
steps:
  - read: /proc/version
    output: '^Linux version '
"""


def copied(source: Path, target: Path) -> None:
    """A kernel's source without what a small one never compiles; each Kconfig is needed."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        here = str(Path(folder).relative_to(source))
        if here.startswith("arch/") and here.split("/")[1] not in ("x86", "um"):
            files = (name for name in names if (Path(folder) / name).is_file())
            return [name for name in files if not name.startswith("Kconfig")]
        if here.startswith(LEFT_OUT):
            return [name for name in names if name.endswith((".c", ".h", ".rst", ".txt", ".yaml"))]
        return []

    shutil.copytree(source, target, symlinks=True, ignore=ignored)


def committed(tree: Path) -> list[str]:
    """Commits that each change one file: one plants the bug, some do not compile."""
    file = tree / "fs" / "proc" / "version.c"
    before = file.read_text()
    git(tree, "init", "-q")
    git(tree, "add", "-A", "-f")
    git(tree, "commit", "-qm", "the source as it was")
    commits = [git(tree, "rev-parse", "HEAD")]
    for number in range(1, SIZE):
        text = f"{before}\n/* change {number} */\n"
        if number >= PLANTED:
            text = text.replace("linux_proc_banner,", '"Linus" "%s%s%s",')
        if number in UNBUILT:
            text += "#error not ready\n"
        file.write_text(text)
        git(tree, "commit", "-qam", f"proc: change {number}")
        commits.append(git(tree, "rev-parse", "HEAD"))
    return commits


def bisect(folder: Path, *words: str) -> dict[str, object]:
    out = folder / "found.json"
    command = [sys.executable, "-m", "vmlab", "bisect", "version", *words, "--json", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    found: dict[str, object] = json.loads(out.read_text())
    return found


@pytest.fixture
def project(tmp_path):
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "vmlab.yaml").write_text("")
    (tmp_path / "scenarios" / "version.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.mark.guest
@pytest.mark.slow
def test_a_bug_in_sixty_commits_of_a_kernel_is_found(project):
    _, source = Catalog.open(Cache.default()).linux_source(SERIES)
    copied(source, project / "linux")
    commits = committed(project / "linux")
    found = bisect(
        project, "--tree", "linux", "--good", commits[0], "--bad", commits[-1], "--arch", "i386"
    )
    among = found["first_bad_among"]
    assert among == [commits[PLANTED - 1], commits[PLANTED]]  # the one before does not build
    assert found["last_good"] == commits[PLANTED - 2]
    steps = found["steps"]
    assert isinstance(steps, list)
    tried = {one["revision"] for one in steps}
    assert len(tried) <= 20
    for one in steps:
        print(commits.index(one["revision"]), one["outcome"], one["wall_s"])


@pytest.mark.guest
@pytest.mark.slow
def test_one_option_of_two_hundred_is_found(project):
    """/proc/config.gz is there or not; the other options that differ say nothing of it."""
    catalog = Catalog.open(Cache.default())
    (project / "scenarios" / "version.yaml").write_text(
        SCENARIO.replace("read: /proc/version", "run: test ! -e /proc/config.gz").partition(
            "    output"
        )[0]
    )
    words = ["kernels", "build", f"debian-source:{SERIES}", "--arch", "i386", "--config", "tiny"]
    subprocess.run([sys.executable, "-m", "vmlab", *words], cwd=project, check=True)
    built = max(
        (catalog.cache.root / "built-kernels").glob("debian-6.1-tiny-i386-*/boot/config-*"),
        key=lambda path: path.stat().st_mtime,
    )
    text = built.read_text()
    _, source = catalog.linux_source(SERIES)
    names = [name for file in HARMLESS for name in TRISTATE.findall((source / file).read_text())]
    assert len(names) >= 197 and options(text).get("IKCONFIG", "n") == "n"
    (project / "good.config").write_text(text)
    more = "".join(f"CONFIG_{name}=y\n" for name in ("IKCONFIG", "IKCONFIG_PROC", "CRYPTO"))
    more += "".join(f"CONFIG_{name}=m\n" for name in names[:197])
    (project / "bad.config").write_text(f"{text}\n{more}")
    found = bisect(
        project, "--source", f"debian-source:{SERIES}", "--config", "good.config", "bad.config",
        "--arch", "i386", "--always",
    )  # fmt: skip
    assert isinstance(found["options"], dict)
    assert "IKCONFIG_PROC" in found["options"] and len(found["options"]) <= 2
