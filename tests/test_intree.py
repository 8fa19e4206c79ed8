"""Kernels of one's own, and the modules that their trees have."""

import shutil
from dataclasses import replace

import fake_kernel
import old_trees
import pytest
import test_added
import test_sources

from vmlab import frames, virtme_trees
from vmlab.errors import LabError
from vmlab.project import Project, Settings
from vmlab.symbols import Root

ERA = old_trees.ERAS[-1]


@pytest.fixture
def bench(tmp_path):
    return test_added.Bench(tmp_path)


def test_modules_of_a_source_are_the_kernel_s_own(tmp_path):
    bench, tree = test_sources.Bench(tmp_path), fake_kernel.tree(tmp_path / "linux")
    (tree / "lib").mkdir()
    for name in ("duck", "goose"):
        (tree / f"lib/{name}.c").write_text(f"int {name}(void) {{ return 0; }}\n")
    built = bench.build(str(tree)).kernel
    kernel = bench.add(str(tree), "mine")
    bench.cache.prune(None, dry_run=False)
    (tree / "lib/goose.c").unlink()
    later = bench.build(str(tree)).kernel
    for one, names in ((kernel, {"duck.ko", "goose.ko"}), (later, {"duck.ko"})):
        found = bench.artifacts.catalog.modules(one)
        assert {path.name for path in (found / "kernel/lib").iterdir()} == names
        assert (found / "modules.builtin").read_text() == "kernel/fs/old.ko\n"
    assert built.id == later.id


@pytest.mark.parametrize("prefix", ["", "kernel/"], ids=["6.1", "4.4"])
def test_modules_of_a_built_tree_are_the_kernel_s_own(bench, tmp_path, prefix):
    """A list names them; what an earlier configuration left is not in it."""
    tree = old_trees.tree(ERA, tmp_path / "tree")
    (tree / "arch/x86/boot").mkdir(parents=True)
    old_trees.image(ERA.release, tree / "arch/x86/boot/bzImage")
    for name in ("kernel/time/duck", "lib/goose", "lib/left"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / f"{name}.ko").write_text(name)
    (tree / "modules.order").write_text(f"{prefix}kernel/time/duck.ko\n{prefix}lib/goose.ko\n")
    kernel = bench.add(tree, "one")
    shutil.rmtree(tree / "lib")
    found = bench.artifacts.catalog.modules(kernel)
    names = {str(path.relative_to(found)) for path in found.rglob("*.ko")}
    assert names == {"kernel/kernel/time/duck.ko", "kernel/lib/goose.ko"}
    (tree / "kernel/time/duck.ko").write_text("another")
    bench.store.remove(kernel)
    assert bench.add(tree, "one").version != kernel.version


def test_modules_beside_an_image_are_copied(bench, tmp_path):
    box = old_trees.box(ERA, tmp_path / "box")
    (box / "modules/kernel/lib").mkdir(parents=True)
    (box / "modules/kernel/lib/duck.ko").write_text("duck")
    (box / "modules/build").symlink_to("/nowhere")
    kernel = bench.add(box, "one")
    shutil.rmtree(box / "modules")
    found = bench.artifacts.catalog.modules(kernel)
    assert (found / "kernel/lib/duck.ko").read_text() == "duck"
    assert not (found / "build").is_symlink()


def test_virtme_takes_an_added_kernel_that_its_root_can_come_to(bench, tmp_path):
    box = old_trees.box(ERA, tmp_path / "box")
    (box / "modules/kernel").mkdir(parents=True)
    kernel = bench.add(box, "one")
    with pytest.raises(LabError, match="one has no CONFIG_9P_FS, no CONFIG_NET_9P_VIRTIO, no "):
        virtme_trees.kernel_tree(bench.artifacts, kernel)
    with (box / "config").open("a") as file:
        file.write("CONFIG_9P_FS=m\nCONFIG_NET_9P_VIRTIO=m\nCONFIG_VIRTIO_PCI=y\n")
    kernel = bench.add(box, "two")
    image = virtme_trees.kernel_tree(bench.artifacts, kernel)
    assert image.name == f"vmlinuz-{ERA.release}" and image.is_file()
    assert (image.parent.parent / f"lib/modules/{ERA.release}/kernel").is_dir()


def test_lines_of_a_kernel_from_debian_s_source_are_that_source_s(bench, tmp_path):
    kernel = bench.add(old_trees.box(ERA, tmp_path / "box"), "one")
    tree = bench.cache.root / "linux-sources/linux-source-6.1-1"
    tree.mkdir(parents=True)
    wanted = frames.Frames(Project(tmp_path, Settings()), bench.artifacts)
    for origin, roots in (
        ("debian-source:6.1 (linux-source-6.1-1)", [Root(tree)]),
        ("debian-source:6.1 (linux-source-6.1-2)", []),
        (str(tree), []),
    ):
        built = replace(kernel, added=replace(kernel.added, source=origin))
        assert wanted.sources(built).kernel == roots
        assert wanted.sources(built).modules[1:] == [Root(kernel.added.tree)]
