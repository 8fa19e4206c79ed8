"""Bisections with a kernel built at each step: sixty commits, and two hundred options."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bisect_demos import make

WHOLE_S, STEP_S = 600, 20  # a kernel built from nothing; one of which a file differs, and its guest


def bisect(folder: Path, *words: str) -> dict[str, object]:
    out = folder / "found.json"
    command = [sys.executable, "-m", "vmlab", "bisect", *words, "--json", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stderr, done.stdout)
    found: dict[str, object] = json.loads(out.read_text())
    return found


@pytest.mark.guest
@pytest.mark.slow
def test_a_bug_in_sixty_commits_of_a_kernel_is_found(tmp_path):
    commits = make.commits(tmp_path)
    found = bisect(
        tmp_path, "version", "--tree", "linux", "--good", commits[0], "--bad", commits[-1],
        "--arch", "i386",
    )  # fmt: skip
    among = found["first_bad_among"]
    # The one before does not build.
    assert among == [commits[make.PLANTED - 1], commits[make.PLANTED]]
    assert found["last_good"] == commits[make.PLANTED - 2]
    steps = found["steps"]
    assert isinstance(steps, list)
    tried = {one["revision"] for one in steps}
    assert len(tried) <= 20
    untestable = {commits.index(one["revision"]) for one in steps if one["outcome"] == "build"}
    assert 36 in untestable and untestable <= set(make.UNBUILT)
    for one in steps:
        print(commits.index(one["revision"]), one["outcome"], one["wall_s"])
    whole, *later = steps
    assert whole["wall_s"] <= WHOLE_S
    assert sorted(one["wall_s"] for one in later)[len(later) // 2] <= STEP_S


@pytest.mark.guest
@pytest.mark.slow
def test_one_option_of_two_hundred_is_found(tmp_path):
    """/proc/config.gz is there or not; the other options that differ say nothing of it."""
    make.configs(tmp_path)
    found = bisect(
        tmp_path, "no-config", "--source", f"debian-source:{make.SERIES}", "--config",
        "good.config", "bad.config", "--arch", "i386", "--always",
    )  # fmt: skip
    assert found["differing"] >= 200
    assert found["options"] == {"IKCONFIG_PROC": ["n", "y"]}
    assert found["conditions"] == {"IKCONFIG": ["n", "y"]}
