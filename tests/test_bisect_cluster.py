"""A bisection whose guests run on a cluster's workers, one of which dies meanwhile."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bisect_demos import make
from clusters import Cluster, wait

from vmlab.cache import Cache

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

SIZE, PLANTED = 6, 4
REQUESTS = 400  # so many that the race shows in most of the seeds


def bisect(folder: Path, commits: list[str], name: str, *words: str) -> "subprocess.Popen[str]":
    command = [
        sys.executable, "-m", "vmlab", "bisect", "hasty", "--modules", "--kernel",
        make.KERNEL, "--good", commits[0], "--bad", commits[-1], "--fresh", "-j", "2", "--json",
        name, *words,
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def runs(folder: Path) -> int:
    """How many the journal has."""
    files = list((folder / "vmlab-out" / "bisect").glob("*.jsonl"))
    return sum(len(file.read_text().splitlines()) - 1 for file in files)


def workers(found: dict[str, list[dict[str, str]]]) -> set[str | None]:
    """Who booted the guests of the runs that are kept."""
    files = [Path(step["dir"]) / "verdict.json" for step in found["steps"]]
    kept = [json.loads(file.read_text()) for file in files if file.exists()]
    return {one["environment"].get("worker") for one in kept}


@pytest.mark.guest
@pytest.mark.slow
def test_a_worker_that_dies_changes_nothing_of_what_is_found(tmp_path):
    commits = make.race(tmp_path, PLANTED, SIZE, REQUESTS)
    (tmp_path / "cluster").mkdir()
    cluster = Cluster(tmp_path / "cluster", fake=False)
    try:
        for name in ("one", "two"):
            cluster.worker(name, 1, VMLAB_CACHE=str(Cache.default().root))
        cluster.crew(workers=2)
        far = bisect(tmp_path, commits, "far.json", "--cluster", cluster.address)
        wait(lambda: runs(tmp_path) >= 3 or far.poll() is not None, 300)
        assert far.poll() is None, far.communicate()[0]
        cluster.kill("one")
        said, _ = far.communicate(timeout=600)
        assert far.returncode == 0, said
    finally:
        cluster.close()
    near = bisect(tmp_path, commits, "near.json")
    said, _ = near.communicate(timeout=600)
    assert near.returncode == 0, said
    found = [json.loads((tmp_path / name).read_text()) for name in ("far.json", "near.json")]
    for one in found:
        assert (one["first_bad"], one["last_good"]) == (commits[PLANTED], commits[PLANTED - 1])
        assert {step["outcome"] for step in one["steps"]} == {"good", "bad"}
        seeds = [step["seed"] for step in one["steps"]]
        assert len(set(seeds)) == len(seeds)
    assert workers(found[0]) in ({"two"}, {"one", "two"}) and workers(found[1]) == {None}
    # The token has the hash of what the guest gave: where both ran the same, they gave the same.
    tokens = [
        {(step["revision"], step["seed"]): step["token"] for step in one["steps"]} for one in found
    ]
    both = tokens[0].keys() & tokens[1].keys()
    assert len(both) >= 2
    assert {key: tokens[0][key] for key in both} == {key: tokens[1][key] for key in both}
