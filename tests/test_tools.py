"""Programs of a newer Debian: which packages they are, and that they are there when asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_catalog import Archive, catalog, debian

from vmlab.catalog import Package, Tool, Unavailable, locking, pins, tools
from vmlab.catalog.records import Gone
from vmlab.errors import LabError

QEMU = tools.recipe("qemu")
NEW, OLD = "1:10.0.2-2~bpo12+1", "1:7.2-7+deb12u18"
PARTS = ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
# As Debian's packages say it, with what makes a difference: two of four come with the host's own
# QEMU in a version that is too old, ipxe-qemu and the libraries in one that will do.
NEEDS = (
    f"libc6 (>= 2.34), libslirp0 (>= 4.7.0), qemu-system-common (= {NEW}), "
    "qemu-system-data (>> 1:10.0.2~), seabios (>> 1.16.3-1~), ipxe-qemu"
)
HOST_NEEDS = "libc6, libslirp0, qemu-system-common, qemu-system-data, seabios, ipxe-qemu"


def add(archive: Archive, suite: str, name: str, version: str, content=b"", depends="") -> Package:
    made = archive.add(name, version, content, depends)
    archive.index[-1] = (replace(made, suite=suite), depends)
    return archive.index[-1][0]


@pytest.fixture
def archive() -> Archive:
    made = Archive()
    for name, version in (
        ("libc6", "2.36"), ("libslirp0", "4.7.0-1"), ("ipxe-qemu", "1"), ("seabios", "1.16.2-1"),
        ("qemu-system-common", OLD), ("qemu-system-data", OLD),
    ):  # fmt: skip
        add(made, QEMU.host, name, version)
    add(made, QEMU.host, "qemu-system-x86", OLD, depends=HOST_NEEDS)
    return made


def newer(archive: Archive, tmp_path: Path, version: str = NEW, needs: str = NEEDS) -> None:
    for name in PARTS:
        own = version if name != "seabios" else f"1.16.3-{2 + (version != NEW)}"
        content = debian(tmp_path, name, own.replace(":", "."), {f"usr/share/{name}": version})
        depends = needs.replace(NEW, version) if name == "qemu-system-x86" else ""
        add(archive, QEMU.suite, name, own, content, depends)


def names(tool: Tool) -> list[str]:
    return [package.name for package in tool.packages]


def test_a_tool_is_what_the_host_does_not_have_new_enough(tmp_path, archive):
    newer(archive, tmp_path)
    found = tools.find(archive, QEMU)
    assert names(found) == list(PARTS)
    assert found.version == NEW
    assert {package.suite for package in found.packages} == {QEMU.suite}


@pytest.mark.parametrize(
    ("need", "suite"),
    [
        ("libnew1", QEMU.suite),  # which the host's own QEMU does not bring along
        ("libslirp0 (>= 4.8)", QEMU.suite),
        ("libold1", QEMU.host),
        ("libold1 | libc6", None),  # one of them is there
    ],
)
def test_a_library_that_the_host_lacks_is_part_of_the_tool(tmp_path, archive, need, suite):
    newer(archive, tmp_path, needs=f"{NEEDS}, {need}")
    add(archive, QEMU.suite, "libnew1", "1", depends="libold1")
    add(archive, QEMU.suite, "libslirp0", "4.8.0")
    add(archive, QEMU.host, "libold1", "1")
    found = tools.find(archive, QEMU)
    more = {package.name: package.suite for package in found.packages[len(PARTS) :]}
    wanted = {need.split()[0]: suite} if suite else {}
    assert more == (wanted | {"libold1": QEMU.host} if need == "libnew1" else wanted)


def test_what_no_suite_has_is_gone(tmp_path, archive):
    newer(archive, tmp_path, needs=f"{NEEDS}, libnowhere1")
    with pytest.raises(Gone, match="neither bookworm-backports nor bookworm has libnowhere1"):
        tools.find(archive, QEMU)


@pytest.mark.parametrize(
    ("version", "comparison", "other", "so"),
    [
        ("1", "", "", True),
        ("1:1", ">=", "2", True),
        ("2~rc1", ">=", "2", False),
        ("2", "=", "2", True),
        ("2-1", "=", "2", False),
        ("2", ">>", "2", False),
        ("2.1", ">>", "2", True),
        ("1", "<<", "1", False),
        ("1", "<=", "1", True),
    ],
)
def test_versions_compare_as_dpkg_says(version, comparison, other, so):
    assert tools.holds(version, comparison, other) is so


def test_a_tool_is_fetched_once_into_one_directory(tmp_path, archive):
    newer(archive, tmp_path)
    made, said = catalog(tmp_path, archive)
    made.pins = replace(made.pins, tools=(tools.find(archive, QEMU),))
    root = made.tool("qemu")
    assert sorted(path.name for path in (root / "usr/share").iterdir()) == sorted(PARTS)
    assert len(said) == len(PARTS)
    archive.files.clear()
    made._tools.clear()
    assert made.tool("qemu") == root
    assert len(said) == len(PARTS)


def test_a_tool_that_is_gone_is_what_the_archive_has_now_and_that_is_said(tmp_path, archive):
    newer(archive, tmp_path)
    made, said = catalog(tmp_path, archive)
    made.pins = replace(made.pins, tools=(tools.find(archive, QEMU),))
    gone = {package.file for package in made.pins.tools[0].packages}
    archive.files = {name: text for name, text in archive.files.items() if name not in gone}
    newer(archive, tmp_path / "later", "1:10.0.3-1~bpo12+1")
    root = made.tool("qemu")
    assert (root / "usr/share/qemu-system-x86").read_text() == "1:10.0.3-1~bpo12+1"
    assert [line for line in said if "404" in line and "using 1:10.0.3" in line]


def test_a_tool_that_is_wholly_gone_is_unavailable_and_one_that_is_not_pinned_is_said(
    tmp_path, archive
):
    newer(archive, tmp_path)
    made, _ = catalog(tmp_path, archive)
    made.pins = replace(made.pins, tools=(tools.find(archive, QEMU),))
    archive.files.clear()
    with pytest.raises(Unavailable, match=r"qemu: .*404, and .*404"):
        made.tool("qemu")
    with pytest.raises(LabError, match="pins no tool gdb"):
        made.tool("gdb")


def test_a_tool_is_written_and_read_back(tmp_path, archive):
    newer(archive, tmp_path)
    wanted = pins.Pins((), (), (), (tools.find(archive, QEMU),))
    (tmp_path / "lock").write_text(pins.text(wanted))
    assert pins.read(tmp_path / "lock") == wanted


def test_the_committed_pins_hold_a_qemu_and_its_firmware():
    (tool,) = pins.read(pins.committed()).tools
    assert tool.name == "qemu"
    assert set(PARTS) <= set(names(tool))


@pytest.mark.parametrize(
    ("wanted", "version"), [(None, NEW), (["qemu"], NEW), (["6.1"], "pinned"), ([], "pinned")]
)
def test_a_tool_s_pin_stays_unless_it_is_wanted(tmp_path, archive, wanted, version):
    newer(archive, tmp_path)
    made, _ = catalog(tmp_path, archive)
    old = Tool("qemu", (Package("qemu-system-x86", "pinned", "amd64", "x", "x", "0" * 64, 1),))
    (found,) = locking.programs(archive, made, [old], wanted)
    assert found.version == version
