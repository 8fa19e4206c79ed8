"""A real kernel brought as a folder: one of the catalog's, under another name."""

import json
from pathlib import Path

import pytest

from vmlab import adding, archive, lab, selfcheck
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog, added
from vmlab.project import find
from vmlab.snapshots import qemu_version
from vmlab.verdict import Verdict

pytestmark = pytest.mark.guest
ROOT = Path(__file__).parent.parent
ID = "6.1.0-50-686"


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The catalog with that kernel in it, and the headers that it came with."""
    cache = Cache.default()
    artifacts = Artifacts(cache, Catalog.open(cache))
    (kernel,) = artifacts.catalog.select(ID)
    kernel = artifacts.catalog.obtain(kernel)
    boot = artifacts.catalog.image(kernel).parent
    box = tmp_path_factory.mktemp("box")
    for name in ("vmlinuz", "config", "System.map"):
        (box / f"{name}-{kernel.id}").write_bytes((boot / f"{name}-{kernel.id}").read_bytes())
    headers = artifacts.catalog.headers(kernel)
    (box / "build").symlink_to(headers)
    store = added.Store(tmp_path_factory.mktemp("kernels"))
    adding.add(artifacts, store, box, "report-4711", adding.With("gcc"))
    artifacts.catalog.added = store.kernels()
    return artifacts, headers, kernel.id


@pytest.fixture
def kernel(kept):
    artifacts, _, _ = kept
    (found,) = artifacts.catalog.select("report-4711")
    return found


def test_a_check_says_that_everything_works_there(kept, kernel, tmp_path):
    artifacts, headers, release = kept
    before = sorted(path for path in headers.rglob("*"))
    found = selfcheck.check(artifacts, kernel, tmp_path)
    assert {name: one.why for name, one in found.answers.items() if not one.works} == {}
    assert set(found.answers) == {"agent", "snapshot", "virtual clock", "determinism", "modules"}
    assert found.features["devtmpfs"] and found.features["tracefs"]
    assert found.features["pid-namespaces"] and found.features["fine-timers"]
    assert not found.features["overlay"]  # a module of Debian's, which is not loaded
    assert json.loads(json.dumps(found.record()))["release"] == release
    assert sorted(path for path in headers.rglob("*")) == before


def test_a_run_on_it_has_a_token_that_goes_to_another_machine(kept, kernel, tmp_path):
    artifacts, _, release = kept
    project = find(ROOT)
    runner = lab.runner(project, artifacts, lab.Options())
    (scenario,) = lab.load(project, artifacts.catalog, ["zombie-detect"], [])
    prepared = runner.prepare(scenario, kernel, tmp_path / "run")
    run = runner.execute(prepared)
    assert run.judgement.verdict is Verdict.PASSED, run.judgement
    assert run.kernel == "report-4711" and ":report-4711:" in str(run.token)
    file = tmp_path / "archive"
    archive.export(prepared, run, qemu_version(prepared.job.runs_in.program), file)
    opened = archive.opened(file, Cache(tmp_path / "cache"))
    catalog = Catalog(artifacts.cache, artifacts.catalog.pins)  # which has no such kernel
    again = lab.runner(project, Artifacts(artifacts.cache, catalog), lab.Options()).execute(
        opened.prepare(tmp_path / "again", catalog)
    )
    assert again.judgement.verdict is Verdict.PASSED, again.judgement
    assert again.token == run.token
    assert opened.meta.release == release
