import contextlib
import hashlib
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from vmlab import lab
from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog, Kernel, Package, Unavailable, pins
from vmlab.catalog.apt import Apt, Mirrors, mirrors
from vmlab.catalog.find import Finder
from vmlab.catalog.records import Gone
from vmlab.errors import LabError
from vmlab.executor import exit_status
from vmlab.project import Project, Settings
from vmlab.runner import Runner
from vmlab.verdict import Verdict

IMAGE = "linux-image-6.1.0-50-amd64"


def debian(tmp_path: Path, name: str, version: str, files: dict[str, str]) -> bytes:
    """A real .deb file with these files."""
    tree = tmp_path / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
    (tree / "DEBIAN/control").write_text(control + "Maintainer: a <a@b>\nDescription: x\n")
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    out = tmp_path / f"{name}-{version}.deb"
    subprocess.run(["dpkg-deb", "-b", str(tree), str(out)], check=True, capture_output=True)
    return out.read_bytes()


class Archive:
    """A mirror that is a directory; stands in for apt at its process boundary."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.index: list[tuple[Package, str]] = []
        self.updates: list[list[str]] = []

    def add(self, name: str, version: str, content: bytes, depends: str = "") -> Package:
        file = f"pool/{name}_{version}.deb"
        self.files[file] = content
        digest = hashlib.sha256(content).hexdigest()
        package = Package(name, version, "amd64", "bookworm", file, digest, len(content))
        self.index.append((package, depends))
        return package

    @contextlib.contextmanager
    def fetched(self, record: Package):
        content = self.files.get(record.file)
        if content is None:
            raise Gone(f"downloading {record.file}: 404")
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise LabError(f"downloading {record.file}: Hash Sum mismatch")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / Path(record.file).name
            file.write_bytes(content)
            yield file

    def update(self, suites) -> None:
        self.updates.append(list(suites))

    def packages(self, suite, names):
        found = (one for one in self.index if one[0].suite == suite)
        return (one for one in found if names.fullmatch(one[0].name))


@pytest.fixture
def archive() -> Archive:
    return Archive()


def catalog(tmp_path: Path, archive: Archive, *kernels: Kernel) -> tuple[Catalog, list[str]]:
    said: list[str] = []
    made = Catalog(Cache(tmp_path / "cache"), pins.Pins(kernels, (), ()), said.append)
    made._apt = lambda: archive  # type: ignore[method-assign,return-value,assignment]
    made._finder = lambda: Finder(archive)  # type: ignore[method-assign,arg-type]
    return made, said


def kernel(package: Package) -> Kernel:
    return Kernel(package.name.removeprefix("linux-image-"), ARCHES["x86_64"], True, (package,), ())


def image(tmp_path: Path, identity: str, version: str) -> bytes:
    return debian(
        tmp_path, f"linux-image-{identity}", version,
        {f"boot/vmlinuz-{identity}": "kernel", f"lib/modules/{identity}/kernel/a.ko": "module"},
    )  # fmt: skip


def test_a_kernel_is_fetched_once_and_its_parts_found(tmp_path, archive):
    pinned = kernel(archive.add(IMAGE, "6.1.176-1", image(tmp_path, "6.1.0-50-amd64", "6.1.176-1")))
    made, said = catalog(tmp_path, archive, pinned)
    assert not made.cached(pinned)
    assert made.obtain(pinned) == pinned
    assert made.image(pinned).read_text() == "kernel"
    assert (made.modules(pinned) / "kernel/a.ko").read_text() == "module"
    assert made.cached(pinned)
    archive.files.clear()
    assert made.obtain(pinned) == pinned
    assert len(said) == 1
    assert archive.updates == []


def test_a_pin_that_is_gone_falls_back_to_the_nearest_and_says_so(tmp_path, archive):
    near = archive.add(
        "linux-image-6.1.0-51-amd64", "6.1.180-1", image(tmp_path, "6.1.0-51-amd64", "6.1.180-1")
    )
    gone = kernel(replace(near, name=IMAGE, version="6.1.176-1", file="pool/gone.deb"))
    made, said = catalog(tmp_path, archive, gone)
    assert made.obtain(gone).id == "6.1.0-51-amd64"
    assert made.obtain(gone).id == "6.1.0-51-amd64"
    assert [line for line in said if "404" in line and "6.1.0-51-amd64 (6.1.180-1)" in line]


def test_a_kernel_that_is_wholly_gone_is_unavailable(tmp_path, archive):
    gone = kernel(Package(IMAGE, "1", "amd64", "bookworm", "pool/gone.deb", "0" * 64, 1))
    made, _ = catalog(tmp_path, archive, gone)
    with pytest.raises(Unavailable, match=r"404.*has no other 6\.1"):
        made.obtain(gone)


def split(tmp_path: Path, archive: Archive, identity: str, version: str) -> Kernel:
    """A kernel as it is packaged since 7."""
    files = {
        "image": {},
        "base": {f"usr/lib/modules/{identity}/modules.order": ""},
        "binary": {f"usr/lib/modules/{identity}/vmlinuz": "kernel"},
        "modules": {f"usr/lib/modules/{identity}/kernel/a.ko": "module"},
    }
    others = ", ".join(f"linux-{part}-{identity} (= {version})" for part in list(files)[1:])
    packages = []
    for part, content in files.items():
        name = f"linux-{part}-{identity}"
        made = debian(tmp_path, name, version, content)
        packages.append(archive.add(name, version, made, others if part == "image" else ""))
    return Kernel(identity, ARCHES["x86_64"], True, tuple(packages), ())


def test_a_split_kernel_is_one_directory_as_on_an_installed_system(tmp_path, archive):
    pinned = split(tmp_path, archive, "6.1.0-50-amd64", "1")
    other = replace(pinned, image=(*pinned.image[:3], archive.add("x", "1", b"x")))
    made, said = catalog(tmp_path, archive, pinned)
    assert made.to_fetch(pinned) == pinned.image
    assert made.obtain(pinned) == pinned
    assert made.cached(pinned)
    assert not made.cached(other)
    assert len(said) == 4
    found = made.image(pinned)
    assert found.read_text() == "kernel"
    # Snapshots are named by the last of these, virtme-run looks for the second from the first.
    root = found.parent.parent
    assert found == root / "boot/vmlinuz-6.1.0-50-amd64"
    assert made.modules(pinned) == root / "lib/modules/6.1.0-50-amd64"
    assert root.name.startswith("6.1.0-50-amd64-")
    assert {path.name for path in made.modules(pinned).iterdir()} == {
        "kernel", "modules.order", "vmlinuz",
    }  # fmt: skip


def test_a_kernel_whose_modules_are_in_none_of_its_packages_is_said(tmp_path, archive):
    pinned = split(tmp_path, archive, "6.1.0-50-amd64", "1")
    made, _ = catalog(tmp_path, archive, pinned)
    assert made.modules(pinned)
    with pytest.raises(Unavailable, match="holds its modules"):
        made.modules(replace(pinned, image=pinned.image[:3]))
    with pytest.raises(Unavailable, match="holds boot/vmlinuz-6"):
        made.image(replace(pinned, image=pinned.image[:2]))


@pytest.mark.parametrize("part", range(4))
def test_a_split_kernel_of_which_one_package_is_gone_falls_back(tmp_path, archive, part):
    pinned = split(tmp_path, archive, "6.1.0-50-amd64", "1")
    near = split(tmp_path, archive, "6.1.0-51-amd64", "2")
    made, _ = catalog(tmp_path, archive, pinned)
    del archive.files[pinned.image[part].file]
    assert made.obtain(pinned) == near


def wholly_gone(tmp_path: Path, archive: Archive) -> Kernel:
    """A split kernel that the index still lists, and another, whose files are all gone."""
    pinned = split(tmp_path, archive, "6.1.0-50-amd64", "1")
    split(tmp_path, archive, "6.1.0-51-amd64", "2")
    archive.files.clear()
    return pinned


def no_suite(archive: Archive) -> None:
    def update(suites) -> None:
        archive.updates.append(list(suites))
        raise Gone("the archive has no such suite any more")

    archive.update = update  # type: ignore[method-assign]


@pytest.mark.parametrize("suite_too", [False, True])
def test_a_split_kernel_that_is_wholly_gone_is_looked_for_once(tmp_path, archive, suite_too):
    pinned = wholly_gone(tmp_path, archive)
    if suite_too:
        no_suite(archive)
    made, _ = catalog(tmp_path, archive, pinned)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"404, and .*no (other 6\.1|such suite)"):
            made.obtain(pinned)
    assert len(archive.updates) == 1


def test_runs_on_a_kernel_that_is_wholly_gone_are_skipped_and_all_is_well(tmp_path, archive):
    pinned = wholly_gone(tmp_path, archive)
    made, _ = catalog(tmp_path, archive, pinned)
    (tmp_path / "hello.yaml").write_text("name: hello\nabout: x\nsteps:\n  - run: 'true'\n")
    project = Project(tmp_path, Settings(scenarios="."))
    (expanded,) = lab.load(project, made, [], [])
    runner = Runner(project, Artifacts(made.cache, made), QemuBackend(None))
    runs = [runner.run(expanded, pinned, again) for again in range(2)]
    assert {run.judgement.verdict for run in runs} == {Verdict.SKIPPED}
    assert "404" in runs[0].judgement.reason
    assert exit_status(runs) == 0


def test_a_package_that_guests_are_built_with_and_is_gone_is_the_lab_s_trouble(tmp_path, archive):
    musl = archive.add("musl-dev", "1", debian(tmp_path, "musl-dev", "1", {"a": "b"}))
    archive.files.clear()
    made, _ = catalog(tmp_path, archive)
    made.pins = replace(made.pins, packages=(replace(musl, architecture="i386"),))
    with pytest.raises(LabError, match=r"404.*no other version; guests' programs") as raised:
        made.package("musl-dev", ARCHES["i386"])
    assert not isinstance(raised.value, Unavailable), "that would skip runs and turn nothing red"


def test_headers_with_other_libraries_are_other_headers(tmp_path, archive):
    pinned = kernel(archive.add(IMAGE, "1", image(tmp_path, "6.1.0-50-amd64", "1")))
    files = {"usr/src/linux-headers-6.1.0-50-amd64/Makefile": ""}
    first = archive.add("linux-headers-6.1.0-50-amd64", "1", debian(tmp_path, "h", "1", files))
    libraries = [
        archive.add("libc6", version, debian(tmp_path, "libc6", version, {"usr/lib/v": version}))
        for version in ("1", "2")
    ]
    made, _ = catalog(tmp_path, archive, pinned)
    built = replace(pinned, headers=(first, libraries[0]))
    assert made.to_fetch(built) == (*pinned.image, first, libraries[0])
    trees = [made.headers(replace(pinned, headers=(first, library))) for library in libraries]
    assert [(tree / "../../lib/v").read_text() for tree in trees] == ["1", "2"]
    assert made.to_fetch(built) == pinned.image


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda content: content[:100], "Hash Sum mismatch"),
        (lambda content: b"x" + content[1:], "Hash Sum mismatch"),
    ],
)
def test_a_spoilt_download_is_never_unpacked(tmp_path, archive, spoil, expected):
    pinned = kernel(archive.add(IMAGE, "1", image(tmp_path, "6.1.0-50-amd64", "1")))
    archive.files[pinned.image[0].file] = spoil(archive.files[pinned.image[0].file])
    made, _ = catalog(tmp_path, archive, pinned)
    with pytest.raises(LabError, match=expected) as raised:
        made.obtain(pinned)
    assert not isinstance(raised.value, Unavailable)
    assert not made.cached(pinned)


def test_a_file_that_is_no_package_is_said(tmp_path, archive):
    pinned = kernel(archive.add(IMAGE, "1", b"rubbish"))
    archive.index.clear()
    made, _ = catalog(tmp_path, archive, pinned)
    with pytest.raises(LabError, match="unpacking linux-image"):
        made.unpacked(pinned.image[0])


def test_the_lock_file_reads_back_as_it_was_written(tmp_path):
    committed = pins.read(pins.committed())
    path = tmp_path / "kernels.lock"
    path.write_text(pins.text(committed))
    assert pins.read(path) == committed
    assert path.read_text() == pins.committed().read_text()


def test_the_default_kernels_are_two_series_of_both_architectures():
    defaults = [one for one in pins.read(pins.committed()).kernels if one.default]
    assert {(one.series, one.arch.name) for one in defaults} == {
        ("5.10", "i386"), ("5.10", "x86_64"), ("6.1", "i386"), ("6.1", "x86_64"),
    }  # fmt: skip
    assert all(one.headers for one in defaults)


@pytest.mark.parametrize("text", ["no toml [", "[[kernel]]\nid = 'x'\n", "[[package]]\nx = 1\n"])
def test_a_broken_lock_file_says_what_to_do(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    with pytest.raises(LabError, match="vmlab kernels lock"):
        pins.read(tmp_path / "lock")


def sources(tmp_path: Path, text: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(text)
    return tmp_path


def test_mirrors_come_from_the_host_s_own_sources(tmp_path, monkeypatch):
    monkeypatch.delenv("VMLAB_MIRROR", raising=False)
    etc = sources(
        tmp_path,
        "# http://old.example/debian\nTypes: deb\nURIs: http://a.example/debian/\n\n"
        "URIs: http://b.example/debian-security\n",
    )
    assert mirrors(etc) == Mirrors("http://a.example/debian", "http://b.example/debian-security")
    assert mirrors(etc).of("bullseye-security") == "http://b.example/debian-security"
    monkeypatch.setenv("VMLAB_MIRROR", "http://c.example/debian/")
    assert mirrors(etc).main == "http://c.example/debian"


def test_without_a_mirror_the_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("VMLAB_MIRROR", raising=False)
    with pytest.raises(LabError, match="set VMLAB_MIRROR"):
        mirrors(sources(tmp_path, "URIs: http://a.example/ubuntu\n"))


def test_indexes_are_read_by_name_and_suite(tmp_path):
    lists = tmp_path / "apt/root/state/lists"
    lists.mkdir(parents=True)
    stanza = (
        "Package: {0}\nVersion: 1\nArchitecture: amd64\nDepends: a (>= 1),\n b | c\n"
        "Filename: pool/{0}.deb\nSize: 5\nSHA256: " + "0" * 64 + "\n"
    )
    text = "\n".join(stanza.format(name) for name in ("linux-image-6.1.0-50-amd64", "bash"))
    (lists / "m_dists_bookworm_main_binary-amd64_Packages").write_text(text)
    (lists / "m_dists_trixie_main_binary-amd64_Packages").write_text(stanza.format("bash"))
    import re

    apt = Apt(Cache(tmp_path), Mirrors("x", "y"))
    found = list(apt.packages("bookworm", re.compile("bash")))
    assert [(package.name, package.suite, depends) for package, depends in found] == [
        ("bash", "bookworm", "a (>= 1),\n b | c")
    ]
