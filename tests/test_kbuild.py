"""What kbuild is asked, told by a small kernel tree; and what real ones say of the modules."""

import re
import subprocess
from pathlib import Path

import pytest

from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.build import busybox, kbuild, musl
from vmlab.cache import Cache
from vmlab.catalog import Catalog, Kernel, pins

ROOT = Path(__file__).parent.parent

CONFIG = """\
CONFIG_PAHOLE_VERSION = 132
CONFIG_DEBUG_INFO_BTF_MODULES = y
CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT = y
PAHOLE_VERSION = $(shell echo 0)
"""
ASK = """\
prepare: PAHOLE_VERSION := $(PAHOLE_VERSION)
prepare:
\t@if [ "$(PAHOLE_VERSION)" != "$(CONFIG_PAHOLE_VERSION)" ]; then echo "warning: pahole"; fi
modules: prepare
ifdef CONFIG_DEBUG_INFO_BTF_MODULES
\t@echo pahole is needed
endif
ifdef CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT
\t@echo gcc 14 is needed
endif
\t@echo built with $(CC)
"""


def test_what_the_host_lacks_is_not_asked_for(tmp_path: Path):
    """kbuild reads its configuration again in a make under the first, as here."""
    (tmp_path / "Makefile").write_text("modules:\n\t@$(MAKE) -f Under modules\n")
    (tmp_path / "Under").write_text(CONFIG + ASK)
    tree = kbuild.Tree("7.2.12+deb14-amd64", ARCHES["x86_64"], tmp_path, "7.2.12-1")
    command = [*kbuild.command(tree, tmp_path), "--no-print-directory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == "built with gcc -m64\n"


TREE = kbuild.Tree("6.1.0-50-686", ARCHES["i386"], Path("/headers"), "6.1.90-1")


def test_a_build_s_name_does_not_depend_on_how_many_processors_the_host_has(monkeypatch):
    keys = set()
    for count in (2, 64):
        monkeypatch.setattr("os.cpu_count", lambda count=count: count)
        keys.add(kbuild.key(TREE, {}, ["m"], "gcc 12"))
    assert len(keys) == 1


def build_module(folder: Path) -> None:
    (folder / "m").mkdir()
    kbuild.build(TREE, folder / "m", ["m"], folder)


def build_busybox(folder: Path) -> None:
    (folder / ".config").write_text("")
    busybox.build(folder, musl.Toolchain(ARCHES["i386"], (), folder, ""), [], [], folder)


def build_program(folder: Path) -> None:
    musl.Toolchain(ARCHES["i386"], (), folder, "").compile([], folder / "x")


@pytest.mark.parametrize("build", [build_module, build_busybox, build_program])
def test_the_caller_s_environment_does_not_reach_a_build(tmp_path, monkeypatch, build):
    """What it would change does not stand in the name of what is built."""
    leaky = {"LLVM": "1", "KAFLAGS": "-g", "MAKEFLAGS": "-k", "CPATH": "/x", "ARCH": "arm"}
    for name in ("gcc", "make"):
        (tmp_path / name).write_text(f"#!/bin/sh\nenv >> {tmp_path}/seen\n")
        (tmp_path / name).chmod(0o755)
    for name, value in {**leaky, "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    build(tmp_path)
    seen = set((tmp_path / "seen").read_text().splitlines())
    assert {f"PATH={tmp_path}:/usr/bin:/bin", "TMPDIR=/tmp", "LC_ALL=C"} <= seen
    names = {line.partition("=")[0] for line in seen}
    assert names <= {"PATH", "HOME", "TMPDIR", "LC_ALL", "PWD", "SHLVL", "_", "OLDPWD"} | {
        "SOURCE_DATE_EPOCH", "KCONFIG_NOTIMESTAMP",
    }  # fmt: skip


def test_the_command_by_hand_builds_where_the_sources_stand(tmp_path: Path):
    """A stand-in for kbuild, which wants a Kbuild in M and the symbols of other directories."""
    (tmp_path / "Makefile").write_text(
        "modules: $(M)/Kbuild $(KBUILD_EXTRA_SYMBOLS)\n\ttouch $(M)/Module.symvers\n"
    )
    source = tmp_path / "kmod"
    for name, needs in (("user", "# needs: used\n"), ("used", "")):
        (source / name).mkdir(parents=True)
        (source / name / "Kbuild").write_text(f"{needs}obj-m += {name}.o\n")
    tree = kbuild.Tree("6.1.0-50-686", ARCHES["i386"], tmp_path, "6.1")

    def built() -> list[str]:
        command = kbuild.by_hand(tree, source, ["user"])
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
        found = sorted(str(path.relative_to(source)) for path in source.rglob("Module.symvers"))
        for name in found:
            (source / name).unlink()
        return found

    assert built() == ["used/Module.symvers", "user/Module.symvers"]
    (source / "Kbuild").write_text("obj-m += user/ used/\n")
    assert built() == ["Module.symvers"]


LOCKED = pins.read(pins.committed()).kernels


def said(kernel: Kernel, source: Path) -> str:
    """What a build at W=1 says beside its command; the same one is not done again."""
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default()))
    if not artifacts.catalog.cached(kernel):
        pytest.skip(f"{kernel.id} is not fetched; `vmlab kernels fetch {kernel.id}`")
    wanted = sorted(path.parent.name for path in source.glob("*/Kbuild"))
    tree, more = artifacts.tree(kernel), ["W=1"]
    recipe = " ".join((tree.compiler or kbuild.compiler_version(tree.arch), *more))
    key = kbuild.key(tree, kbuild.source_files(source), wanted, recipe)
    directory = artifacts.cache.get(
        "modules", key, lambda made: kbuild.build(tree, source, wanted, made, more)
    )
    assert set(kbuild.modules(directory)) == set(wanted)
    return (directory / "build.log").read_text().partition("\n")[2]


@pytest.mark.guest  # boots none, but takes real kernels and some seconds for each
@pytest.mark.parametrize("kernel", LOCKED, ids=lambda kernel: kernel.id)
def test_the_shipped_modules_build_without_a_warning(kernel):
    log = said(kernel, ROOT / "kmod")
    assert "kthread_monitor.ko" in log
    assert not [line for line in log.splitlines() if "warning" in line.lower()]


@pytest.mark.guest
@pytest.mark.parametrize("kernel", [LOCKED[0], LOCKED[-1]], ids=lambda kernel: kernel.id)
def test_a_warning_of_a_module_is_there_to_be_seen(kernel, tmp_path):
    folder = tmp_path / "source/untidy"
    folder.mkdir(parents=True)
    (folder / "Kbuild").write_text("obj-m += untidy.o\n")
    (folder / "untidy.c").write_text(
        "#include <linux/module.h>\nstatic int __init untidy(void)\n{\n\tint set;\n\n\tset = 1;\n"
        '\treturn 0;\n}\nmodule_init(untidy);\nMODULE_LICENSE("GPL");\nMODULE_DESCRIPTION("");\n'
    )
    log = said(kernel, tmp_path / "source")
    assert re.search("warning: variable .set. set but not used", log)


@pytest.mark.guest
@pytest.mark.parametrize("id", ["5.10.0-32-686", "6.1.0-50-amd64", LOCKED[-1].id])
def test_a_module_has_the_same_bytes_wherever_it_is_built(id, tmp_path):
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    (kernel,) = artifacts.catalog.select(id)
    tree = artifacts.tree(artifacts.catalog.obtain(kernel))
    made = []
    for name in ("here", "some-where-else"):
        folder = tmp_path / name
        folder.mkdir()
        kbuild.build(tree, ROOT / "kmod", ["kthread_monitor"], folder)
        made.append(kbuild.modules(folder)["kthread_monitor"].read_bytes())
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in made[0]
    assert str(Cache.default().root).encode() not in made[0]
