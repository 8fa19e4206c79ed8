"""Which kernels an apt archive has, and the packages that each is made of."""

import pytest

from vmlab.catalog import archives
from vmlab.catalog.records import Package
from vmlab.errors import UsageError


def package(name: str, architecture: str = "i386", version: str = "1", depends: str = ""):
    return Package(name, version, architecture, "s", f"pool/{name}.deb", "", 1), depends


def test_a_kernel_of_an_archive_is_its_image_and_all_it_needs():
    found = archives.offered([
        package("linux-image-4.15.0-20-generic"), package("linux-modules-4.15.0-20-generic"),
        package("linux-modules-extra-4.15.0-20-generic"),
        package("linux-image-4.15.0-20-generic", version="1.1"),
        package("linux-headers-4.15.0-20-generic", depends="linux-headers-4.15.0-20, libc6 (>= 2)"),
        package("linux-headers-4.15.0-20", "all"),
        package("linux-image-4.15.0-99-generic", "amd64"), package("linux-image-686-pae"),
        package("linux-image-4.15.0-20-generic-dbg"), package("linux-image-4.9.0-1-686"),
        package("kernel-image-2.6.8-2-386"),
        package("kernel-headers-2.6.8-2-386", depends="kernel-kbuild-2.6-3"),
        package("kernel-kbuild-2.6-3"), package("kernel-kbuild-2.6-3", "amd64"),
        package("linux-image-4.14.0-1005-oem"),
        package("linux-headers-4.14.0-1005-oem", depends="linux-oem-4.14-headers-4.14.0-1005"),
        package("linux-oem-4.14-headers-4.14.0-1005", "all"),
    ])  # fmt: skip
    assert [(one.release, one.arch, one.for_modules) for one in found] == [
        ("4.15.0-99-generic", "x86_64", False), ("4.15.0-20-generic", "i386", True),
        ("4.14.0-1005-oem", "i386", True),
        ("4.9.0-1-686", "i386", False), ("2.6.8-2-386", "i386", True),
    ]  # fmt: skip
    newest = archives.chosen(found, "x", None, None)
    assert [(one.name, one.version) for one in newest.packages] == [
        ("linux-image-4.15.0-20-generic", "1.1"), ("linux-modules-4.15.0-20-generic", "1"),
        ("linux-modules-extra-4.15.0-20-generic", "1"),
        ("linux-headers-4.15.0-20-generic", "1"), ("linux-headers-4.15.0-20", "1"),
    ]  # fmt: skip
    flavour = archives.chosen(found, "x", "*-oem", None)
    assert [one.name for one in flavour.packages] == [
        "linux-image-4.14.0-1005-oem", "linux-headers-4.14.0-1005-oem",
        "linux-oem-4.14-headers-4.14.0-1005",
    ]  # fmt: skip
    oldest = archives.chosen(found, "x", "2.6*", None)
    assert [one.architecture for one in oldest.packages] == ["i386", "i386", "amd64"]
    assert archives.chosen(found, "x", None, "x86_64").release == "4.15.0-99-generic"
    with pytest.raises(UsageError, match=r"x has no such kernel; there are 4\.15\.0-99-generic"):
        archives.chosen(found, "x", "7*", None)


def names(found: archives.Offered) -> list[str]:
    return [f"{one.name}:{one.architecture}" for one in found.packages]


@pytest.mark.parametrize(
    ("images", "taken"),
    [
        (["linux-image-", "linux-image-unsigned-"], "linux-image-"),
        (["linux-image-unsigned-"], "linux-image-unsigned-"),
    ],
)
def test_of_a_signed_image_and_the_same_without_a_signature_one_is_fetched(images, taken):
    release = "6.8.0-31-generic"
    found = archives.offered([package(f"{image}{release}") for image in images])
    assert [one.release for one in found] == [release]
    assert names(found[0]) == [f"{taken}{release}:i386"]


def test_a_special_flavour_is_taken_only_where_it_is_meant():
    found = archives.offered([
        part for release in ("6.12-rt-amd64", "6.12-amd64", "6.13-cloud-amd64")
        for part in (package(f"linux-image-{release}"), package(f"linux-headers-{release}"))
    ])  # fmt: skip
    assert archives.chosen(found, "x", None, None).release == "6.12-amd64"
    assert archives.chosen(found, "x", "*-rt-*", None).release == "6.12-rt-amd64"


LIBRARIES = ("libc6", "libelf1t64", "libzstd1", "zlib1g")


@pytest.mark.parametrize(
    ("there", "needs", "fetched"),
    [
        (LIBRARIES, "libc6 (>= 2.38)", True),
        (("libc6", "libelf1", "libzstd1", "zlib1g"), "libc6 (>= 2.38), x", True),
        (LIBRARIES, "libc6 (>= 2.36)", False),  # this host's own will do
        (LIBRARIES, "libc6 (>= 2.42)", False),  # the archive's own is too old as well
        (LIBRARIES[1:], "libc6 (>= 2.38)", False),
    ],
)
@pytest.mark.parametrize("programs", ["linux-kbuild-6.12", "linux-headers-6.12-x"])
def test_kbuild_s_programs_come_with_a_newer_c_library_where_they_need_it(
    there, needs, fetched, programs
):
    depends = {"linux-headers-6.12-x": "linux-kbuild-6.12", programs: f"{needs}, linux-kbuild-6.12"}
    found = archives.offered([
        package("linux-image-6.12-x", "amd64"),
        *(package(name, "amd64", "1", depends.get(name, ""))
          for name in ("linux-headers-6.12-x", "linux-kbuild-6.12")),
        *(package(name, architecture, "2.41") for name in there
          for architecture in ("amd64", "i386")),
    ])  # fmt: skip
    more = [f"{name}:amd64" for name in there] if fetched else []
    assert names(found[0])[3:] == more
