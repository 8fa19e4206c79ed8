"""Folders that users bring: what cannot be read, leads nowhere, is read-only, does not match."""

import os
from pathlib import Path

import old_trees
import pytest

from vmlab.adding import With, add
from vmlab.artifacts import Artifacts
from vmlab.bisect.plan import Wanted, plans
from vmlab.cache import Cache
from vmlab.catalog import Catalog, added, brought, pins
from vmlab.errors import UsageError
from vmlab.project import find

ROOT = Path(__file__).parent.parent
OLDEST = old_trees.ERAS[0]


@pytest.fixture
def box(tmp_path):
    return old_trees.box(OLDEST, tmp_path / "box")


def kept(box: Path, tmp_path: Path):
    return added.Store(tmp_path / "kernels").keep(brought.look(box), "old", added.Words("gcc"))


def modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "name", ["bzImage", "config", "System.map", "build", "build/Module.symvers", "build/.config"]
)
def test_what_only_root_may_read_is_named(box, monkeypatch, name):
    closed = box / name
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and may(path, mode))
    with pytest.raises(UsageError, match=f"^{closed} cannot be read .* `sudo chmod .* {closed}`$"):
        brought.look(box)


def test_a_link_to_a_tree_that_stayed_on_the_box_is_no_kernel_without_one(box):
    (box / "build").rename(box / "elsewhere")
    (box / "build").symlink_to("elsewhere")
    assert brought.look(box).tree == box / "build"
    (box / "elsewhere").rename(box / "gone")
    with pytest.raises(UsageError, match="build is a link to elsewhere, which is not here"):
        brought.look(box)
    (box / "build").unlink()
    assert brought.look(box).tree is None


def test_the_copy_of_a_read_only_tree_is_not_read_only(box, tmp_path):
    paths = [box / "build", *(box / "build").rglob("*")]
    for path in reversed(paths):
        path.chmod(0o555 if path.is_dir() else 0o444)
    kernel = kept(box, tmp_path)
    for path in paths:
        path.chmod(0o755)
    assert modes(kernel.added.tree) == {0o755, 0o644}
    assert kernel.added.tree.stat().st_mode & 0o700 == 0o700


def test_kernels_are_told_by_their_age_and_not_by_their_names(tmp_path):
    store = added.Store(tmp_path / "kernels")
    for era in (old_trees.ERAS[2], OLDEST, old_trees.ERAS[-1]):
        box = old_trees.box(era, tmp_path / era.release)
        store.keep(brought.look(box), f"old-{era.release}", added.Words("gcc"))
    assert [one.id for one in store.kernels()] == ["old-2.6.8", "old-2.6.11", "old-4.4.155"]


def test_a_bisection_tells_the_releases_of_kernels_that_were_added(tmp_path):
    catalog = Catalog(Cache(tmp_path / "cache"), pins.Pins((), (), ()))
    store = added.Store(tmp_path / "kernels")
    for era, name in ((OLDEST, "box"), (old_trees.ERAS[1], "other")):
        folder = old_trees.box(era, tmp_path / name)
        store.keep(brought.look(folder), name, added.Words("gcc"))
    catalog.added = store.kernels()
    wanted = Wanted("zombie-detect", "box", "other")
    (plan,) = plans(find(ROOT), Artifacts(catalog.cache, catalog), wanted)
    assert plan.words.about == {"box": "2.6.8", "other": "2.6.9"}


def test_a_tree_that_cannot_be_copied_whole_is_said(box, tmp_path):
    os.mkfifo(box / "build/include/linux/pipe.h")
    with pytest.raises(
        UsageError, match=r"1 of its files cannot be copied, the first for .*pipe\.h"
    ):
        kept(box, tmp_path)
    assert not list((tmp_path / "kernels").rglob("build"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", []),
        ("CONFIG_GCC_VERSION=120200\nCONFIG_CC_IS_GCC=y\nCONFIG_LOCALVERSION='-x'\n", []),
        ("CONFIG_PREEMPT=y\nCONFIG_HZ=100\n", ["CONFIG_HZ", "CONFIG_PREEMPT"]),
        ("CONFIG_MODULES=m\n", ["CONFIG_MODULES"]),
    ],
)
def test_a_tree_of_another_configuration_is_told(box, tmp_path, more, said):
    with (box / "build/.config").open("a") as file:
        file.write(more)
    assert brought.look(box).differing == said
    heard = []
    catalog = Catalog(Cache(tmp_path / "cache"), pins.Pins((), (), ()), say=heard.append)
    artifacts = Artifacts(catalog.cache, catalog)
    add(artifacts, added.Store(tmp_path / "kernels"), box, "old", With("gcc"))
    assert [line.split(": ")[0] for line in heard] == (
        [f"{box}/config and {box}/build/.config differ in {', '.join(said)}"] if said else []
    )
