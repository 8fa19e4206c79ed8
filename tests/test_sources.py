"""Kernels from source: what is taken, compiled again, refused and in which words."""

import subprocess
import sys
import time
from pathlib import Path

import adding_bench
import fake_kernel
import pytest
from typer.testing import CliRunner

from vmlab import sources
from vmlab.adding import With
from vmlab.arch import ARCHES
from vmlab.catalog import added
from vmlab.errors import LabError, UsageError
from vmlab.sources import configure, tools
from vmlab.sources.build import Options, add, build
from vmlab.sources.make import KernelBuildError

I386, X86_64 = ARCHES["i386"], ARCHES["x86_64"]


class Bench(adding_bench.Bench):
    def build(self, source: str, **options):
        compiler = With(options.pop("cc", ""))
        wanted = Options(options.pop("arch", I386), compiler=compiler, **options)
        return build(self.artifacts.catalog, sources.parse(source), wanted)

    def add(self, source: str, name: str | None = None, **options):
        parsed = sources.parse(source)
        return add(self.artifacts, self.store, parsed, Options(I386, **options), name)

    def compiled(self) -> list[str]:
        """What was compiled since this was asked last."""
        logs = list((self.cache.root / "kernel-builds").glob("*/out/compiled"))
        found = [line for log in logs for line in log.read_text().split()]
        for log in logs:
            log.unlink()
        return sorted(found)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def tree(tmp_path):
    return fake_kernel.tree(tmp_path / "linux")


def git(tree: Path, *words: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
    done = subprocess.run(["git", *identity, *words], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tree):
    """Two commits, v1 and v2; exit.c differs."""
    git(tree, "init", "-q")
    git(tree, "add", "-Af")
    git(tree, "commit", "-qm", "one")
    git(tree, "tag", "v1")
    (tree / "kernel/exit.c").write_text("int exit_(void) { return 2; }\n")
    git(tree, "commit", "-qam", "two")
    git(tree, "tag", "v2")
    return tree


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("git:/nowhere@v1", "/nowhere is no directory"),
        ("git:{tmp}@v1", "is no git repository"),
        ("git:{tmp}", "names no revision"),
        ("debian-source:sid", "names no version"),
        ("{tmp}", "is no kernel's source: it has no Makefile, no Kconfig, no scripts"),
        ("{tmp}/gone", "is no directory"),
    ],
)
def test_words_that_name_no_source_are_refused(tmp_path, text, words):
    with pytest.raises(UsageError, match=words):
        sources.parse(text.replace("{tmp}", str(tmp_path)))


def test_a_revision_that_does_not_exist(bench, repository):
    with pytest.raises(UsageError, match=r"there is no revision 'v3'.*git -C .* tag"):
        bench.build(f"git:{repository}@v3")


@pytest.mark.parametrize(
    ("makefile", "said"),
    [(None, "it has no Makefile"), ("all:\n", "its Makefile has no line VERSION = NUMBER")],
)
def test_a_revision_that_is_no_kernel_s_source(bench, repository, makefile, said):
    (repository / "Makefile").unlink()
    if makefile:
        (repository / "Makefile").write_text(makefile)
    git(repository, "commit", "-qam", "three")
    with pytest.raises(UsageError, match=f"^git:{repository}/.git@HEAD is no kernel's .*{said}$"):
        bench.build(f"git:{repository}@HEAD")


def test_neighbouring_revisions_compile_what_differs(bench, repository):
    first = bench.build(f"git:{repository}@v1")
    assert bench.compiled() == ["exit", "fork", "sched"]
    second = bench.build(f"git:{repository}@v2")
    assert bench.compiled() == ["exit"]
    assert first.directory != second.directory
    assert first.content == git(repository, "rev-parse", "v1")
    assert (first.directory / "build/vmlinux").read_bytes() != (
        second.directory / "build/vmlinux"
    ).read_bytes()


def test_what_was_built_is_not_built_again(bench, repository):
    first = bench.build(f"git:{repository}@v1")
    bench.build(f"git:{repository}@v2")
    bench.compiled()
    again = bench.build(f"git:{repository}@v1")
    assert again == first and bench.compiled() == []


def test_a_user_s_repository_is_not_touched(bench, repository):
    (repository / "kernel/fork.c").write_text("being edited, and no C\n")
    git(repository, "add", "-u")
    before = content(repository)
    bench.build(f"git:{repository}@v1")
    bench.build(f"git:{repository}@v2")
    assert content(repository) == before


def test_a_check_out_that_was_killed_is_made_whole(bench, repository):
    bench.build(f"git:{repository}@v1")
    (place,) = (bench.cache.root / "source-trees").glob("git-*")
    (place / "commit").unlink()
    (place / "tree/kernel/sched.c").write_text("half of it")
    (place / "tree/kernel/new.c").write_text("of the revision that it was on the way to\n")
    bench.build(f"git:{repository}@v2")
    assert not (place / "tree/kernel/new.c").exists()
    kept, wanted = (folder / "kernel/sched.c" for folder in (place / "tree", repository))
    assert kept.read_bytes() == wanted.read_bytes()


def test_a_build_that_was_killed_is_begun_anew(bench, repository):
    bench.build(f"git:{repository}@v1")
    bench.compiled()
    (place,) = (bench.cache.root / "kernel-builds").glob("tiny-*")
    (place / "busy").touch()
    bench.build(f"git:{repository}@v2")
    assert bench.compiled() == ["exit", "fork", "sched"]


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_sources import Bench
Bench(Path({folder!r})).build({source!r}, cc={cc!r})
"""


def test_a_lab_that_is_killed_leaves_no_make_in_a_directory(bench, tree):
    compiler, begun = bench.folder / "cc", bench.folder / "begun"
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *kernel/fork*) [ -e {begun} ] ||\n'
        f'{{ touch {begun}; sleep 600; }};; esac\nexec gcc -m32 "$@"\n'
    )
    compiler.chmod(0o755)
    program = PROGRAM.format(
        tests=str(Path(__file__).parent), folder=str(bench.folder), source=str(tree),
        cc=str(compiler),
    )  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", program]) as lab:
        while not begun.exists():
            assert lab.poll() is None
            time.sleep(0.02)
        lab.kill()
    (lock,) = (bench.cache.root / "kernel-builds").glob("*/lock")
    subprocess.run(["flock", "-w", "10", lock, "true"], check=True)  # nobody holds it
    bench.build(str(tree), cc=str(compiler))
    assert bench.compiled() == ["exit", "fork", "sched"]


def test_of_a_directory_the_source_files_alone_are_taken(bench, tree):
    (tree / ".config").write_text("CONFIG_LEFT_BY_A_BUILD=y\n")
    (tree / "kernel/sched.o").write_bytes(b"object")
    (tree / "kernel/.gitignore").write_text("/table.c\nmade.[ch]\n")
    (tree / "kernel/deeper").mkdir()
    made = ("kernel/sched.o", "kernel/table.c", "kernel/made.c", "kernel/deeper/made.h")
    for name in made[1:]:
        (tree / name).write_text("made, and no C\n")
    (tree / "kernel/deeper/table.c").write_text("int table;\n")
    before = content(tree)
    first = bench.build(str(tree))
    bench.compiled()
    assert content(tree) == before
    assert "LEFT_BY" not in (first.directory / "build/.config").read_text()
    (place,) = (bench.cache.root / "source-trees").glob("tree-*")
    assert not any((place / "tree" / name).exists() for name in made)
    assert (place / "tree/kernel/deeper/table.c").exists()


def test_a_directory_is_named_by_its_files_and_one_change_compiles_one_file(bench, tree):
    first = bench.build(str(tree))
    bench.compiled()
    (tree / "kernel/fork.c").touch()
    assert bench.build(str(tree)) == first
    (tree / "kernel/sched.c").touch()
    (tree / "kernel/fork.c").write_text("int fork_(void) { return 1; }\n")
    second = bench.build(str(tree))
    assert bench.compiled() == ["fork"] and second.content != first.content
    (tree / "kernel/fork.c").unlink()
    assert bench.build(str(tree)).content not in (first.content, second.content)


def test_a_configuration_that_is_as_it_was_compiles_nothing_anew(bench, tree, tmp_path):
    bench.build(str(tree))
    bench.compiled()
    more = tmp_path / "more.config"
    more.write_text("CONFIG_QUIET=y\n")
    other = bench.build(str(tree), fragments=(str(more),))
    assert "CONFIG_QUIET=y" in (other.directory / "build/.config").read_text()
    bench.compiled()
    (tree / "kernel/fork.c").write_text("int fork_(void) { return 1; }\n")
    bench.build(str(tree))
    assert bench.compiled() == ["fork"]


def test_equal_inputs_give_equal_bytes(tree, tmp_path):
    """Wherever the cache is: debug information would name it, and so would BUGs."""
    (tree / "kernel/fork.c").write_text("const char *file = __FILE__;\n")
    made = [Bench(tmp_path / name).build(str(tree)) for name in ("a", "b")]
    names = ("build/vmlinux", f"boot/vmlinuz-{made[0].kernel.id}", "build/.config")
    for name in names:
        assert (made[0].directory / name).read_bytes() == (made[1].directory / name).read_bytes()


@pytest.mark.parametrize(("version", "hint"), [(3, True), (4, False)])
def test_a_compiler_that_is_too_new_for_a_tree_that_fails_is_told(bench, tree, version, hint):
    """It is tried all the same: with the host's gcc many a tree does build."""
    makefile = (tree / "Makefile").read_text().replace("VERSION = 4", f"VERSION = {version}", 1)
    (tree / "Makefile").write_text(makefile)
    (tree / "kernel/fork.c").write_text("#error no\n")
    with pytest.raises(KernelBuildError, match=r"fork\.c:1:2: error: ") as error:
        bench.build(str(tree))
    told = "gcc -m32" in str(error.value) and "it wants gcc-4.4" in str(error.value)
    assert told is hint


def test_the_first_error_is_shown_with_its_line(bench, tree):
    (tree / "kernel/fork.c").write_text("int fork_(void)\n{\n\treturn nothing;\n}\n")
    with pytest.raises(KernelBuildError, match=r"kernel/fork\.c:3:\d+: error: .*nothing") as error:
        bench.build(str(tree))
    assert "again by hand: make -C" in str(error.value)
    (tree / "kernel/fork.c").write_text("int fork_(void) { return 1; }\n")
    bench.build(str(tree))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("CONFIG_NOTHING=y", "CONFIG_NOTHING is not set, and y was asked for: this tree knows no"),
        ("CONFIG_QUIET=y\nCONFIG_LOUD=y",
         r"CONFIG_LOUD is not set, and y .*: it depends on !QUIET \(QUIET is y\)"),
        ("CONFIG_FAST=y", "CONFIG_FAST is not set.*: it cannot be chosen; other options select"),
        ("# CONFIG_X86 is not set", "CONFIG_X86 is y, and n was asked for: another option"),
    ],
)  # fmt: skip
def test_an_option_that_is_dropped_is_an_error_that_says_why(bench, tree, tmp_path, line, words):
    wanted = tmp_path / "wanted.config"
    wanted.write_text(f"{line}\n")
    with pytest.raises(configure.ConfigError, match=words):
        bench.build(str(tree), fragments=(str(wanted),))
    bench.build(str(tree), fragments=(str(wanted),), lenient=True)
    assert any("kconfig dropped" in line for line in bench.said)


def test_a_configuration_that_cannot_boot_is_refused_before_anything_is_compiled(bench, tree):
    (tree / "my.config").write_text("CONFIG_PRINTK=y\nCONFIG_TTY=y\nCONFIG_SERIAL_8250=m\n")
    with pytest.raises(configure.ConfigError) as error:
        bench.build(str(tree), config=str(tree / "my.config"))
    for name, state in (("SERIAL_8250", "m"), ("BLK_DEV_INITRD", "not set")):
        assert f"CONFIG_{name} is {state}, and must be y" in str(error.value)
    assert bench.compiled() == []


def test_a_file_s_options_must_all_be_there(bench, tree, tmp_path):
    made = bench.build(str(tree))
    whole = tmp_path / "box.config"
    whole.write_text((made.directory / "build/.config").read_text())
    again = bench.build(str(tree), config=str(whole))
    assert (again.directory / "build/.config").read_text() == whole.read_text()
    with whole.open("a") as file:
        file.write("CONFIG_LOUD=y\nCONFIG_QUIET=y\n")
    with pytest.raises(configure.ConfigError, match="CONFIG_LOUD is not set, and y was asked for"):
        bench.build(str(tree), config=str(whole))


def test_architectures_do_not_mix(bench, tree):
    made = {arch.name: bench.build(str(tree), arch=arch) for arch in (I386, X86_64)}
    for name, one in made.items():
        assert one.kernel.arch.name == name
    assert len({one.directory for one in made.values()}) == 2


def test_missing_tools_are_named_with_their_packages(bench, tree, monkeypatch):
    real = tools.shutil.which
    lacking = ("flex", "bc")
    monkeypatch.setattr(tools.shutil, "which", lambda name: None if name in lacking else real(name))
    with pytest.raises(LabError) as error:
        bench.build(str(tree))
    assert "flex (flex):" in str(error.value)
    assert str(error.value).endswith("apt-get install flex bc")


def test_a_header_is_needed_only_where_the_configuration_asks_for_it(monkeypatch):
    monkeypatch.setattr(tools, "_there", lambda tool: tool.name != "gelf.h")
    tools.check({"OBJTOOL": "n"})
    with pytest.raises(LabError, match="libelf-dev"):
        tools.check({"OBJTOOL": "y"})


def test_an_added_kernel_is_kept_and_gives_way_to_its_next_build(bench, tree):
    first = bench.add(str(tree), "mine")
    assert (first.release, first.arch.name, first.for_modules) == ("4.4.155-tiny", "i386", True)
    assert first.added.source.startswith(f"{tree} (tree-")
    bench.cache.prune(None, dry_run=False)
    assert bench.artifacts.catalog.image(first).is_file()
    (tree / "kernel/fork.c").write_text("int fork_(void) { return 1; }\n")
    second = bench.add(str(tree), "mine")
    assert bench.store.kernels() == (second,) and second.version != first.version
    (tree / "include/linux/new.h").write_text("/* what modules alone see */\n")
    third = bench.add(str(tree), "mine")
    assert bench.store.kernels() == (third,) and third.version != second.version
    assert (third.added.tree / "include/linux/new.h").exists()


def test_a_kernel_that_is_as_it_was_is_not_added_again(bench, tree):
    first = bench.add(str(tree), "mine")
    (first.added.directory / "mark").touch()
    assert bench.add(str(tree), "mine") == first
    assert (first.added.directory / "mark").exists()


def test_a_name_that_another_source_has_is_not_taken(bench, repository):
    bench.add(f"git:{repository}@v1", "mine")
    bench.compiled()
    with pytest.raises(UsageError, match="there is a kernel mine already"):
        bench.add(str(repository), "mine")
    with pytest.raises(UsageError, match="letters, digits"):
        bench.add(str(repository), "my own")
    assert bench.compiled() == []


def test_the_command_adds_from_git(bench, repository, monkeypatch):
    from vmlab.cli import app

    monkeypatch.setenv(added.ENVIRONMENT, str(bench.folder / "kernels"))
    monkeypatch.setenv("VMLAB_CACHE", str(bench.folder / "cache"))
    words = ["kernels", "add", f"git:{repository}@v1", "--arch", "i386", "--name", "one"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "one: 4.4.155-tiny for i386, modules by gcc -m32" in done.output
    (kernel,) = added.Store.default().kernels()
    assert git(repository, "rev-parse", "v1") in kernel.package
