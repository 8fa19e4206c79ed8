"""Which packages make a kernel, as the archive's indexes tell it."""

import pytest

from vmlab.arch import ARCHES
from vmlab.cache import Cache
from vmlab.catalog import Kernel, Package, Unavailable, locking
from vmlab.catalog.find import CHANNELS, LIBRARIES, Finder
from vmlab.catalog.pins import Pins
from vmlab.catalog.records import Gone
from vmlab.errors import UsageError

X86_64 = ARCHES["x86_64"]
FORKY, EXPERIMENTAL = (channel for channel in CHANNELS if channel.series == "7")
OLD = next(channel for channel in CHANNELS if channel.series == "6.1")
NEW = "7.2.12+deb14"


class Indexes:
    """What apt read from the archive; stands in for it at its process boundary."""

    def __init__(self) -> None:
        self.found: list[tuple[Package, str]] = []

    def add(self, suite: str, name: str, version: str, depends: str = "", arch="amd64") -> None:
        file = f"pool/{name}_{version}_{arch}.deb"
        package = Package(name, version, arch, suite, file, f"{name} {version} {suite}", 1)
        self.found.append((package, depends))

    def update(self, suites) -> None:
        pass

    def packages(self, suite, names):
        return [
            (one, text) for one, text in self.found if one.suite == suite and names.match(one.name)
        ]


def split(indexes: Indexes, suite: str, release: str, version: str, libc: str = "2.38") -> None:
    """A kernel as it is packaged since 7; names and dependencies are those of 7.2.12-1."""
    identity, own = f"{release}-amd64", f"(= {version})"
    parts = [f"linux-{part}-{identity}" for part in ("base", "binary", "modules")]
    image = "dracut | initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool, "
    image += ", ".join(f"{part} {own}" for part in parts)
    headers = f"gcc-16-for-host, linux-base (>= 4.12~), {parts[0]} {own}, "
    headers += f"linux-headers-{release}-common {own}, linux-kbuild-{release}"
    indexes.add(suite, f"linux-image-{identity}", version, image)
    for part in parts:
        indexes.add(suite, part, version, "" if part == parts[0] else f"kmod, {parts[0]} {own}")
    indexes.add(suite, f"linux-headers-{identity}", version, headers)
    indexes.add(suite, f"linux-headers-{release}-common", version, arch="all")
    kbuild = f"pahole, libc6 (>= {libc}), libelf1t64 (>= 0.144), zlib1g (>= 1:1.2.3.4)"
    indexes.add(suite, f"linux-kbuild-{release}", version, kbuild)
    indexes.add(suite, f"linux-kbuild-{release}", version, kbuild, arch="i386")


def libraries(indexes: Indexes, suite: str, libc: str) -> None:
    for name in LIBRARIES:
        indexes.add(suite, name, libc if name == "libc6" else "1")


@pytest.fixture
def indexes() -> Indexes:
    return Indexes()


def candidates(indexes: Indexes, channel=FORKY) -> list[Kernel]:
    return Finder(indexes).kernels(channel, X86_64)


def names(packages) -> list[str]:
    return [f"{package.name} {package.architecture} {package.suite}" for package in packages]


def test_a_split_image_is_all_the_packages_that_it_depends_on(indexes):
    split(indexes, "forky", NEW, "7.2.12-1")
    libraries(indexes, "forky", "2.43-7")
    (kernel,) = candidates(indexes)
    assert (kernel.id, kernel.default, kernel.version) == (f"{NEW}-amd64", False, "7.2.12-1")
    assert names(kernel.image) == [
        f"linux-{part}-{NEW}-amd64 amd64 forky" for part in ("image", "base", "binary", "modules")
    ]
    assert kernel.size == 11
    assert names(kernel.headers) == [
        f"linux-headers-{NEW}-amd64 amd64 forky",
        f"linux-headers-{NEW}-common all forky",
        f"linux-kbuild-{NEW} amd64 forky",
        *(f"{name} amd64 forky" for name in LIBRARIES),
    ]


def test_an_image_in_one_package_is_that_package(indexes):
    indexes.add("bookworm", "linux-image-6.1.0-50-amd64", "6.1.176-1", "kmod, linux-base (>= 4.3~)")
    indexes.add("bookworm", "linux-image-6.1.0-50-rt-amd64", "6.1.176-1")
    (kernel,) = candidates(indexes, OLD)
    assert names(kernel.image) == ["linux-image-6.1.0-50-amd64 amd64 bookworm"]
    assert kernel.headers == ()


@pytest.mark.parametrize("part", ["base", "binary", "modules"])
def test_an_image_whose_parts_are_not_all_listed_is_none(indexes, part):
    split(indexes, "forky", NEW, "7.2.12-1")
    missing = f"linux-{part}-{NEW}-amd64"
    indexes.found = [one for one in indexes.found if one[0].name != missing]
    assert candidates(indexes) == []


@pytest.mark.parametrize(
    ("needed", "suites", "chosen"),
    [
        ("2.36", {"forky": "2.43-7"}, None),  # runs on Debian 12 as it is
        ("2.37", {"forky": "2.43-7"}, "forky"),
        ("2.38", {"forky": "2.37-1", "sid": "2.38-1"}, "sid"),
    ],
)
def test_libraries_come_where_kbuild_needs_a_newer_one_than_the_host_s(
    indexes, needed, suites, chosen
):
    split(indexes, "experimental", "7.3", "7.3~rc7-1~exp1", needed)
    for suite, libc in suites.items():
        libraries(indexes, suite, libc)
    (kernel,) = candidates(indexes, EXPERIMENTAL)
    assert len(kernel.headers) == (7 if chosen else 3)
    assert {package.suite for package in kernel.headers[3:]} == ({chosen} if chosen else set())


@pytest.mark.parametrize("libc", ["2.37-1", None])
def test_without_the_libraries_there_are_no_headers_and_others_come_first(indexes, libc):
    split(indexes, "forky", NEW, "7.2.12-1", "2.38")
    split(indexes, "sid", "7.1.1+deb14", "7.1.1-1", "2.36")
    if libc:
        libraries(indexes, "forky", libc)
    first, second = candidates(indexes)
    assert (first.id, len(first.headers)) == ("7.1.1+deb14-amd64", 3)
    assert (second.id, second.headers) == (f"{NEW}-amd64", ())


def test_near_is_the_same_kernel_with_other_libraries_and_none_of_another_channel(indexes):
    split(indexes, "forky", NEW, "7.2.12-1")
    libraries(indexes, "forky", "2.43-7")
    (pinned,) = candidates(indexes)
    assert Finder(indexes).near_kernels(pinned) == []
    split(indexes, "sid", "7.2.13+deb14", "7.2.13-1")
    split(indexes, "experimental", "7.3", "7.3~rc7-1~exp1")
    indexes.found = [one for one in indexes.found if one[0].name != "libc6"]
    indexes.add("forky", "libc6", "2.43-8")
    near = Finder(indexes).near_kernels(pinned)
    assert [one.id for one in near] == [f"{NEW}-amd64", "7.2.13+deb14-amd64"]
    assert [one.version for one in near[0].headers if one.name == "libc6"] == ["2.43-8"]


class Whole:
    """A catalog whose archive lacks some packages although it lists them."""

    def __init__(self, *gone: str) -> None:
        self.gone, self.said = gone, []
        self.say = self.said.append

    def image(self, kernel: Kernel) -> None:
        if lost := {package.name for package in kernel.image} & set(self.gone):
            raise Gone(f"{lost} 404")

    def modules(self, kernel: Kernel) -> None:
        if kernel.id in self.gone:
            raise Unavailable("none of its packages holds its modules")

    def headers(self, kernel: Kernel) -> None:
        if lost := {package.name for package in kernel.headers} & set(self.gone):
            raise Gone(f"{lost} 404")


def seven(indexes: Indexes) -> None:
    split(indexes, "forky", NEW, "7.2.12-1")
    split(indexes, "sid", "7.2.13+deb14", "7.2.13-1")
    split(indexes, "experimental", "7.3", "7.3~rc7-1~exp1")
    libraries(indexes, "forky", "2.43-7")


@pytest.mark.parametrize(
    ("gone", "pinned"),
    [
        ((), [f"{NEW}-amd64", "7.3-amd64"]),
        ((f"linux-modules-{NEW}-amd64",), ["7.2.13+deb14-amd64", "7.3-amd64"]),
        ((f"linux-kbuild-{NEW}", "linux-image-7.3-amd64"), ["7.2.13+deb14-amd64"]),
        ((f"{NEW}-amd64", "7.2.13+deb14-amd64"), ["7.3-amd64"]),
    ],
)
def test_the_first_that_is_whole_is_pinned_in_each_channel(indexes, gone, pinned):
    seven(indexes)
    catalog = Whole(*gone)
    assert [one.id for one in locking.kernels(Finder(indexes), catalog)] == pinned
    assert len(catalog.said) == len(gone)


def test_only_the_wanted_series_are_pinned_anew(indexes):
    seven(indexes)
    indexes.add("bookworm", "linux-image-6.1.0-50-amd64", "6.1.176-1")
    old = locking.kernels(Finder(indexes), Whole())
    indexes.add("bookworm", "linux-image-6.1.0-51-amd64", "6.1.180-1")
    split(indexes, "forky", "7.2.14+deb14", "7.2.14-1")
    new = locking.kernels(Finder(indexes), Whole(), old, ["7"])
    assert [one.id for one in old] == ["6.1.0-50-amd64", f"{NEW}-amd64", "7.3-amd64"]
    assert [one.id for one in new] == ["6.1.0-50-amd64", "7.2.14+deb14-amd64", "7.3-amd64"]


def test_an_unknown_series_is_said_before_anything_is_fetched(tmp_path):
    with pytest.raises(
        UsageError, match=r"unknown series '7\.2'; there are 5\.10, 6\.1, 6\.12, 7, qemu"
    ):
        locking.relocked(Pins((), (), ()), ["7.2"], Cache(tmp_path), print)
    assert list(tmp_path.iterdir()) == []


def test_of_each_series_the_newest_source_of_its_first_suite_is_pinned():
    indexes = Indexes()
    for suite, series, version in (
        ("bookworm", "6.1", "6.1.170-3"), ("bookworm", "6.1", "6.1.176-1"),
        ("bookworm-security", "6.1", "6.1.180-1"), ("bookworm-backports", "6.12", "6.12.95-1"),
        ("sid", "7.2", "7.2.13-1"), ("forky", "7.2", "7.2.12-1"), ("experimental", "7.3", "7.3-1"),
        ("bullseye-security", "6.1", "6.1.190-1"), ("bookworm", "6.1-rt", "6.1.199-1"),
    ):  # fmt: skip
        indexes.add(suite, f"linux-source-{series}", version, arch="all")
    found = Finder(indexes).linux_sources()
    assert [one.version for one in found] == ["6.1.176-1", "6.12.95-1", "7.2.12-1", "7.3-1"]
