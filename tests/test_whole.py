"""Folders built as a whole, against a kernel tree that takes no compiler."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import folder_builds
import pytest
from typer.testing import CliRunner

from vmlab.build import kbuild, makefile, whole
from vmlab.build.kbuild import ModuleBuildError
from vmlab.build.sandbox import HERE
from vmlab.cli import app


@pytest.fixture
def tree(tmp_path) -> kbuild.Tree:
    return folder_builds.tree(tmp_path)


@pytest.fixture
def built(tmp_path, tree) -> folder_builds.Built:
    return folder_builds.Built(tmp_path, tree)


WRAPPER = """\
ifneq ($(KERNELRELEASE),)
obj-m := duck.o
else
KDIR ?= /lib/modules/$(shell uname -r)/build
all:
\t$(MAKE) -C $(KDIR) M=$(CURDIR) modules
endif
"""
CONF = "PACKAGE_NAME=pond\nPACKAGE_VERSION=1.0\nBUILT_MODULE_NAME=duck\n"


def test_a_makefile_that_is_a_kbuild_file_and_a_wrapper_is_built(built):
    assert built("kbuild", {"Makefile": WRAPPER, "duck.c": "x\n"}) == {"duck": "x\ngcc -m32\n"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [("error\n", "goose.c:1:2: error: so it says"),
     ("undefined\n", 'ERROR: modpost: "egg" [goose.ko] undefined!')],
)  # fmt: skip
def test_modules_beside_one_that_does_not_build_are_built(built, tree, tmp_path, bad, said):
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    files = {"duck.c": "quack\n", "goose.c": bad, "swan.c": "hiss\n"}
    made = built("kbuild", {"Makefile": "obj-m := goose.o duck.o swan.o\n", **files})
    assert set(made) == {"duck", "swan"}
    log = tmp_path / "built0/build.log"
    why = whole.missing(tree, whole.Folder(tmp_path / "source", "kbuild"), "goose", [], log)
    assert said in str(why)
    assert "duck" not in str(why).partition("again by hand")[0]


def test_where_all_modules_are_bad_the_build_is(built, tree):
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    files = {"Makefile": "obj-m := goose.o duck.o\n", "duck.c": "error\n", "goose.c": "error\n"}
    with pytest.raises(ModuleBuildError, match=r"goose\.c:1:2: error: so it says"):
        built("kbuild", files)


@pytest.mark.parametrize("rule", ["version.h: Makefile", "other.h version.h :", "# version.h:"])
def test_a_header_that_the_author_s_make_makes_is_made(built, tree, rule):
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    makes = f"obj-m := duck.o swan.o\nall: version.h\n{rule}\n\techo '$(ARCH)' > version.h\n"
    files = {"Makefile": makes, "duck.c": "use version.h\n", "swan.c": "use version.h\n"}
    if rule.startswith("#"):
        with pytest.raises(ModuleBuildError, match=r"\.c:1:2: fatal error: version\.h"):
            built("kbuild", files)
    else:
        assert set(built("kbuild", files)) == {"duck", "swan"}


def test_an_option_that_the_author_s_own_make_gives_is_given(built):
    text = "obj-$(CONFIG_SWAN) := swan.o\nall:\n\tmake -C x M=. CONFIG_SWAN=m modules\n"
    assert set(built("kbuild", {"Makefile": text, "swan.c": "hiss\n"})) == {"swan"}


def test_folders_without_a_common_kbuild_are_built_together(built):
    files = {"a/Kbuild": "obj-m += a.o\n", "a/a.c": "", "b/Makefile": "obj-m = b.o\n", "b/b.c": ""}
    assert set(built("kbuild", {**files, "Makefile": "all:\n\tfalse\n"})) == {"a", "b"}


def test_a_command_of_dkms_gets_the_compiler_through_every_make(built):
    """The wrapper starts a make of its own, and names the place of an installed kernel."""
    kept = (line for line in WRAPPER.splitlines() if not line.startswith(("if", "e")))
    wrapper = "\n".join(kept) + "\n"
    wrapper = wrapper.replace("$(MAKE) -C", "grep gcc $(CC) >> duck.c; $(MAKE) CC=$(CC) -C")
    conf = CONF + "MAKE='make all'\n"
    made = built("dkms", {"Makefile": wrapper, "dkms.conf": conf, "duck.c": "x\n"})
    source, program, compiler = made["duck"].splitlines()
    assert (source, program) == ("x", 'exec gcc -m32 "$@"')
    assert Path(compiler).name == "cc"


def test_of_a_dkms_build_only_what_it_names_is_left(built):
    files = {"Makefile": "obj-m := duck.o egg.o\n", "dkms.conf": CONF, "duck.c": "", "egg.c": ""}
    assert set(built("dkms", files)) == {"duck"}


def test_patches_and_what_is_run_before_a_build_are_honoured(built, tmp_path):
    patch = "--- a/duck.c\n+++ b/duck.c\n@@ -1 +1 @@\n-x\n+patched\n"
    script = tmp_path / "source/before.sh"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "$module $kernelver" > egg.c\n')
    script.chmod(0o755)
    conf = CONF + "PATCH[0]=fix.patch\nPRE_BUILD=before.sh\n"
    conf += "BUILT_MODULE_NAME[1]=egg\n"
    files = {"Makefile": "obj-m := duck.o egg.o\n", "dkms.conf": conf, "duck.c": "x\n"}
    made = built("dkms", {**files, "patches/fix.patch": patch})
    first = {name: text.partition("\n")[0] for name, text in made.items()}
    assert first == {"duck": "patched", "egg": "pond 6.1.0-50-686"}
    with pytest.raises(ModuleBuildError, match="patch"):
        built("dkms", {"duck.c": "another\n"})


NEST = "PACKAGE_NAME=nest\nPACKAGE_VERSION=2\nBUILT_MODULE_NAME=nest\n"


def beside(source: Path, name: str = "nest-2") -> None:
    folder = source.parent / name
    folder.mkdir(parents=True)
    (folder / "dkms.conf").write_text(NEST)
    (folder / "Makefile").write_text("obj-m := nest.o\n$(shell touch $(M)/Module.symvers)\n")
    (folder / "nest.c").write_text("straw\n")


def test_packages_that_one_depends_on_are_built_before_it(built, tmp_path):
    beside(tmp_path / "source")
    made = built("dkms", {
        "dkms.conf": f"{CONF}BUILD_DEPENDS[0]=nest\n",
        "Makefile": "obj-m := duck.o\n$(shell echo $(KBUILD_EXTRA_SYMBOLS) >> $(M)/duck.c)\n",
        "duck.c": "quack\n",
    })  # fmt: skip
    assert sorted(made) == ["duck", "nest"]
    assert "nest/2/build/Module.symvers" in made["duck"]


def test_a_package_that_one_depends_on_is_part_of_its_name(tree, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "dkms.conf").write_text(f"{CONF}BUILD_DEPENDS=nest\n")
    beside(source)
    folder = whole.Folder(source, "dkms")
    before = whole.key(tree, folder, folder.files(), "cc")
    (tmp_path / "nest-2" / "nest.c").write_text("more straw\n")
    assert whole.key(tree, folder, folder.files(), "cc") != before


def test_without_a_package_that_one_depends_on_it_is_skipped(built):
    with pytest.raises(whole.NotForKernel, match="BUILD_DEPENDS=nest, and there is no nest-VERS"):
        built("dkms", {"dkms.conf": f"{CONF}BUILD_DEPENDS[0]=nest\n", "Kbuild": "obj-m := duck.o\n",
                       "duck.c": "quack\n"})  # fmt: skip


def test_a_kernel_that_cannot_have_a_module_is_told_from_a_bad_build(built, tree, tmp_path):
    source = tmp_path / "source"
    conf = CONF + "BUILD_EXCLUSIVE_CONFIG=CONFIG_ACPI\n"
    with pytest.raises(whole.NotForKernel, match=r"6.1.0-50-686: .*not so: CONFIG_ACPI"):
        built("dkms", {"Makefile": "obj-m := duck.o\n", "dkms.conf": conf, "duck.c": ""})
    (source / "dkms.conf").write_text(CONF)
    folder = whole.Folder(source, "dkms")
    assert isinstance(whole.missing(tree, folder, "drake", []), whole.NotForKernel)
    lost = whole.missing(tree, folder, "duck", ["swan"])
    assert isinstance(lost, ModuleBuildError)
    assert "no duck.ko was left; there are: swan" in str(lost)


def test_a_build_that_fails_and_says_that_it_did_not_is_told_with_its_words(tree, tmp_path):
    """As where a command has several parts, and the last of them is well."""
    make = 'MAKE="make no-such; make nor-this; true"\n'
    source = tmp_path / "source"
    for name, text in {"dkms.conf": CONF + make, "duck.c": "quack\n", "Makefile": ""}.items():
        source.mkdir(exist_ok=True)
        (source / name).write_text(text)
    directory = tmp_path / ".making-x"
    directory.mkdir()
    folder = whole.Folder(source, "dkms")
    whole.build(tree, folder, folder.files(), directory)
    said = str(whole.missing(tree, folder, "duck", [], directory / "build.log"))
    assert "no duck.ko was left; there are: none" in said
    assert "No rule to make target 'no-such'" in said
    assert str(whole.missing(tree, folder, "duck", [])).count("\n") == 2


def test_another_package_that_a_command_names_is_part_of_a_build_s_name(tree, tmp_path):
    above = tmp_path / "src"
    files = {"duck-1/dkms.conf": CONF + 'MAKE="cat /usr/src/reed-2/a > duck.ko"\n', "reed-2/a": "a"}
    for name, text in files.items():
        (above / name).parent.mkdir(parents=True, exist_ok=True)
        (above / name).write_text(text)
    folder = whole.Folder(above / "duck-1", "dkms")
    before = whole.key(tree, folder, folder.files(), "gcc")
    assert whole.key(tree, folder, folder.files(), "gcc") == before
    (above / "reed-2/a").write_text("b")
    assert whole.key(tree, folder, folder.files(), "gcc") != before


def test_a_module_whose_option_is_off_cannot_be_on_that_kernel(tree, tmp_path):
    (tmp_path / "Kbuild").write_text("obj-$(CONFIG_ACPI) += duck.o\nobj-$(CONFIG_PCI) += egg.o\n")
    folder = whole.Folder(tmp_path, "kbuild")
    reason = whole.missing(tree, folder, "duck", [])
    assert isinstance(reason, whole.NotForKernel)
    assert "CONFIG_ACPI" in str(reason)
    assert isinstance(whole.missing(tree, folder, "egg", []), ModuleBuildError)


def test_a_dkms_conf_that_is_not_read_is_a_failure_of_its_build(built, tmp_path):
    with pytest.raises(ModuleBuildError, match=r"dkms.conf:4: runs 'touch'"):
        built("dkms", {"dkms.conf": CONF + f"touch {tmp_path}/seen\n", "duck.c": ""})
    assert not (tmp_path / "seen").exists()


def test_a_failed_build_shows_the_line(built):
    bad = "obj-m := duck.o\n$(error duck.c:7:3: error: no pond)\n"
    with pytest.raises(ModuleBuildError, match=r"duck.c:7:3: error: no pond"):
        built("dkms", {"Makefile": bad, "dkms.conf": CONF, "duck.c": ""})


def test_a_very_large_module_loses_its_debug_information(built):
    """A guest of 192 MiB has no room for it; the stand-in is no ELF file, and stays as it is."""
    words = "obj-m := duck.o\n$(shell echo 'int duck;' | gcc -g -xc -c - -o $(M)/goose.o)\n"
    pad = "$(shell head -c 9000000 /dev/zero > $(M)/pad; cd $(M); objcopy {} goose.o goose.ko)\n"
    lost = {}
    for section in (".debug_pad", ".data_pad"):
        more = pad.format(f"--add-section {section}=pad")
        made = built("kbuild", {"Kbuild": words + more, "duck.c": "quack\n"}, sizes=True)
        lost[section] = made["goose"] < 1 << 20
    assert lost == {".debug_pad": True, ".data_pad": False}


@pytest.mark.parametrize("ask", ["read -p 'which kernel? ' answer", "read answer < /dev/tty"])
def test_a_build_that_asks_its_user_gets_no_answer_and_does_not_wait(built, ask):
    lines = ("obj-m := duck.o", f"ifeq ($(shell {ask} && echo told),)", "$(error nobody said)")
    with pytest.raises(ModuleBuildError, match="nobody said"):
        built("kbuild", {"Makefile": "\n".join([*lines, "endif", ""]), "duck.c": "quack\n"})


def test_a_build_has_no_terminal_of_its_caller_s(tmp_path):
    alone = f"import os; print(os.getsid(0) != {os.getsid(0)}, os.isatty(0))"
    assert HERE.run([sys.executable, "-c", alone], tmp_path).stdout == "True False\n"
    assert HERE.run(["sh", "-c", ": < /dev/tty"], tmp_path).returncode


def test_what_builds_left_and_links_that_lead_out_are_not_copied(tmp_path):
    source = tmp_path / "source"
    for name in ("a.c", "a.o", "old.ko", ".git/x", "vmlab-out/y", "scenarios/load.yaml", "sub/b.h"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (tmp_path / "secret").write_text("")
    (source / "link.c").symlink_to(tmp_path / "secret")
    folder = whole.Folder(source, "kbuild", (source / "scenarios",))
    assert sorted(folder.files()) == ["a.c", "sub/b.h"]


def test_makefiles_are_settled_on_a_kernel(tmp_path):
    (tmp_path / "Makefile").write_text(
        "A := $(shell uname -r)\nB = /lib/modules/$(shell uname -r)/build\n"
        "C = /lib/modules/`uname -r`/source/x\nD = /lib/modules/${K}/build\n"
        "E = /lib/modules/builder\n"
        "L := /lib/modules/$(A)\nF ?= $(L)/build\nG = $(L)/extra\n"
        "H:\n\tmake -C /lib/modules/$$(uname -r)/build\n\tls /lib/modules/$$V/build\n"
    )
    makefile.settle(tmp_path, "6.1.0-50-686", "i686", Path("/headers"))
    assert (tmp_path / "Makefile").read_text() == (
        "A := 6.1.0-50-686\nB = /headers\nC = /headers/x\nD = /headers\nE = /lib/modules/builder\n"
        "L := /lib/modules/$(A)\nF ?= /headers\nG = $(L)/extra\n"
        "H:\n\tmake -C /headers\n\tls /headers\n"
    )


def test_scripts_are_told_where_a_kernel_s_headers_are(tmp_path):
    names = {
        "ask.sh": "#!/bin/bash\n",
        "configure": "#! /bin/sh\n",
        "ask.py": "#!/usr/bin/python3\n",
    }
    for name, line in names.items():
        (tmp_path / name).write_text(f"{line}ls /lib/modules/$K/build `uname -r`\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "notes").write_text("#!/bin/sh\nls /lib/modules/$K/build\n")
    makefile.settle(tmp_path, "6.1.0-50-686", "i686", Path("/headers"))
    found = {path.name: path.read_text().splitlines()[1] for path in tmp_path.iterdir()}
    settled, as_it_was = "ls /headers `uname -r`", "ls /lib/modules/$K/build"
    assert found == {
        "ask.sh": settled, "configure": settled,
        "ask.py": f"{as_it_was} `uname -r`", "notes": as_it_was,
    }  # fmt: skip


def test_kbuild_files_say_what_modules_are_made_of(tmp_path):
    (tmp_path / "Makefile").write_text(
        "NAME := duck\nobj-m += $(NAME).o \\\n  egg.o # nest.o\n"
        "duck-y := a.o b.o\nduck-objs += c.o\n"
        "obj-$(CONFIG_PCI) += swan.o\nobj-$(CONFIG_OWN) += own.o\nCONFIG_OWN ?= m\n"
        "all:\n\techo x.o\n"
    )
    made = {one.name: one for one in makefile.modules(tmp_path)}
    assert list(made) == ["duck", "egg", "swan", "own"]
    assert [str(path) for path in made["duck"].sources] == ["a.c", "b.c", "c.c"]
    assert {name: one.option for name, one in made.items()} == {
        "duck": None, "egg": None, "swan": "CONFIG_PCI", "own": None,
    }  # fmt: skip


def test_of_a_whole_each_module_s_fate_is_told(tmp_path, tree, monkeypatch):
    """`vmlab build`: one that cannot be built, and one that a kernel cannot have, hide no other."""
    (tmp_path / "vmlab.yaml").write_text("modules: .\nbuild: kbuild\nnames: [duck, egg, hen]\n")
    (tmp_path / "scenarios").mkdir()

    def modules(kernel: Any, folder: whole.Folder, wanted: list[str]) -> dict[str, Path]:
        if "egg" in wanted:
            raise ModuleBuildError("6.1", "make", "egg.c:1: error: broken")
        if "hen" in wanted:
            raise whole.NotForKernel("6.1: no hen")
        return {"duck": Path("duck.ko")}

    catalog = SimpleNamespace(select=lambda words: [tree], obtain=lambda one: one)
    made = SimpleNamespace(catalog=catalog, modules=modules, tree=lambda kernel: tree)
    monkeypatch.setattr("vmlab.cli.common.artifacts", lambda sandboxed: made)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["build"])
    assert done.exit_code == 1
    for said in ("egg.c:1: error: broken", f"{tree.id}: skipped: 6.1: no hen",
                 f"{tree.id}: duck: duck.ko", f"{tree.id}: again by hand: make -C"):  # fmt: skip
        assert said in done.output
