"""A user's kernels and what is built for them: by which compiler, one at a time, and not for one
that is gone."""

import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fake_kernel
import old_trees
import pytest
from adding_bench import Bench

from vmlab import sources
from vmlab.adding import With, add
from vmlab.arch import ARCHES
from vmlab.build import kbuild, whole
from vmlab.catalog.records import Unavailable
from vmlab.errors import LabError, UsageError
from vmlab.sources import build as building
from vmlab.sources.build import Options

ERA = old_trees.ERAS[-1]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def box(tmp_path):
    return old_trees.box(ERA, tmp_path / "box")


def test_a_compiler_that_will_not_do_is_not_kept(bench, box, tmp_path):
    place = tmp_path / "root/usr/bin"
    place.mkdir(parents=True)
    clean = "env -u GCC_EXEC_PREFIX -u COMPILER_PATH"
    (place / "gcc-4.4").write_text(f'#!/bin/sh\nexec {clean} {shutil.which("gcc")} "$@"\n')
    (place / "gcc-4.4").chmod(0o755)
    (box / "build/include/linux/kernel.h").write_text("#error no\n")
    with pytest.raises(UsageError, match="no module can be built"):
        add(bench.artifacts, bench.store, box, "mine", With(root=tmp_path / "root"))
    assert (bench.names, bench.left) == ([], [])


def test_a_kernel_and_its_modules_are_built_by_a_compiler_in_a_root(bench, tmp_path):
    place = tmp_path / "root/usr/bin"
    place.mkdir(parents=True)
    used = tmp_path / "used"
    clean = "env -u GCC_EXEC_PREFIX -u COMPILER_PATH"
    (place / "gcc-4.9").write_text(
        f'#!/bin/sh\necho "$*" >> {used}\nexec {clean} {shutil.which("gcc")} "$@"\n'
    )
    (place / "gcc-4.9").chmod(0o755)
    source = sources.parse(str(fake_kernel.tree(tmp_path / "linux")))
    options = Options(ARCHES["i386"], compiler=With(root=tmp_path / "root"))
    kernel = building.add(bench.artifacts, bench.store, source, options, "mine")
    assert "kernel/exit.c" in used.read_text() and "vmlab_probe" in used.read_text()
    assert Path(kernel.added.compiler.split()[0]).is_relative_to(tmp_path / "kernels")
    used.unlink()
    again = building.add(bench.artifacts, bench.store, source, options, "mine")
    assert again == kernel and "exit.c" not in used.read_text()


def test_a_tree_that_is_used_where_it_stands_must_stay_the_one_that_was_added(bench, box):
    (box / "build/Makefile").rename(box / "Makefile.common")
    (box / "build/Makefile").write_text(
        "include $(dir $(lastword $(MAKEFILE_LIST)))../Makefile.common\n"
    )
    kernel = bench.add(box, "mine")
    artifacts = bench.artifacts
    assert artifacts.tree(kernel).headers == box / "build"
    with (box / "build/Module.symvers").open("a") as file:
        file.write("0x1\tnew\tvmlinux\tEXPORT_SYMBOL\n")
    with pytest.raises(LabError, match=r"mine: the tree .* has changed since; .*add it anew"):
        artifacts.tree(kernel)


def test_a_kernel_that_was_removed_while_it_was_in_use_is_no_reason_to_skip(bench, box):
    """Unavailable would be one."""
    kernel, artifacts = bench.add(box, "mine"), bench.artifacts
    bench.store.remove(kernel)
    catalog = artifacts.catalog
    for look_up in (catalog.image, catalog.config_file, catalog.modules, artifacts.tree):
        with pytest.raises(LabError, match="while it was in use") as caught:
            look_up(kernel)
        assert not isinstance(caught.value, Unavailable)


@pytest.mark.parametrize("way", ["apart", "kbuild"])
def test_a_build_whose_kernel_is_removed_is_no_failure_of_the_module(
    bench, box, tmp_path, monkeypatch, way
):
    kernel = bench.add(box, "mine")
    folder = tmp_path / "kmod"
    (folder / "m").mkdir(parents=True)
    (folder / "m/Kbuild").write_text("obj-m += m.o\n")
    (folder / "Kbuild").write_text("obj-m += m/\n")
    (folder / "m/m.c").write_text("#error no\n")
    artifacts = bench.artifacts
    with pytest.raises(kbuild.ModuleBuildError):
        artifacts.modules(kernel, whole.Folder(folder, way), ["m"])
    artifacts.try_again()
    tree, looked = artifacts.tree, []

    def late(one):
        found = tree(one)
        if not looked:  # what is built by is gone as soon as it was looked up
            bench.store.remove(kernel)
        looked.append(one)
        return found

    monkeypatch.setattr(artifacts, "tree", late)
    with pytest.raises(LabError, match="while it was in use"):
        artifacts.modules(kernel, whole.Folder(folder, way), ["m"])


@pytest.mark.parametrize("way", ["apart", "kbuild"])
def test_one_build_at_a_time_is_in_a_tree_that_kbuild_may_write_into(bench, box, tmp_path, way):
    kernel, artifacts = bench.add(box, "mine"), bench.artifacts
    folder = tmp_path / "kmod"
    (folder / "m").mkdir(parents=True)
    (folder / "m/Kbuild").write_text("obj-m += m.o\n")
    (folder / "m/m.c").write_text("int m;\n")
    other = os.open(kernel.added.tree, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as pool:
        built = pool.submit(artifacts.modules, kernel, whole.Folder(folder, way), ["m"])
        try:
            with pytest.raises(TimeoutError):
                built.result(1.5)
        finally:
            os.close(other)
        assert "m" in built.result(60)
