"""A user's kernels are kept one at a time: which of several is meant, what is there meanwhile, and
what is left."""

import re
import shutil
import struct
import threading
from pathlib import Path

import old_trees
import pytest
from adding_bench import Bench
from typer.testing import CliRunner

from vmlab import adding
from vmlab.adding import With, add, keep
from vmlab.artifacts import Artifacts
from vmlab.build import kbuild
from vmlab.catalog import added, bzimage
from vmlab.catalog.brought import look
from vmlab.errors import LabError, UsageError, reading
from vmlab.sources import copy

ERA = old_trees.ERAS[-1]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def box(tmp_path):
    return old_trees.box(ERA, tmp_path / "box")


def boot_of_a_box(folder: Path, *releases: str) -> Path:
    """What stands in /boot where several kernels are installed."""
    folder.mkdir()
    for release in releases:
        old_trees.image(release, folder / f"vmlinuz-{release}")
        text = f"# Linux/x86 {release} Kernel Configuration\n{old_trees.CONFIG}"
        (folder / f"config-{release}").write_text(text)
        (folder / f"System.map-{release}").write_text(release)
    return folder


def test_of_several_images_one_is_named_and_what_is_of_it_is_taken(tmp_path):
    folder = boot_of_a_box(tmp_path / "boot", "5.10.0-30-686", "6.1.0-9-686")
    (folder / "vmlinuz").symlink_to("vmlinuz-6.1.0-9-686")
    with pytest.raises(UsageError, match=r"6\.1\.0-9-686 \(vmlinuz-.*\), 5\.10.*--release"):
        look(folder)
    with pytest.raises(UsageError, match=r"holds the kernels 6\.1"):
        look(folder, "7*")
    found = look(folder, "6.1*")
    assert (found.release, found.config.name) == ("6.1.0-9-686", "config-6.1.0-9-686")
    assert found.system_map and found.system_map.read_text() == "6.1.0-9-686"
    found.system_map.unlink()
    assert look(folder, "6.1*").system_map is None  # what is there is the other one's
    (folder / "System.map-of-the-box").touch()
    assert look(folder, "6.1*").system_map == folder / "System.map-of-the-box"


def test_an_image_under_two_names_and_its_signature_are_one_kernel(tmp_path):
    folder = boot_of_a_box(tmp_path / "boot", "6.1.0-9-686")
    (folder / "vmlinuz").symlink_to("vmlinuz-6.1.0-9-686")
    (folder / "vmlinuz-6.1.0-9-686.sig").write_bytes(b"signature")
    assert look(folder).release == "6.1.0-9-686"


def test_a_tree_that_links_to_another_is_not_copied(box, tmp_path):
    """As Ubuntu's headers of one flavour do; a link inside is one of a whole tree."""
    (box / "build/lib").symlink_to("include")
    assert look(box).copied
    common = tmp_path / "linux-headers-4.4.155-3"
    common.mkdir()
    (common / "Kbuild").touch()
    (box / "build/Kbuild").symlink_to(common / "Kbuild")
    assert not look(box).copied


def test_a_built_tree_has_its_own_configuration(tmp_path):
    tree = old_trees.tree(ERA, tmp_path / "tree")
    (tree / "arch/x86/boot").mkdir(parents=True)
    old_trees.image(ERA.release, tree / "arch/x86/boot/bzImage")
    (tree / "config-of-another").write_text("CONFIG_ARM=y\n")
    assert look(tree).config == tree / ".config"


@pytest.mark.parametrize(
    ("head", "fits"),
    [
        ("# Linux/x86 4.4.302 Kernel Configuration", True),
        ("# Linux/i386 4.4.0-rc1 Kernel Configuration", True),
        ("# Linux/x86 4.5.155 Kernel Configuration", False),
        ("# Automatically generated\n# Linux kernel version: 2.6.32", False),
        ("# nothing", True),
    ],
)
def test_a_configuration_of_another_kernel_is_refused(box, head, fits):
    (box / "config").write_text(f"#\n{head}\n{old_trees.CONFIG}")
    if fits:
        assert look(box).release == ERA.release
        return
    with pytest.raises(UsageError, match=r"config is of .*, and the kernel is 4\.4\.155"):
        look(box)


def test_an_image_of_another_architecture_than_its_configuration_is_refused(box):
    head = bytearray((box / "bzImage").read_bytes())
    head[0x236:0x238] = struct.pack("<H", 1)
    (box / "bzImage").write_bytes(head)
    with pytest.raises(UsageError, match=r"config is of i386, and .*bzImage of x86_64"):
        look(box)


def test_a_kernel_is_there_only_once_a_module_was_built_for_it(bench, box, monkeypatch):
    seen = []
    build = kbuild.build

    def watched(*words, **more):
        seen.append(bench.names)
        return build(*words, **more)

    monkeypatch.setattr(kbuild, "build", watched)
    kernel = bench.add(box, "mine")
    assert seen == [[]] and bench.names == ["mine"]
    assert not kernel.added.directory.name.startswith(".")
    assert kernel.added.tree.is_dir()


def test_of_two_that_are_added_under_one_name_at_a_time_one_is(bench, box, tmp_path):
    """Both began before either was there."""
    other = tmp_path / "other"
    shutil.copytree(box, other)
    with (other / "bzImage").open("ab") as file:
        file.write(b"another")
    both = [(bench.artifacts, folder) for folder in (box, other)]
    refused = []

    def begin(artifacts: Artifacts, folder: Path) -> None:
        try:
            add(artifacts, bench.store, folder, "mine", With("gcc"))
        except UsageError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin, args=one) for one in both]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert bench.names == ["mine"]
    assert len(refused) == 1 and "there is a kernel mine already" in refused[0]


def test_one_that_is_to_take_another_s_place_and_cannot_leaves_it(bench, box):
    first = bench.add(box, "mine")
    (box / "bzImage").write_bytes((box / "bzImage").read_bytes() + b"another")
    header = box / "build/include/linux/kernel.h"
    text = header.read_text()
    header.write_text("#error no\n")
    with pytest.raises(UsageError, match="no module can be built"), bench.store.alone():
        keep(bench.artifacts, bench.store, look(box), "mine", With("gcc"), instead=True)
    assert bench.store.kernels() == (first,)
    header.write_text(text)
    with bench.store.alone():
        second = keep(bench.artifacts, bench.store, look(box), "mine", With("gcc"), instead=True)
    assert bench.store.kernels() == (second,) and second != first


def test_what_a_killed_one_left_goes_with_the_next(bench, box):
    bench.store.part(added.UNPACKED, "left", lambda directory: None)
    half = bench.store._cache.root / "kernels/.making-old-1"
    half.mkdir(parents=True)
    kernel = bench.add(box, "mine")
    bench.store.remove(kernel)
    kernel.added.directory.mkdir()  # as a lock's file brought it back
    bench.add(box, "mine")
    assert bench.left == []
    assert [one.name for one in bench.store._cache.root.glob("*/.*")] == [".store.lock"]


def test_a_kernel_that_goes_while_the_store_is_read_is_just_not_there(bench, box, monkeypatch):
    bench.add(box, "mine")
    read = added.read

    def late(directory: Path):
        shutil.rmtree(directory)
        return read(directory)

    monkeypatch.setattr(added, "read", late)
    assert bench.store.kernels() == ()


def test_a_kernel_whose_record_is_damaged_is_named(bench, box):
    kernel = bench.add(box, "mine")
    (kernel.added.directory / "kernel.json").write_text("{")
    with pytest.raises(LabError, match=rf"kernel\.json: .*; remove {kernel.added.directory}"):
        bench.store.kernels()


def refused(*words: object) -> None:
    """As the kernel refuses a plain user the image of an installed system."""
    raise PermissionError(13, "Permission denied", str(words[0]))


@pytest.mark.parametrize(
    ("place", "name", "raised"),
    [
        (bzimage, "release", refused),
        (shutil, "copy2", refused),
        (shutil, "copytree", lambda source, *_, **__: _several(source)),
    ],
    ids=["release", "copy2", "copytree"],
)
def test_a_file_that_cannot_be_read_is_named_and_not_taken_for_the_store_s(
    bench, box, monkeypatch, place, name, raised
):
    monkeypatch.setattr(place, name, raised)
    said = r"make it readable for you|let this user read all of it"
    with pytest.raises(UsageError, match=rf"(reading|copying) {box}/\w+.*: .*; ({said})"):
        bench.add(box, "mine")
    assert bench.left == []


def _several(source: Path) -> None:
    raise shutil.Error([(str(source / "Makefile"), "to", "[Errno 13] Permission denied")])


def test_a_source_file_that_cannot_be_read_is_named_too(tmp_path, monkeypatch):
    (tmp_path / "linux").mkdir()
    (tmp_path / "linux/Makefile").touch()
    monkeypatch.setattr(copy, "_copied", refused)
    with pytest.raises(UsageError, match=r"reading .*/linux/Makefile: permission denied; make it"):
        copy.update(tmp_path / "linux", tmp_path)


def test_a_file_is_the_user_s_by_any_name(tmp_path):
    (tmp_path / "link").symlink_to("box")
    with pytest.raises(UsageError, match="make it readable"), reading(tmp_path / "link"):
        raise PermissionError(13, "Permission denied", str(tmp_path / "box/modules/a.ko"))


def test_what_cannot_be_written_is_no_fault_of_the_user_s_file(tmp_path):
    full = OSError(28, "No space left on device", str(tmp_path / "store/x"))
    with pytest.raises(OSError, match="No space"), reading(tmp_path / "box"):
        raise full


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ("modpost: libc.so.6: version `GLIBC_2.38' not found (required by", "newer C library"),
        ("/bin/sh: 1: scripts/basic/fixdep: Exec format error", "made for another machine"),
        ("Makefile:1: ../linux-headers-6-common/Makefile: No such file or directory", "not whole"),
        ("../x/Makefile:9: /a/scripts/Makefile.debug: No such file or directory", "linux-kbuild-"),
        ("make: *** No rule to make target '../x-common/Makefile'.  Stop.", "not whole"),
        ("m.c:1:10: fatal error: no.h: No such file or directory", "it wants gcc-6"),
        ("kernel.h:1: error: unknown type", "it wants gcc-6"),
    ],
)
def test_what_is_next_depends_on_what_was_said(box, said, step):
    assert step in adding._next_step(look(box), With(), said)


@pytest.mark.parametrize(
    ("words", "needless"),
    [
        (["git:x@y", "bookworm", "main"], "SUITE COMPONENT"),
        (["git:x@y", "sid", "main", "--release", "6*"], "SUITE COMPONENT, --release"),
        (["debian-source:6.1", "--keyring", "/k"], "--keyring"),
        (["/tmp", "bookworm", "main"], "SUITE COMPONENT"),
        (["/tmp", "--arch", "i386", "--keyring", "/k"], "--keyring, --arch"),
    ],
)
def test_what_means_nothing_for_a_source_is_refused_and_not_passed_over(words, needless):
    from vmlab.cli import app

    with pytest.raises(UsageError, match=rf"{re.escape(words[0])} is .*; leave out {needless}$"):
        CliRunner().invoke(app, ["kernels", "add", *words], catch_exceptions=False)


@pytest.mark.parametrize("name", ["default", "all", "newest", "oldest"])
def test_a_name_that_means_other_kernels_is_refused(bench, box, name):
    with pytest.raises(UsageError, match=f"'{name}' means other kernels in --kernel"):
        bench.add(box, name)


@pytest.mark.parametrize("words", [["apt:x"], ["apt:x", "sid"], ["apt:x", "a", "b", "c"]])
def test_an_archive_s_words_are_named_where_they_lack(words):
    from vmlab.cli import app

    with pytest.raises(UsageError, match=r"apt:URL SUITE COMPONENT.*; a flat one.*apt:URL \./"):
        CliRunner().invoke(app, ["kernels", "add", *words], catch_exceptions=False)


def test_an_architecture_that_is_none_is_refused_before_anything_is_fetched():
    from vmlab.cli import app

    with pytest.raises(UsageError, match="no architecture 'amd64'; there are i386, x86_64"):
        words = ["kernels", "add", "apt:x", "sid", "main", "--arch", "amd64"]
        CliRunner().invoke(app, words, catch_exceptions=False)
