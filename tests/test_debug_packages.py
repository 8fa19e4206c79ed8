"""Debian's debug packages: fetched only where that is asked for, and not all of them."""

from dataclasses import replace

import pytest
from test_catalog import IMAGE, Archive, catalog, debian, image, kernel

from vmlab.catalog import Kernel, Unavailable
from vmlab.errors import LabError

ID, VERSION = "6.1.0-50-amd64", "6.1.176-1"


@pytest.fixture
def archive() -> Archive:
    return Archive()


def pinned(tmp_path, archive: Archive) -> Kernel:
    return kernel(archive.add(IMAGE, VERSION, image(tmp_path, ID, VERSION)))


def debug(tmp_path, archive: Archive, version: str = VERSION, files: dict | None = None) -> None:
    content = files or {
        f"usr/lib/debug/boot/System.map-{ID}": "no vmlinux",
        f"usr/lib/debug/boot/vmlinux-{ID}": f"with lines, {version}",
        f"usr/lib/debug/lib/modules/{ID}/kernel/a.ko": "module",
    }
    archive.add(f"{IMAGE}-dbg", version, debian(tmp_path, f"{IMAGE}-dbg", version, content))


def test_nothing_is_fetched_unasked_and_its_size_is_said_before(tmp_path, archive):
    one = pinned(tmp_path, archive)
    debug(tmp_path, archive, "6.1.170-1")
    debug(tmp_path, archive)
    made, said = catalog(tmp_path, archive, one)
    assert made.vmlinux(one) is None
    assert (said, archive.updates) == ([], [])
    found = made.vmlinux(one, fetch=True)
    assert found is not None
    assert found.read_text() == f"with lines, {VERSION}", "the very version of the kernel"
    assert [line.name for line in found.parent.iterdir()] == ["vmlinux"], "modules are left out"
    assert [line for line in said if "-dbg" in line and line.endswith(" MB)")]
    archive.index.clear()
    archive.files.clear()
    assert made.vmlinux(one) == made.vmlinux(one, fetch=True) == found


@pytest.mark.parametrize("folder", ["boot/vmlinux-{id}", "lib/modules/{id}/vmlinux"])
def test_a_vmlinux_is_found_where_packages_have_it(tmp_path, archive, folder):
    one = pinned(tmp_path, archive)
    debug(tmp_path, archive, files={f"usr/lib/debug/{folder.format(id=ID)}": "here"})
    made, _ = catalog(tmp_path, archive, one)
    assert made.vmlinux(one, fetch=True).read_text() == "here"


def test_another_version_s_debug_package_is_not_taken(tmp_path, archive):
    one = pinned(tmp_path, archive)
    debug(tmp_path, archive, "6.1.180-1")
    made, _ = catalog(tmp_path, archive, one)
    with pytest.raises(Unavailable, match=r"dbg 6\.1\.176-1: bookworm lacks it; it has 6\.1\.180"):
        made.vmlinux(one, fetch=True)
    archive.index = [entry for entry in archive.index if "dbg" not in entry[0].name]
    with pytest.raises(Unavailable, match="none of that name"):
        made.vmlinux(one, fetch=True)
    assert made.vmlinux(one) is None


def test_a_debug_package_without_a_kernel_or_that_is_none_is_said(tmp_path, archive):
    one = pinned(tmp_path, archive)
    debug(tmp_path, archive, files={"usr/lib/debug/boot/System.map": ""})
    made, _ = catalog(tmp_path, archive, one)
    with pytest.raises(LabError, match=f"holds no vmlinux of {ID}"):
        made.vmlinux(one, fetch=True)
    archive.index.pop()
    archive.add(f"{IMAGE}-dbg", VERSION, b"no package at all")
    with pytest.raises(LabError, match=r"unpacking .*dbg.*deb: .*dpkg-deb: error"):
        made.vmlinux(one, fetch=True)
    assert made.vmlinux(one) is None, "nothing half-made is taken"


def test_a_kernel_of_another_image_has_its_own(tmp_path, archive):
    one = pinned(tmp_path, archive)
    debug(tmp_path, archive)
    made, _ = catalog(tmp_path, archive, one)
    made.vmlinux(one, fetch=True)
    other = replace(one, image=(replace(one.image[0], sha256="0" * 64),))
    assert made.vmlinux(other) is None
