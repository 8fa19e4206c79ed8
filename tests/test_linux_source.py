"""Debian's kernel source: its package unpacked, and found among the pins."""

import io
import subprocess
import tarfile

import pytest

from vmlab.catalog import Package, linux_source
from vmlab.errors import LabError


def test_debian_s_source_is_unpacked_from_its_package(tmp_path):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as tar:
        for name in ("Kconfig", "kernel/fork.c"):
            tar.addfile(tarfile.TarInfo(f"linux-source-9.9/{name}"))
    root = tmp_path / "root"
    (root / "usr/src").mkdir(parents=True)
    (root / "usr/src/linux-source-9.9.tar.xz").write_bytes(inner.getvalue())
    (root / "DEBIAN").mkdir()
    control = "Package: linux-source-9.9\nVersion: 9.9-1\nArchitecture: all\n"
    more = "Maintainer: n <e@x>\nDescription: d\n"
    (root / "DEBIAN/control").write_text(control + more)
    subprocess.run(
        ["dpkg-deb", "-Znone", "--build", str(root), str(tmp_path / "s.deb")],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "out").mkdir()
    linux_source.unpack(tmp_path / "s.deb", tmp_path / "out")
    assert (tmp_path / "out/kernel/fork.c").is_file()
    (tmp_path / "s.deb").write_bytes(b"!<arch>\nnot a package")
    with pytest.raises(LabError, match=r"unpacking s\.deb"):
        (tmp_path / "other").mkdir()
        linux_source.unpack(tmp_path / "s.deb", tmp_path / "other")


@pytest.mark.parametrize("wanted", ["9.9", "9.9.1-1"])
def test_a_pinned_source_is_known_by_series_and_version(wanted):
    pinned = Package("linux-source-9.9", "9.9.1-1", "all", "suite", "f", "0" * 64, 1)
    others = (Package("musl-dev", "1", "amd64", "suite", "f", "0" * 64, 1), pinned)
    assert linux_source.pinned(others, wanted) == pinned
    assert linux_source.pinned(others, "9") is None
