"""Folders that kbuild alone does not build, and the make of their authors does."""

import folder_builds
import pytest

from vmlab.build import kbuild
from vmlab.build.kbuild import ModuleBuildError

# And make's own line of a file that does not compile, as kbuild has it.
COMPILES_AND_SAYS = folder_builds.COMPILES.replace(
    'so it says" >&2;', 'so it says" >&2; echo "make: *** [x: $@] Error 1" >&2;'
)


@pytest.fixture
def tree(tmp_path) -> kbuild.Tree:
    return folder_builds.tree(tmp_path)


@pytest.fixture
def built(tmp_path, tree) -> folder_builds.Built:
    return folder_builds.Built(tmp_path, tree)


# Its own make makes a header and calls the kernel's with an option.
OWN = """\
ifneq ($(KERNELRELEASE),)
obj-m := duck.o
else
KDIR ?= /lib/modules/$(shell uname -r)/build
all: config
\t$(MAKE) -C $(KDIR) M=$(PWD) modules
config:
\t{}
endif
"""


def test_what_kbuild_alone_does_not_build_its_author_s_make_does(built, tree):
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    files = {"Makefile": OWN.format("./make-it"), "duck.c": "use pond.h\n"}
    with pytest.raises(ModuleBuildError, match=r"duck\.c:1:2: fatal error: pond\.h"):
        built("kbuild", {**files, "make-it": "not executable, and no script"})
    files["Makefile"] = OWN.format("sh make-it")
    assert set(built("kbuild", {**files, "make-it": "uname -r > pond.h"})) == {"duck"}


def test_what_a_build_left_that_failed_as_a_whole_is_built_again(built, tree):
    """One that leaves a module and names none as the faulty one."""
    kernel = folder_builds.COMPILES + "modules: last\nlast:\n\t@test $(LAST) || exit 1\n"
    (tree.headers / "Makefile").write_text(kernel)
    own = OWN.format("true").replace(" modules", " LAST=1 modules")
    files = {"Makefile": own.replace("duck.o", "duck.o hen.o"), "duck.c": "quack\n"}
    assert set(built("kbuild", {**files, "hen.c": ""})) == {"duck", "hen"}


def test_what_is_no_module_may_fail_in_its_author_s_make(built, tree):
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    text = OWN.format("uname -r > pond.h").replace("all:", "all: tool kernel\nkernel:")
    files = {"Makefile": text + "tool:\n\tfalse\n", "duck.c": "use pond.h\n"}
    assert set(built("kbuild", files)) == {"duck"}


def test_modules_that_only_their_author_s_make_asks_for_are_built(built, tree):
    text = OWN.format("true").replace("obj-m", "ifdef POND\nobj-m").replace("else", "endif\nelse")
    files = {"Makefile": text.replace("modules\n", "POND=1 modules\n"), "duck.c": "quack\n"}
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    assert set(built("kbuild", files)) == {"duck"}


@pytest.mark.parametrize("word", ["sudo", "insmod duck.ko ||", "depmod -a;"])
def test_a_make_that_would_install_something_is_not_called(built, tree, tmp_path, word):
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    files = {"Makefile": OWN.format(f"{word} touch pond.h {tmp_path}/seen"), "duck.c": "use pond.h"}
    with pytest.raises(ModuleBuildError, match=r"duck\.c:1:2: fatal error: pond\.h"):
        built("kbuild", files)
    assert not (tmp_path / "seen").exists()


def test_of_two_failures_the_author_s_own_is_told(built, tree):
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    files = {
        "Makefile": OWN.format("echo error > pond.h; echo error >> duck.c"),
        "duck.c": "use pond.h\n",
    }
    with pytest.raises(ModuleBuildError, match=r"duck\.c:1:2: error: so it says"):
        built("kbuild", files)
    files["Makefile"] = OWN.format("echo no bison here >&2; false")
    with pytest.raises(ModuleBuildError, match=r"fatal error: pond\.h"):
        built("kbuild", files)


def test_folders_that_count_on_where_make_is_called_are_built_there(built, tree):
    """And one that uses another's symbols knows them, whichever comes first."""
    (tree.headers / "Makefile").write_text(folder_builds.COMPILES)
    here = "obj-m := {}.o\nifeq ($(wildcard $(PWD)/{}.c),)\n$(error elsewhere)\nendif\n"
    needs = "ifeq ($(KBUILD_EXTRA_SYMBOLS),)\n$(error undefined)\nendif\n"
    gives = "$(shell touch $(M)/Module.symvers)\n"
    files = {
        "a/Makefile": here.format("duck", "duck") + needs, "a/duck.c": "quack\n",
        "b/Makefile": here.format("swan", "swan") + gives, "b/swan.c": "hiss\n",
        "c/Makefile": here.format("hen", "hen"), "c/hen.c": "error\n",
    }  # fmt: skip
    assert set(built("kbuild", files)) == {"duck", "swan"}


def test_a_build_s_machine_is_the_one_that_is_built_for(built):
    text = "obj-m := duck.o\n$(shell sh $(PWD)/ask > $(M)/duck.c)\n"
    made = built(
        "kbuild", {"Makefile": text, "ask": "uname -r; uname -m; uname -s\n", "duck.c": ""}
    )
    assert made["duck"].splitlines()[:3] == ["6.1.0-50-686", "i686", "Linux"]


def test_a_module_s_failure_is_its_own_and_not_that_of_a_make_for_all(built, tree, tmp_path):
    (tree.headers / "Makefile").write_text(COMPILES_AND_SAYS)
    make = "make -C /lib/modules/x/build M=$$PWD/$$i modules"
    top = f"all:\n\tfor i in a b; do {make} || exit 1; done\n"
    files = {"Makefile": top, "a/Makefile": "obj-m := duck.o\n", "a/duck.c": "error\n",
             "b/Makefile": "obj-m := hen.o\n", "b/hen.c": "error\n",
             "c/Makefile": "obj-m := swan.o\n", "c/swan.c": ""}  # fmt: skip
    assert set(built("kbuild", files)) == {"swan"}
    for name, folder in (("duck", "a"), ("hen", "b")):
        said = (tmp_path / f"built0/{name}.failed").read_text()
        assert f"{folder}/{name}.c:1:2: error: so it says" in said
        assert said.count("error: so") == 1


def test_a_failure_of_the_second_try_says_how_to_see_it_again(built, tree):
    (tree.headers / "Makefile").write_text(COMPILES_AND_SAYS)
    files = {"src/Makefile": "obj-m := duck.o\n", "src/duck.c": "error\n"}
    with pytest.raises(ModuleBuildError, match="again by hand: vmlab build --kernel 6"):
        built("kbuild", files)
