"""A cluster whose parts know one another by certificates, through Dask's own options."""

import os
import shutil
import subprocess

import clusters
import pytest
from clusters import Cluster

from vmlab.cluster import crew
from vmlab.errors import UsageError
from vmlab.verdict import Verdict

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="certificates are made with openssl, which is not here"
)


@pytest.fixture
def certificates(tmp_path, monkeypatch):
    """One that signs itself, for all parts, named to Dask as docs/cluster.md says."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 1 "
        "-subj /CN=lab"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    options = {"CA_FILE": certificate}
    for part in ("SCHEDULER", "WORKER", "CLIENT"):
        options |= {f"{part}__CERT": certificate, f"{part}__KEY": key}
    for name, path in options.items():
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", str(path))
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", "true")


@pytest.fixture
def configured():
    """This process has Dask's configuration anew, as a command begins with."""
    import dask.config

    dask.config.refresh()
    yield
    for name in [name for name in os.environ if name.startswith("DASK_")]:
        del os.environ[name]
    dask.config.refresh()


def test_guests_run_behind_certificates(tmp_path, fake_qemu, certificates, configured):
    cluster = Cluster(tmp_path)
    try:
        assert cluster.address.startswith("tls://")
        cluster.worker("one")
        made = clusters.runner(tmp_path / "far", cluster.crew(workers=1))
        assert {run.judgement.verdict for run in clusters.runs(made, 2)} == {Verdict.PASSED}
        with pytest.raises(UsageError, match="is not spoken to: encryption required"):
            crew.connect(cluster.address.replace("tls", "tcp"), print)
    finally:
        cluster.close()
