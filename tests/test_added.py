"""Kernels that users bring: what is taken, what is refused and in which words."""

import re
import shutil
from pathlib import Path

import adding_bench
import old_trees
import pytest
from typer.testing import CliRunner

from vmlab.adding import With, add
from vmlab.arch import ARCHES
from vmlab.build import eras, kbuild, whole
from vmlab.catalog import added, kconfig
from vmlab.errors import LabError, UsageError

ROOT = Path(__file__).parent.parent
OLDEST = old_trees.ERAS[0]
RECENT = old_trees.ERAS[-1]
MODULES = ["kthread_monitor", "monitor_client", "lost_wakeup", "crash_lab", "edu_lab"]


class Bench(adding_bench.Bench):
    def add(self, folder: Path, name: str | None = None, cc: str = "gcc", prefix: str = ""):
        return add(self.artifacts, self.store, folder, name, With("" if prefix else cc, prefix))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("era", old_trees.ERAS, ids=lambda era: era.release)
def test_the_lab_s_modules_build_from_one_source_on_every_era(bench, tmp_path, era):
    kernel = bench.add(old_trees.box(era, tmp_path / "box"), "old")
    artifacts = bench.artifacts
    built = artifacts.modules(kernel, whole.Folder(ROOT / "kmod", "apart"), MODULES)
    assert set(built) == set(MODULES)
    assert (b"daemonize" in built["kthread_monitor"].read_bytes()) == era.legacy


@pytest.mark.parametrize("era", old_trees.ERAS, ids=lambda era: era.release)
@pytest.mark.parametrize("spelling", ["EXTRA_CFLAGS", "ccflags-y"])
def test_flags_of_a_kbuild_count_on_every_era(bench, tmp_path, era, spelling):
    kernel = bench.add(old_trees.box(era, tmp_path / "box"), "old")
    source = tmp_path / "kmod"
    (source / "m").mkdir(parents=True)
    (source / "m/Kbuild").write_text(f"obj-m += m.o\n{spelling} += -DANSWER=42\n")
    (source / "m/m.c").write_text("int answer = ANSWER;\n")
    assert "m" in bench.artifacts.modules(kernel, whole.Folder(source, "apart"), ["m"])


@pytest.mark.parametrize(
    ("number", "line"),
    [
        ((2, 6, 8), "EXTRA_CFLAGS += $(ccflags-y)\n"),
        ((2, 6, 23), "EXTRA_CFLAGS += $(ccflags-y)\n"),
        ((2, 6, 24), ""),
        ((6, 14), ""),
        ((6, 15), "ccflags-y += $(EXTRA_CFLAGS)\n"),
    ],
)
def test_a_kbuild_is_told_what_its_era_does_not_read(number, line):
    assert eras.kbuild_line(number) == line


def test_nothing_is_written_into_the_user_s_tree(bench, tmp_path):
    box = old_trees.box(OLDEST, tmp_path / "box")
    before = content(box)
    kernel = bench.add(box, "old")
    bench.artifacts.modules(kernel, whole.Folder(ROOT / "kmod", "apart"), MODULES)
    assert content(box) == before
    assert (kernel.added.tree / "written-here").is_file()


def test_a_built_tree_is_a_folder_too(bench, tmp_path):
    tree = old_trees.tree(OLDEST, tmp_path / "tree")
    (tree / "arch/i386/boot").mkdir(parents=True)
    old_trees.image(OLDEST.release, tree / "arch/i386/boot/bzImage")
    (tree / "kernel").mkdir()
    (tree / "kernel/sched.o").write_bytes(b"object")
    (tree / "scripts/modpost.o").write_bytes(b"object")
    kernel = bench.add(tree)
    assert (kernel.id, kernel.number, kernel.arch.name) == ("2.6.8", (2, 6, 8), "i386")
    assert not (kernel.added.tree / "kernel/sched.o").exists()
    assert (kernel.added.tree / "scripts/modpost.o").exists()


def test_a_tree_that_names_other_directories_is_used_where_it_stands(bench, tmp_path):
    """So are packages of headers; a copy of one part of them would be of no use."""
    box = old_trees.box(RECENT, tmp_path / "box")
    (box / "build/Makefile").rename(box / "Makefile.common")
    (box / "build/Makefile").write_text(
        "include $(dir $(lastword $(MAKEFILE_LIST)))../Makefile.common\n"
    )
    text = (box / "Makefile.common").read_text().replace("\t@echo 4.4.155 >> written-here\n", "")
    (box / "Makefile.common").write_text(text)
    kernel = bench.add(box, "old")
    assert kernel.added.tree == box / "build"
    assert set(
        bench.artifacts.modules(kernel, whole.Folder(ROOT / "kmod", "apart"), MODULES)
    ) == set(MODULES)


def test_an_added_kernel_is_chosen_like_any_other_and_goes_when_it_is_removed(bench, tmp_path):
    kernel = bench.add(old_trees.box(OLDEST, tmp_path / "box"), "report-4711")
    catalog = bench.artifacts.catalog
    for expression in ("report-4711", "report*", "arch=i386", "oldest", "all"):
        assert [one.id for one in catalog.select(expression)] == ["report-4711"]
    assert catalog.select("default") == []
    assert catalog.to_fetch(kernel) == () and catalog.obtain(kernel) is kernel
    assert catalog.image(kernel).read_bytes() == (tmp_path / "box/bzImage").read_bytes()
    bench.store.remove(kernel)
    assert bench.store.kernels() == ()
    assert not kernel.added.directory.exists() and (tmp_path / "box/bzImage").exists()


def test_other_content_has_another_directory(bench, tmp_path):
    """Snapshots and builds are named by it."""
    box = old_trees.box(OLDEST, tmp_path / "box")
    first = bench.add(box, "old")
    bench.store.remove(first)
    with (box / "bzImage").open("ab") as file:
        file.write(b"another")
    second = bench.add(box, "old")
    assert first.added.directory != second.added.directory and first.version != second.version


def test_a_prune_of_the_cache_leaves_added_kernels(bench, tmp_path):
    bench.add(old_trees.box(OLDEST, tmp_path / "box"), "old")
    bench.cache.prune(None, dry_run=False)
    assert [one.id for one in bench.store.kernels()] == ["old"]


def test_a_kernel_without_a_tree_boots_and_builds_nothing(bench, tmp_path):
    box = old_trees.box(OLDEST, tmp_path / "box")
    shutil.rmtree(box / "build")
    kernel = bench.add(box, "old", cc="")
    assert not kernel.for_modules
    with pytest.raises(LabError, match=r"copy lib/modules/2\.6\.8 of .* as modules/"):
        bench.artifacts.catalog.modules(kernel)
    with pytest.raises(LabError, match="has no build/"):
        bench.artifacts.tree(kernel)


def test_what_makes_the_version_magic_names_a_tree_s_release(bench, tmp_path):
    """In Debian's packages include/config/kernel.release is upstream's number."""
    box = old_trees.box(RECENT, tmp_path / "box")
    (box / "build/include/config").mkdir()
    (box / "build/include/config/kernel.release").write_text("4.4.200\n")
    assert bench.add(box, "old").release == RECENT.release


def no_symvers(box: Path) -> None:
    (box / "build/Module.symvers").unlink()


def other_architecture(box: Path) -> None:
    (box / "config").write_text("CONFIG_ARM=y\n")


def tree_of_another_architecture(box: Path) -> None:
    (box / "build/.config").write_text("CONFIG_X86=y\nCONFIG_X86_64=y\n")


def tree_of_another_release(box: Path) -> None:
    (box / "build/include/linux/version.h").write_text('#define UTS_RELEASE "2.6.9"\n')


def no_image(box: Path) -> None:
    (box / "bzImage").unlink()


def source(box: Path) -> None:
    no_image(box)
    for name in ("Makefile", "Kconfig"):
        (box / name).touch()


def no_bzimage(box: Path) -> None:
    (box / "bzImage").write_bytes(b"\x7fELF" + bytes(0x300))


def no_config(box: Path) -> None:
    (box / "config").unlink()
    (box / "build/.config").unlink()


def cannot_boot(box: Path) -> None:
    text = (box / "config").read_text().replace("SERIAL_8250_CONSOLE=y", "SERIAL_8250_CONSOLE=m")
    (box / "config").write_text(text.replace("CONFIG_BLK_DEV_INITRD=y\n", ""))


BAD = [
    (no_symvers, "holds no Module.symvers.*make ARCH=i386 modules"),
    (other_architecture, "another architecture than x86"),
    (tree_of_another_architecture, "build is of x86_64, and the kernel of i386"),
    (tree_of_another_release, "build is of 2.6.9, and the kernel 2.6.8"),
    (no_image, "neither bzImage nor vmlinuz.*or is a built tree, or has its packages "),
    (source, "neither bzImage nor vmlinuz.*`vmlab kernels build .*box` builds and adds it"),
    (no_bzimage, "is no bzImage"),
    (no_config, "holds no config"),
    (cannot_boot, "CONFIG_SERIAL_8250_CONSOLE is m, and must be y(?s:.*)"
                  "CONFIG_BLK_DEV_INITRD is not set, and must be y"),
]  # fmt: skip


@pytest.mark.parametrize(("break_it", "said"), BAD, ids=lambda one: getattr(one, "__name__", ""))
def test_a_bad_folder_is_refused_with_what_is_wrong_and_nothing_is_kept(
    bench, tmp_path, break_it, said
):
    box = old_trees.box(OLDEST, tmp_path / "box")
    break_it(box)
    with pytest.raises(UsageError, match=said):
        bench.add(box, "old")
    assert bench.store.kernels() == ()


def test_all_that_is_wrong_is_said_at_once(bench, tmp_path):
    box = old_trees.box(OLDEST, tmp_path / "box")
    for break_it in (no_symvers, cannot_boot, tree_of_another_release):
        break_it(box)
    with pytest.raises(UsageError) as caught:
        bench.add(box, "old")
    assert len(str(caught.value).splitlines()) == 5


@pytest.mark.parametrize(
    ("option", "number", "missing"),
    [("X86_IOPL_IOPERM", (5, 4), False), ("X86_IOPL_IOPERM", (5, 5), True),
     ("PRINTK", (2, 6, 11, 3), False), ("PRINTK", (2, 6, 12), True)],
)  # fmt: skip
def test_an_option_is_asked_for_only_of_kernels_that_have_it(option, number, missing):
    config = dict(line.split("=") for line in old_trees.CONFIG.replace("CONFIG_", "").split())
    del config[option]
    assert bool(kconfig.problems(config, number)) is missing


COMPILE_H = '#define LINUX_COMPILER "gcc version 3.4.6 (Era)"\n'


@pytest.mark.parametrize(("era", "refused"), [(OLDEST, True), (old_trees.ERAS[3], False)],
                         ids=["2.6.8", "2.6.20"])  # fmt: skip
def test_version_magic_that_names_the_compiler_is_looked_at(bench, tmp_path, era, refused):
    box = old_trees.box(era, tmp_path / "box")
    (box / "build/include/linux/compile.h").write_text(COMPILE_H)
    if not refused:
        assert bench.add(box, "old").id == "old"
        return
    with pytest.raises(UsageError, match=r"built with gcc version 3\.4\.6.*it wants gcc-3\.4"):
        bench.add(box, "old")


def era_gcc(tmp_path: Path, body: str = 'exec gcc "$@"') -> Path:
    """A compiler that says it is of the era, under a prefix."""
    program = tmp_path / "bin/era-gcc"
    program.parent.mkdir(exist_ok=True)
    version = 'case "$*" in *-dumpversion*) echo 3.4.6; exit;; esac\n'
    program.write_text(f"#!/bin/sh\n{version}{body}\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("by", ["cc", "prefix"])
def test_a_compiler_of_the_era_is_taken(bench, tmp_path, by):
    box = old_trees.box(OLDEST, tmp_path / "box")
    (box / "build/include/linux/compile.h").write_text(COMPILE_H)
    program = era_gcc(tmp_path)
    names = {"cc": str(program)} if by == "cc" else {"prefix": str(program)[: -len("gcc")]}
    kernel = bench.add(box, "old", **names)
    command = kbuild.command(bench.artifacts.tree(kernel), tmp_path)
    assert any(word.startswith(f"CC={program} -m32") for word in command)
    assert "ARCH=i386" in command
    assert (f"CROSS_COMPILE={tmp_path}/bin/era-" in command) is (by == "prefix")


def test_flags_that_a_compiler_does_not_know_are_left_out(bench, tmp_path):
    refuses = 'case "$*" in *prefix-map*|*no-pie*) echo unknown >&2; exit 1;; esac\nexec gcc "$@"'
    program = era_gcc(tmp_path, refuses)
    kernel = bench.add(old_trees.box(OLDEST, tmp_path / "box"), "old", cc=str(program))
    command = " ".join(kbuild.command(bench.artifacts.tree(kernel), tmp_path))
    assert "-std=gnu89" in command
    assert "no-pie" not in command and "prefix-map" not in command


def test_a_compiler_that_is_not_there_is_named(bench, tmp_path):
    box = old_trees.box(OLDEST, tmp_path / "box")
    with pytest.raises(UsageError, match=r"compiler gcc-2\.95 was not found"):
        bench.add(box, "old", cc="gcc-2.95")


def test_a_compiler_that_is_gone_since_is_named(bench, tmp_path):
    program = era_gcc(tmp_path)
    kernel = bench.add(old_trees.box(OLDEST, tmp_path / "box"), "old", cc=str(program))
    program.unlink()
    with pytest.raises(LabError, match=f"the compiler {program} .* is gone"):
        bench.artifacts.tree(kernel)


def test_a_compiler_for_another_architecture_is_refused(tmp_path):
    program = tmp_path / "arm-gcc"
    program.write_text("#!/bin/sh\necho '#define __arm__ 1'\n")
    program.chmod(0o755)
    with pytest.raises(UsageError, match="another architecture than i386"):
        eras.compiler(str(program), ARCHES["i386"], (2, 6, 8))


def test_a_tree_that_builds_nothing_is_refused_in_the_compiler_s_words(bench, tmp_path):
    box = old_trees.box(RECENT, tmp_path / "box")
    header = box / "build/include/linux/kernel.h"
    header.write_text("#error this compiler is too new\n")
    (box / "config").write_text(old_trees.CONFIG + 'CONFIG_CC_VERSION_TEXT="gcc-5 (Era) 5.4"\n')
    with pytest.raises(UsageError, match=r"built with gcc-5 \(Era\) 5.4(?s:.*)compiler is too new"):
        bench.add(box, "old")
    assert bench.store.kernels() == ()


def test_a_name_is_given_once(bench, tmp_path):
    box = old_trees.box(OLDEST, tmp_path / "box")
    bench.add(box, "old")
    with pytest.raises(UsageError, match="there is a kernel old already"):
        bench.add(box, "old")


@pytest.mark.parametrize("name", ["a:b", "../up", "-x", "a b"])
def test_a_name_that_is_no_name_is_refused(bench, tmp_path, name):
    with pytest.raises(UsageError, match="letters, digits"):
        bench.add(old_trees.box(OLDEST, tmp_path / "box"), name)


def test_the_commands(tmp_path, monkeypatch):
    from vmlab.cli import app

    monkeypatch.setenv(added.ENVIRONMENT, str(tmp_path / "kernels"))
    box = old_trees.box(OLDEST, tmp_path / "box")

    def vmlab(*words: str) -> str:
        done = CliRunner().invoke(app, ["kernels", *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    said = vmlab("add", str(box), "--name", "report-4711", "--cc", "gcc")
    assert re.search(r"report-4711: 2\.6\.8 for i386, modules by gcc -m32", said)
    assert re.search(r"report-4711 +i386 +added", vmlab("list"))
    assert '"release": "2.6.8"' in vmlab("show", "report-4711")
    vmlab("add", str(box), "--name", "report-4712", "--cc", "gcc")
    with pytest.raises(UsageError, match=r"no kernel 'none' was added; .* report-4712"):
        vmlab("remove", "report-4711", "none")
    told = "removed report-4711\nremoved report-4712\n"
    assert vmlab("remove", "report-4711", "report-4712") == told
    assert "report-471" not in vmlab("list")
    with pytest.raises(UsageError, match="no kernel 'report-4711' was added"):
        vmlab("remove", "report-4711")


def test_a_compiler_in_a_root_of_its_own_is_kept_with_the_kernel(bench, tmp_path):
    place = tmp_path / "root/usr/bin"
    place.mkdir(parents=True)
    clean = "env -u GCC_EXEC_PREFIX -u COMPILER_PATH"
    (place / "gcc-4.4").write_text(f'#!/bin/sh\nexec {clean} {shutil.which("gcc")} "$@"\n')
    (place / "gcc-4.4").chmod(0o755)
    box = old_trees.box(old_trees.ERAS[4], tmp_path / "box")
    named = With(root=tmp_path / "root")
    kernel = add(bench.artifacts, bench.store, box, "old", named)
    script = Path(kernel.added.compiler.split()[0])
    assert script.is_relative_to(tmp_path / "kernels") and str(place) in script.read_text()
    folder = whole.Folder(ROOT / "kmod", "apart")
    assert "monitor_client" in bench.artifacts.modules(kernel, folder, ["monitor_client"])
    other = add(bench.artifacts, bench.store, box, "other", named)
    bench.store.remove(kernel)
    assert script.is_file()  # the other one uses it
    bench.store.remove(other)
    assert not script.exists()


def test_two_ways_to_name_a_compiler_are_one_too_many(tmp_path):
    with pytest.raises(UsageError, match="--cc and --toolchain-root both name a compiler"):
        With("gcc", root=tmp_path)
    with pytest.raises(UsageError, match="--cc and --cross-compile both name a compiler"):
        With("gcc", "i486-")
