"""Bisections of real kernels: two regressions of 5.14, and a race in a module's history."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bisect_demos import DEMO, make

KERNELS = {"i386": ("5.10.0-32-686", "6.1.0-50-686"),
           "x86_64": ("5.10.0-32-amd64", "6.1.0-50-amd64")}  # fmt: skip


def bisect(folder: Path, *words: str) -> dict[str, object]:
    """What the command wrote. It is run as a user runs it."""
    out = folder / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "vmlab", "bisect", *words, "--json", str(out)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, object] = json.loads(out.read_text())
    return {**found, "said": done.stdout}


@pytest.fixture
def demo(tmp_path):
    """The demonstration's project, with run directories of its own."""
    for name in ("vmlab.yaml", "kmod", "scenarios"):
        (tmp_path / name).symlink_to(DEMO / name)
    return tmp_path


@pytest.mark.guest
@pytest.mark.parametrize("scenario", ["task-state-renamed", "fdinfo-three-lines"])
@pytest.mark.parametrize("arch", ["i386", "x86_64"])
def test_a_regression_is_found_between_the_kernels_that_the_catalog_has(demo, scenario, arch):
    good, bad = KERNELS[arch]
    found = bisect(demo, scenario, "--good", "5.10*", "--bad", "6.1*", "--arch", arch)
    assert (found["first_bad"], found["last_good"]) == (bad, good)
    steps = found["steps"]
    assert isinstance(steps, list)
    failing = [one for one in steps if one["outcome"] != "good"]
    assert {one["revision"] for one in failing} == {bad}
    if scenario == "task-state-renamed":
        assert "state" in failing[0]["build"] and not failing[0]["token"]
    else:
        assert failing[0]["token"] and f"bad:  vmlab replay {failing[0]['token']}" in str(
            found["said"]
        )


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("turn", range(20))
def test_a_race_in_a_module_s_history_is_found(turn, tmp_path):
    planted = 1 + turn * 7 % 11
    commits = make.race(tmp_path, planted)
    found = bisect(
        tmp_path, "hasty", "--modules", "--kernel", KERNELS["i386"][0], "--good", commits[0],
        "--bad", commits[-1], "--confidence", "0.9995", "--rarest", "0.01",
    )  # fmt: skip
    assert (found["first_bad"], found["last_good"]) == (commits[planted], commits[planted - 1])
    assert isinstance(found["confidence"], float) and found["confidence"] >= 0.9995
    steps = found["steps"]
    assert isinstance(steps, list)
    bad = [one["outcome"] for one in steps if one["revision"] in commits[planted:]]
    assert bad.count("bad") / len(bad) < 0.2  # else it shows too often to be told as rare
    for token in re.findall(r"(?:good|bad): +vmlab replay (\S+)", str(found["said"])):
        again = [sys.executable, "-m", "vmlab", "replay", token]  # with its commit's modules
        done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "the same to the byte" in done.stdout) == (0, True), done.stderr
