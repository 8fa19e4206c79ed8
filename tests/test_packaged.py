"""Kernels out of packages: folders of .deb and .rpm files, and an apt archive of one's own."""

import gzip
import hashlib
import lzma
import re
import shutil
import struct
import subprocess
from pathlib import Path

import adding_bench
import old_trees
import pytest

from vmlab.adding import With, add, add_archive
from vmlab.catalog import archives, packaged, rpm
from vmlab.errors import LabError, UsageError

ERA = old_trees.ERAS[-1]
RELEASE = "4.4.155-3-test"


def parts(folder: Path, release: str = RELEASE, headers: str = "usr/src/linux-headers") -> Path:
    """What the packages of a kernel hold, as on an installed system."""
    image, tree = folder / "image", folder / "headers" / f"{headers}-{release}"
    (image / "boot").mkdir(parents=True)
    old_trees.image(release, image / f"boot/vmlinuz-{release}")
    (image / f"boot/config-{release}").write_text(old_trees.CONFIG)
    (image / f"boot/System.map-{release}").write_text("c0100000 T _text\n")
    own = image / f"lib/modules/{release}/kernel"
    own.mkdir(parents=True)
    (own / "own.ko").write_bytes(b"module")
    tree.parent.mkdir(parents=True)
    old_trees.tree(ERA, tree)
    version = (tree / "include/linux/version.h").read_text()
    (tree / "include/linux/version.h").write_text(
        version.replace(f'"{ERA.release}"', f'"{release}"')
    )
    return folder


def deb(root: Path, name: str, target: Path, depends: str = "", version: str = "1.0") -> Path:
    (root / "DEBIAN").mkdir(exist_ok=True)
    more = f"Depends: {depends}\n" if depends else ""
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: i386\nMaintainer: x <x@y>\n{more}"
        "Description: x\n"
    )
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob(f"{name}_*.deb"))


def debs(folder: Path, target: Path, release: str = RELEASE) -> Path:
    whole = parts(folder, release)
    target.mkdir(exist_ok=True)
    deb(whole / "image", f"linux-image-{release}", target)
    deb(whole / "headers", f"linux-headers-{release}", target, "linux-kbuild-4.4, make")
    return target


def newc(files: dict[str, tuple[int, bytes]], links: int = 1) -> bytes:
    """With `links` all files are names of one."""
    made = b""
    for name, (mode, content) in [*files.items(), ("TRAILER!!!", (0, b""))]:
        numbers = [1, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        made += b"070701" + b"".join(b"%08x" % one for one in numbers) + name.encode() + b"\0"
        made += b"\0" * (-len(made) % 4) + content
        made += b"\0" * (-len(made) % 4)
    return made


def rpm_of(payload: bytes) -> bytes:
    """Lead, a signature whose data wants padding, a header of one entry, the payload."""
    head = b"\x8e\xad\xe8\x01\0\0\0\0"
    signature = head + struct.pack(">II", 1, 5) + bytes(16) + b"12345" + bytes(3)
    return bytes(96) + signature + head + struct.pack(">II", 1, 4) + bytes(16) + b"abcd" + payload


def files_of(root: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        name = f"./{path.relative_to(root)}"
        kind = (0o040755, b"") if path.is_dir() else (0o100644, path.read_bytes())
        found[name] = (0o120777, str(path.readlink()).encode()) if path.is_symlink() else kind
    return found


class Bench(adding_bench.Bench):
    def add(self, folder: Path, name: str | None = None, release: str | None = None):
        return add(self.artifacts, self.store, folder, name, With("gcc"), release)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_folder_of_debs_is_a_kernel_with_its_headers_and_own_modules(bench, tmp_path):
    folder = debs(tmp_path / "parts", tmp_path / "debs")
    kernel = bench.add(folder)
    assert (kernel.id, kernel.arch.name, kernel.package) == (RELEASE, "i386", str(folder))
    catalog = bench.artifacts.catalog
    assert catalog.image(kernel).name == f"vmlinuz-{RELEASE}"
    assert (catalog.modules(kernel) / "kernel/own.ko").read_bytes() == b"module"
    shutil.rmtree(folder)  # what it needs of them is kept
    assert (catalog.headers(kernel) / "Module.symvers").is_file()
    bench.store.remove(kernel)
    assert not list((tmp_path / "kernels/unpacked").glob("[!.]*"))


def test_of_several_kernels_one_is_named(bench, tmp_path):
    debs(tmp_path / "one", tmp_path / "debs")
    folder = debs(tmp_path / "other", tmp_path / "debs", "4.4.155-4-test")
    with pytest.raises(UsageError, match=rf"{RELEASE}, 4\.4\.155-4-test; name one .*--release"):
        bench.add(folder)
    assert not list((tmp_path / "kernels/unpacked").glob("[!.]*"))
    assert bench.add(folder, release="*-4-test").id == "4.4.155-4-test"


@pytest.mark.parametrize(("name", "said"), [("a:b", "letters, digits"), ("old", "old already")])
def test_a_name_that_will_not_do_is_said_before_packages_are_unpacked(
    bench, tmp_path, monkeypatch, name, said
):
    bench.add(debs(tmp_path / "parts", tmp_path / "debs"), "old")
    monkeypatch.setattr(bench.store, "part", None)
    with pytest.raises(UsageError, match=said):
        bench.add(tmp_path / "debs", name)


def test_headers_alone_are_no_kernel(bench, tmp_path):
    folder = debs(tmp_path / "parts", tmp_path / "debs")
    next(folder.glob("linux-image*")).unlink()
    with pytest.raises(UsageError, match="no kernel's image"):
        bench.add(folder)


@pytest.mark.parametrize(
    "packed", [gzip.compress, lzma.compress, bytes], ids=["gzip", "xz", "plain"]
)
def test_a_folder_of_rpms_is_a_kernel(bench, tmp_path, packed):
    whole = parts(tmp_path / "parts", headers="usr/src/kernels/x")
    (whole / "headers/usr/src/kernels" / f"x-{RELEASE}").rename(
        whole / "headers/usr/src/kernels" / RELEASE
    )
    folder = tmp_path / "rpms"
    folder.mkdir()
    for name in ("image", "headers"):
        (folder / f"{name}.rpm").write_bytes(rpm_of(packed(newc(files_of(whole / name)))))
    kernel = bench.add(folder)
    assert kernel.id == RELEASE and kernel.for_modules
    assert (bench.artifacts.catalog.headers(kernel) / "Makefile").is_file()


def test_zstd_is_unpacked_by_the_host_s_program(tmp_path):
    if not shutil.which("zstd"):
        pytest.skip("zstd is not here")
    payload = subprocess.run(
        ["zstd", "-cq"], input=newc({"a": (0o100755, b"text")}), capture_output=True, check=True
    ).stdout
    (tmp_path / "a.rpm").write_bytes(rpm_of(payload))
    rpm.unpack(tmp_path / "a.rpm", tmp_path / "to")
    assert (tmp_path / "to/a").read_bytes() == b"text"
    assert (tmp_path / "to/a").stat().st_mode & 0o111


def test_each_name_of_a_file_has_its_content(tmp_path):
    """An archive has it once, with the last name."""
    names = {"a": (0o100644, b""), "b": (0o100644, b""), "c": (0o100644, b"text")}
    (tmp_path / "a.rpm").write_bytes(rpm_of(newc(names, links=3)))
    rpm.unpack(tmp_path / "a.rpm", tmp_path / "to")
    assert {path.name: path.read_text() for path in (tmp_path / "to").iterdir()} == {
        "a": "text", "b": "text", "c": "text",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no rpm at all", "it is no rpm"),
        (rpm_of(b"\x00\x01\x02\x03"), "begins with 00010203, which is not known"),
        (rpm_of(newc({"a": (0o100644, b"x")})[:-100]), "ends too early"),
        (rpm_of(gzip.compress(b"x" * 99)[:-9]), "Compressed file ended"),
        (rpm_of(newc({"../a": (0o100644, b"x")})), "leads out of it"),
        (rpm_of(newc({"a": (0o120777, b"/tmp"), "a/b": (0o100644, b"x")})), "leads out of it"),
    ],
)
def test_an_rpm_that_is_none_or_leads_out_is_refused(tmp_path, content, message):
    (tmp_path / "a.rpm").write_bytes(content)
    with pytest.raises(LabError, match=rf"unpacking a\.rpm: .*{message}"):
        rpm.unpack(tmp_path / "a.rpm", tmp_path / "to")


def archive(folder: Path, pool: Path, key: Path) -> Path:
    """An apt archive of these packages, signed with a key of its own."""
    home = folder / "gnupg"
    home.mkdir(mode=0o700, parents=True)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "--passphrase", ""]
    new = ["--quick-generate-key", "lab", "ed25519", "sign", "never"]
    subprocess.run([*gpg, *new], check=True, capture_output=True)
    subprocess.run([*gpg, "--output", str(key), "--export"], check=True, capture_output=True)
    lists = folder / "dists/etch/main/binary-i386"
    lists.mkdir(parents=True)
    (folder / "pool").mkdir()
    stanzas = []
    for file in sorted(pool.glob("*.deb")):
        shutil.copy(file, folder / "pool")
        control = subprocess.run(
            ["dpkg-deb", "--field", str(file)], capture_output=True, text=True, check=True
        ).stdout
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        where = f"Filename: pool/{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n"
        stanzas.append(control + where)
    (lists / "Packages").write_text("\n".join(stanzas))
    content = (lists / "Packages").read_bytes()
    line = f" {hashlib.sha256(content).hexdigest()} {len(content)} main/binary-i386/Packages\n"
    about = "Suite: etch\nCodename: etch\nArchitectures: i386\nComponents: main\n"
    signed(folder / "dists/etch", f"{about}SHA256:\n{line}", home)
    return folder


def signed(place: Path, release: str, home: Path | None = None) -> None:
    """Writes a release with a signature of the archive's key, which is below that place."""
    home = home or place / "gnupg"
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "--passphrase", ""]
    (place / "Release").write_text(release)
    command = [*gpg, "--clearsign", "--output", str(place / "InRelease"), str(place / "Release")]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)


def test_an_archive_of_one_s_own_gives_a_kernel_and_its_signature_counts(bench, tmp_path):
    key = tmp_path / "lab.gpg"
    pool = debs(tmp_path / "parts", tmp_path / "debs")
    where = archive(tmp_path / "archive", pool, key)
    mine = archives.Archive(f"file:{where}", "etch", "main", key)
    kernel = add_archive(bench.artifacts, bench.store, mine, "old", With("gcc"))
    assert (kernel.id, kernel.release) == ("old", RELEASE)
    assert kernel.package == f"apt:file:{where} etch main"
    assert any(f"{RELEASE} (i386), of 1 kernels there" in one for one in bench.said)
    bench.said.clear()
    with pytest.raises(UsageError, match="there is a kernel old already"):
        add_archive(bench.artifacts, bench.store, mine, "old", With("gcc"))
    assert [one for one in bench.said if ".deb" in one] == []
    with pytest.raises(LabError, match=r"apt said: .*(not signed|NO_PUBKEY|public key)"):
        add_archive(
            bench.artifacts, bench.store, archives.Archive(f"file:{where}", "etch", "main"),
            "other", With("gcc"),
        )  # fmt: skip
    with pytest.raises(LabError, match=rf"from file:{where}: .*; no key in .* --keyring names"):
        add_archive(
            bench.artifacts, bench.store, archives.Archive(f"file:{where}", "etch", "main"),
            "other", With("gcc"),
        )  # fmt: skip
    with pytest.raises(UsageError, match=r"the keyring .* is not there; .*--keyring"):
        archives.look(archives.Archive("file:/x", "a", "b", tmp_path / "none"), bench.cache, print)


def test_what_an_archive_said_before_does_not_count_once_its_signature_fails(bench, tmp_path):
    key = tmp_path / "lab.gpg"
    where = archive(tmp_path / "archive", debs(tmp_path / "parts", tmp_path / "debs"), key)
    mine = archives.Archive(f"file:{where}", "etch", "main", key)
    assert len(archives.look(mine, bench.cache, print)) == 1
    signed = where / "dists/etch/InRelease"
    signed.write_text(signed.read_text().replace("Suite: etch", "Suite: eth"))
    with pytest.raises(LabError, match=r"BADSIG .*; no key in .* vouches for it"):
        archives.look(mine, bench.cache, print)
    mine.apt(bench.cache, bench.said.append).update(["etch"])  # one of Debian's own may be behind
    assert re.search(r"not all came; what is here is used: .*BADSIG", bench.said[-1])


def test_only_the_indexes_that_an_architecture_needs_are_asked_for(bench, tmp_path):
    key = tmp_path / "lab.gpg"
    where = archive(tmp_path / "archive", debs(tmp_path / "parts", tmp_path / "debs"), key)
    mine = archives.Archive(f"file:{where}", "etch", "main", key)
    release = (where / "dists/etch/Release").read_text().replace("i386\n", "i386 amd64\n", 1)
    line = f" {hashlib.sha256(b'x').hexdigest()} 1 main/binary-amd64/Packages\n"
    (where / "dists/etch/main/binary-amd64").mkdir()
    (where / "dists/etch/main/binary-amd64/Packages").write_bytes(b"another")
    (where / "dists/etch/InRelease").unlink()
    signed(where / "dists/etch", release + line, tmp_path / "archive/gnupg")
    with pytest.raises(LabError, match=r"Failed to fetch .*binary-amd64"):
        archives.look(mine, bench.cache, print)
    assert "arch=amd64" not in sources_of(bench)
    with pytest.raises(LabError, match=r"Failed to fetch .*binary-amd64"):
        archives.look(mine, bench.cache, print, "i386")  # its programs for kbuild are that one's
    assert "arch=amd64,i386" in sources_of(bench)
    with pytest.raises(LabError, match="binary-amd64"):
        archives.look(mine, bench.cache, print, "x86_64")
    assert "arch=amd64]" in sources_of(bench)


def sources_of(bench: Bench) -> str:
    """What apt was told last."""
    (text,) = [one.read_text() for one in (bench.cache.root / "apt").glob("*/etc/sources.list")]
    return text


def test_a_component_that_an_archive_has_not_is_named(bench, tmp_path):
    key = tmp_path / "lab.gpg"
    where = archive(tmp_path / "archive", debs(tmp_path / "parts", tmp_path / "debs"), key)
    other = archives.Archive(f"file:{where}", "etch", "contrib", key)
    with pytest.raises(LabError, match=r"the component 'contrib'.*; name one that the archive has"):
        archives.look(other, bench.cache, print)


@pytest.mark.parametrize("directory", ["./", "/"])
def test_a_flat_archive_is_a_directory_without_components(bench, tmp_path, directory):
    key = tmp_path / "lab.gpg"
    where = archive(tmp_path / "archive", debs(tmp_path / "parts", tmp_path / "debs"), key)
    shutil.move(where / "dists/etch/main/binary-i386/Packages", where)
    content = (where / "Packages").read_bytes()
    signed(where, f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} Packages\n")
    shutil.rmtree(where / "dists")
    mine = archives.Archive(f"file:{where}", directory, "", key)
    kernel = add_archive(bench.artifacts, bench.store, mine, "old", With("gcc"))
    assert (kernel.release, kernel.package) == (RELEASE, f"apt:file:{where} {directory}")


def test_packages_are_told_from_a_kernel_s_own_folder(tmp_path):
    folder = debs(tmp_path / "parts", tmp_path / "debs")
    assert len(packaged.files(folder)) == 2
    assert packaged.files(tmp_path / "parts") == []
