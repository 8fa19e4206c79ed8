"""The Debian image, made from a small root that stands for mmdebstrap's."""

import io
import re
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from test_userland import names

from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.build import debootstrap, process
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import LabError
from vmlab.images import Userland, cpio, debian

ROOT = Path(__file__).parent.parent
RECIPE = debian.read_recipe(debian.default_recipe())
STATUS = (
    "Package: kmod\nStatus: install ok installed\nVersion: 30+1\n\nPackage: udev\nVersion: 252\n"
)


def tar(path: Path, *members: tarfile.TarInfo, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as made:
        for one in members:
            made.addfile(one)
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode, about.mtime = len(content), 0o4755, len(name)
            about.uid, about.gid = 7, 8
            made.addfile(about, io.BytesIO(content))


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    about = tarfile.TarInfo(name)
    about.type, about.linkname, about.mode = kind, target, 0o777
    return about


@pytest.fixture
def root(tmp_path) -> Path:
    path = tmp_path / "root.tar"
    links = [
        link("./bin", "usr/bin", tarfile.SYMTYPE),
        link("./usr/bin/b", "./usr/bin/a", tarfile.LNKTYPE),
    ]
    files = {"./usr/bin/a": b"a", "./usr/share/doc/a/readme": b"x", "./dev/null": b"",
             "./usr/lib/x-linux-gnu/gconv/A.so": b"x",
             "./var/lib/dpkg/status": STATUS.encode()}  # fmt: skip
    tar(path, *links, files=files)
    return path


def test_the_recipe_beside_the_project_is_the_one_that_travels():
    assert (ROOT / "images" / "debian.yaml").read_bytes() == debian.default_recipe().read_bytes()


def test_a_root_is_sorted_and_without_what_the_recipe_leaves_out(root):
    whole = b"".join(debian.body(RECIPE, root)) + debian.end(RECIPE, b"agent", udev=False)
    found = names(whole)
    assert found[:4] == ["bin", "usr/bin/a", "usr/bin/b", "var/lib/dpkg/status"]
    assert {"init", "dev/console", "program"} <= set(found[4:])
    assert debian.START not in found
    assert debian.START in names(debian.end(RECIPE, b"agent", udev=True))


def test_equal_files_give_equal_bytes_whatever_their_times_and_order(root, tmp_path):
    again = tmp_path / "again.tar"
    with tarfile.open(root) as old, tarfile.open(again, "w") as new:
        for one in reversed(old.getmembers()):
            content = old.extractfile(one) if one.isreg() else None
            one.mtime = 12345
            new.addfile(one, content)
    assert [*debian.body(RECIPE, again)] == [*debian.body(RECIPE, root)]


def test_rights_owners_and_links_stay(root):
    with tarfile.open(root) as made:
        found = {one.name: debian._member(one.name, one, made) for one in made}
    assert found["./usr/bin/a"] == cpio.Member("./usr/bin/a", 0o104755, b"a", owner=(7, 8))
    assert found["./usr/bin/b"].content == b"/usr/bin/a"
    assert found["./bin"] == cpio.Member("./bin", 0o120777, b"usr/bin")
    owned = cpio.packed(cpio.Member("x", 0o100644, owner=(7, 8)))
    assert [owned[at : at + 8] for at in (22, 30)] == [b"00000007", b"00000008"]


def test_what_is_in_a_root_is_told_with_its_versions(root):
    assert debian.installed(root) == "kmod 30+1\nudev 252\n"


def test_a_guest_has_room_for_its_image_packed_and_unpacked():
    for mib in (40, 60, 61, 300):
        assert 3 * mib + 128 <= debian.memory_mib(mib << 20) < 3 * mib + 128 + 64


def test_the_command_names_all_that_is_wanted_once():
    words = debian.command(RECIPE, ARCHES["i386"], ["kmod", "v4l-utils"], "deb x", ["Proxy y"])
    (include,) = (word for word in words if word.startswith("--include="))
    packages = include.removeprefix("--include=").split(",")
    assert packages == sorted({*RECIPE.packages, "v4l-utils"})
    assert "--architectures=i386" in words and "--aptopt=Proxy y" in words
    assert words[-3:] == ["bookworm", "-", "deb x"]


def test_a_root_is_made_once_and_an_image_for_each_agent(root, tmp_path, monkeypatch):
    made = []

    def make(command, archive, what, heard):
        made.append(command)
        if any("other" in word for word in command):
            tar(archive, files={"x": b"x", "./var/lib/dpkg/status": STATUS.encode()})
        else:
            archive.write_bytes(root.read_bytes())

    monkeypatch.setattr(debootstrap, "make", make)
    cache = Cache(tmp_path / "cache")
    artifacts = Artifacts(cache, Catalog.open(cache))
    agent = tmp_path / "agent"
    monkeypatch.setattr(Artifacts, "agent", lambda self, arch: agent)
    arch, found = ARCHES["i386"], []
    plain, others = Userland(), [Userland((name,)) for name in ("v4l-utils", "other")]
    wishes = [(b"1", plain), (b"1", Userland(udev=True)), (b"2", plain)]
    for content, wanted in (*wishes, *((b"1", one) for one in others)):
        agent.write_bytes(content)
        found.append(artifacts.debian(arch, wanted))
    assert len(made) == 3  # one for each list of packages
    assert len({one.parent.name for one in found}) == 4  # equal roots give equal images
    assert found[0] == found[3]
    assert "init" in names(found[0].read_bytes())
    assert (next(cache.root.glob("debian/*/packages"))).read_text().startswith("kmod ")


def a_lab(folder: Path, monkeypatch, make) -> tuple[Artifacts, list[str]]:
    """Artifacts with a stand-in for mmdebstrap, and what they say."""
    monkeypatch.setattr(debootstrap, "make", make)
    said: list[str] = []
    cache = Cache(folder / "cache")
    artifacts = Artifacts(cache, Catalog.open(cache, said.append))
    agent = folder / "agent"
    agent.write_bytes(b"agent")
    monkeypatch.setattr(Artifacts, "agent", lambda self, arch: agent)
    return artifacts, said


@pytest.mark.parametrize("damage", ["changed", "shorter", "no body", "no sum", "nothing"])
def test_a_damaged_root_is_made_anew_and_that_is_said(root, tmp_path, monkeypatch, damage):
    made = []

    def make(command, archive, what, heard):
        made.append(what)
        archive.write_bytes(root.read_bytes())

    artifacts, said = a_lab(tmp_path, monkeypatch, make)
    whole = artifacts.debian(ARCHES["i386"], Userland()).read_bytes()
    (kept,) = (artifacts.cache.root / "debian").glob("[!.]*")
    if damage == "changed":
        (kept / "body").write_bytes(b"x" + (kept / "body").read_bytes()[1:])
    elif damage == "shorter":
        (kept / "body").write_bytes((kept / "body").read_bytes()[:-512])
    elif damage != "nothing":
        (kept / damage.removeprefix("no ")).unlink()
    shutil.rmtree(artifacts.cache.root / "images")
    assert artifacts.debian(ARCHES["i386"], Userland()).read_bytes() == whole
    again = damage != "nothing"
    assert (len(made), any("is made anew" in one for one in said)) == (1 + again, again)


def test_a_root_that_cannot_be_made_is_tried_once_a_command(tmp_path, monkeypatch):
    tried = []

    def make(command, archive, what, heard):
        tried.append(what)
        raise LabError(f"{what}: no network")

    artifacts, said = a_lab(tmp_path, monkeypatch, make)
    for _ in range(3):
        with pytest.raises(LabError, match=r"\(bookworm, i386\) with x, y: no network"):
            artifacts.debian(ARCHES["i386"], Userland(("x", "y")))
    with pytest.raises(LabError, match=r"\(bookworm, amd64\): no network"):
        artifacts.debian(ARCHES["x86_64"], Userland())
    assert len(tried) == 2
    artifacts.try_again()
    with pytest.raises(LabError, match="no network"):
        artifacts.debian(ARCHES["i386"], Userland(("x", "y")))
    assert len(tried) == 3
    assert not [*(artifacts.cache.root / "debian").glob("[!.]*")]
    assert "making a Debian root (bookworm, amd64) (once; it is kept)" in said


def test_a_root_whose_making_was_stopped_with_the_lab_is_tried_again(tmp_path, monkeypatch):
    tried = []

    def make(command, archive, what, heard):
        tried.append(what)
        raise process.StoppedError("the lab was stopped")

    artifacts, _ = a_lab(tmp_path, monkeypatch, make)
    for _ in range(2):
        with pytest.raises(process.StoppedError):
            artifacts.debian(ARCHES["i386"], Userland())
    assert len(tried) == 2


def test_the_host_s_own_names_are_not_in_an_image(root, tmp_path):
    changed = tmp_path / "changed.tar"
    tar(changed, files={"etc/hostname": b"host", "etc/resolv.conf": b"a", "etc/passwd": b"x"})
    whole = b"".join(debian.body(RECIPE, changed)) + debian.end(RECIPE, b"agent", udev=False)
    assert b"host\0" not in whole and "etc/resolv.conf" not in names(whole)
    assert b"vmlab\n" in whole and {"etc/passwd", "etc/hostname", "etc/hosts"} <= set(names(whole))


def test_without_mmdebstrap_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="a root: mmdebstrap was not found; as root: apt-get inst"):
        debootstrap.make(["mmdebstrap"], tmp_path / "root.tar", "a root")


def says(*lines: str, status: int = 25) -> list[str]:
    text = "".join(f"{line}\n" for line in lines)
    return [
        sys.executable,
        "-c",
        f"import sys; sys.stdout.write('tar'); sys.stderr.write({text!r}); sys.exit({status})",
    ]


ENDS = ("E: setup failed: E: apt-get --yes install x failed", "E: mmdebstrap failed to run")


@pytest.mark.parametrize(
    ("lines", "kind", "wanted"),
    [
        (
            ["E: Unable to locate package frob", "E: Package 'awk' has no installation candidate"],
            debootstrap.NoPackage,
            "a root: the archive has no packages awk, frob to install; look for the right name",
        ),
        (
            ["W: Download is unsandboxed", "E: Failed to fetch http://x/y  Connection refused"],
            LabError,
            "said: E: Failed to fetch http://x/y  Connection refused; is the mirror reachable?",
        ),
        (
            ["The following packages have unmet dependencies:", " a : Depends: b", "E: broken"],
            LabError,
            "said: a : Depends: b E: broken; take away the packages that",
        ),
        (["E: x (No space left on device)"], LabError, "device); free some space there"),
        (["Setting up x ...", "dpkg: error processing package x"], LabError, "leave it out"),
        ([], LabError, "mmdebstrap said: I: x E: setup failed: "),
    ],
    ids=["names", "network", "dependencies", "space", "installation", "nothing told"],
)
def test_what_went_wrong_is_said_in_apt_s_words(tmp_path, lines, kind, wanted):
    with pytest.raises(kind, match=re.escape(wanted)) as caught:
        debootstrap.make(says("I: x", *lines, *ENDS), tmp_path / "root.tar", "a root")
    assert ("apt-get" in str(caught.value).replace("apt-cache", "")) == (not lines)


def test_what_mmdebstrap_is_at_is_heard_and_its_root_goes(tmp_path):
    heard: list[str] = []
    lines = ["I: extracting archives...", "I: running --setup-hook: /x", "Get:1 x", "I: done"]
    debootstrap.make(says(*lines, status=0), tmp_path / "root.tar", "a root", heard.append)
    assert heard == ["extracting archives", "done"]
    assert [path.name for path in tmp_path.iterdir()] == ["root.tar"]


def test_mmdebstrap_is_told_to_end_where_the_lab_is(tmp_path):
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('E: told to'))\n"
        "print('I: waiting', file=sys.stderr, flush=True)\n"
        "time.sleep(60)"
    )
    with pytest.raises(LabError, match="the lab was stopped"):
        debootstrap.make(
            [sys.executable, "-c", script], tmp_path / "root.tar", "a root",
            lambda _: process.end(),
        )  # fmt: skip
    assert not process._RUNNING
