"""A real guest on a worker gives the bytes that it gives here, also where a worker dies with it."""

from pathlib import Path

import pytest
from clusters import Cluster, wait

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import each
from vmlab.project import find

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

KERNEL = "6.1.0-50-686"
SEEDS = (1, 2, 3, 4)


def tokens(options: lab.Options, ended=lambda run: None) -> dict[int, tuple[str, str]]:
    """By seed: the token, which has the hash of what the guest gave, and the worker's name."""
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    project = find(Path(__file__).parent)
    made, (pair,) = lab.prepare(project, artifacts, ["zombie-detect"], [], KERNEL, options)
    found = {}
    run = lambda seed: (seed, made.run(*pair, again=seed, seed=seed))  # noqa: E731
    for seed, one in each(run, SEEDS, 2, lambda seed: None, made.stop):
        found[seed] = (str(one.token), str(one.environment.get("worker", "")))
        ended(one)
    return found


@pytest.mark.guest
def test_a_run_far_away_repeats_one_here_to_the_byte(tmp_path):
    cluster = Cluster(tmp_path, fake=False)
    try:
        for name in ("one", "two"):
            cluster.worker(name, 1, VMLAB_CACHE=str(Cache.default().root))
        cluster.crew(workers=2)
        far = tokens(
            lab.Options(cluster=cluster.address),
            lambda run: cluster.kill("one") if cluster.processes["one"].poll() is None else None,
        )
        wait(lambda: cluster.processes["one"].poll() is not None)
    finally:
        cluster.close()
    here = tokens(lab.Options(accel="tcg"))
    assert {seed: token for seed, (token, _) in far.items()} == {
        seed: token for seed, (token, _) in here.items()
    }
    assert "two" in {worker for _, worker in far.values()}
    assert len({token for token, _ in here.values()}) == len(SEEDS)
