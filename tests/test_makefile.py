"""Kbuild files of strangers, read without make: which modules come of them."""

from pathlib import Path

import pytest

from vmlab.build import faulty, makefile
from vmlab.build.assignments import assignments

# As drivers for several chips have it: one Makefile, and its first lines decide.
CHIPS = """\
CONFIG_DUCK = y
CONFIG_GOOSE = n
ifeq ($(CONFIG_DUCK), y)
NAME = duck
else ifeq ($(CONFIG_GOOSE), y)
NAME = goose
endif
ifeq ($(CONFIG_GOOSE), y)
NAME = gander
PARTS += beak.o
endif
PARTS += wing.o
PARTS += foot.o
ifneq ($(KERNELRELEASE),)
\tobj-$(CONFIG_DUCK_DRIVER) := $(NAME).o
\t$(NAME)-y := $(PARTS)
else
export CONFIG_DUCK_DRIVER = m
all:
\tmake -C /lib/modules/`uname -r`/build M=$(CURDIR) modules
endif
"""
CALLED = "obj-$(CONFIG_SWAN) := swan.o\nobj-$(CONFIG_PCI) += tern.o\nall:\n\tmake CONFIG_SWAN=m x\n"


@pytest.mark.parametrize(
    ("text", "made", "options"),
    [(CHIPS, {"duck": ["wing.c", "foot.c"]}, {"CONFIG_DUCK_DRIVER": "m"}),
     (CALLED, {"swan": ["swan.c"], "tern": ["tern.c"]}, {"CONFIG_SWAN": "m"}),
     ("ALL := m\nobj-$(ALL)$(CONFIG_PCI) := a.o\n", {"a": ["a.c"]}, {}),
     ("obj-$(ALL)$(CONFIG_PCI) := a.o\n", {"a": ["a.c"]}, {}),
     ("bus$(EXT)-y := a.o b${EXT}.o\nobj-m := bus$(EXT).o\n", {"bus": ["a.c", "b.c"]}, {}),
     ("obj-m := bus$(EXT).o\nall:\n\tmake EXT=2 modules\n", {}, {}),
     ("obj-m := bus-$(ARCH).o $(NAME).o\n", {}, {}),
     ("obj-$(if $(KBUILD_EXTMOD),m,$(CONFIG_A)) := a.o\n", {"a": ["a.c"]}, {}),
     ("obj-$(patsubst y,m,${CONFIG_A})+=a.o\n", {"a": ["a.c"]}, {})],
)  # fmt: skip
def test_the_modules_of_a_makefile_and_what_it_is_to_be_given(tmp_path, text, made, options):
    (tmp_path / "Makefile").write_text(text)
    found = {one.name: [str(path) for path in one.sources] for one in makefile.modules(tmp_path)}
    assert found == made
    assert makefile.options(tmp_path) == options


def test_an_option_that_a_kconfig_beside_it_defines_is_its_own(tmp_path):
    (tmp_path / "Makefile").write_text("obj-$(CONFIG_DUCK) := duck.o\nobj-$(CONFIG_PCI) += t.o\n")
    (tmp_path / "Kconfig").write_text("config DUCK\n\ttristate 'a duck'\n\tdepends on PCI\n")
    assert makefile.options(tmp_path) == {"CONFIG_DUCK": "m"}
    assert makefile.option(tmp_path, "t") == "CONFIG_PCI"


def test_an_option_of_the_kernel_s_stays_one(tmp_path):
    (tmp_path / "Makefile").write_text(CALLED)
    assert makefile.option(tmp_path, "tern") == "CONFIG_PCI"
    assert makefile.option(tmp_path, "swan") is None


@pytest.mark.parametrize(
    ("condition", "branches"),
    [("ifeq ($(A),a)", "1"), ("ifneq ($(A),a)", "2"), ('ifeq "$(A)" "b"', "2"),
     ("ifeq ('$(A)','a')", "1"), ("ifdef A", "1"), ("ifndef A", "2"), ("ifdef EMPTY", "2"),
     ("ifeq ($(UNKNOWN),a)", "12"), ("ifdef UNKNOWN", "12"), ("ifeq ($(shell x),a)", "12"),
     ("ifeq ($(A)$(EMPTY),$(strip a))", "12"), ("ifeq ($(SOMETIMES),1)", "12"),
     ("ifeq ($(UNKNOWN),a)\nelse ifeq ($(A),a)", "1"), ("ifeq ($(A),a)\nX=1\nelse ifdef EMPTY", ""),
     ("ifeq ($(A),a) # why", "1")],
)  # fmt: skip
def test_the_branches_of_a_condition_that_the_file_settles_are_followed(condition, branches):
    """With variables of others, or of a branch that may not be taken, both are taken as said."""
    text = (
        "A := a\nEMPTY :=\nifdef UNKNOWN\nSOMETIMES = 1\nendif\n"
        f"{condition}\nFOUND += 1\nelse\nFOUND += 2\nendif\n"
    )
    said = [value for name, value in assignments(text) if name == "FOUND"]
    assert "".join(said) == branches


def test_values_are_put_together_and_kept_as_make_does():
    text = (
        "A := 1\nA += 2\nB ?= 3\nB ?= 4\nexport C=$(A)/$(B)\nifeq (x,y)\nA = 5\nendif\nX := $(C)\n"
    )
    assert assignments(text)[-1] == ("X", "1 2/3")


def test_whose_fault_a_build_is_and_what_was_said_of_it():
    """As kbuild says it: in order of its own, and of modpost what several kernels say."""
    made = [
        makefile.Made("duck", Path("a"), (Path("a/main.c"), Path("a/foot.c"))),
        makefile.Made("goo-se", Path(), (Path("goo-se.c"),)),
        makefile.Made("swan", Path(), (Path("swan.c"),)),
    ]
    said = """\
  CC [M]  goo-se.o
a/foot.c: In function 'walk':
a/foot.c:3:1: error: unknown type name 'egg'
make[2]: *** [/headers/scripts/Makefile.build:255: a/foot.o] Error 1
make[1]: *** [/headers/scripts/Makefile.build:508: a] Error 2
ERROR: modpost: "fly" [goo-se.ko] undefined!
ERROR: modpost: "swim" [goo-se.ko] undefined!
""".splitlines()
    assert faulty.modules(said, made) == {
        "duck": "\n".join(said[1:4]), "goo-se": "\n".join(said[5:7]),
    }  # fmt: skip
    for line in (
        "ERROR: modpost: missing MODULE_LICENSE() in swan.o",
        "ERROR: modpost: module swan uses symbol x from namespace Y, but does not",
    ):
        assert faulty.modules([line], made) == {"swan": line}
    assert faulty.modules(["make: *** [Makefile:9: modules] Error 2"], made) == {}


def test_what_is_told_of_a_file_that_fails_in_a_header_is_the_error():
    """Of a build that says much before: the tools that an author's make builds first."""
    made = [makefile.Made("duck", Path(), (Path("duck.c"), Path("foot.c")))]
    before = [f"  CC tool{n}.o" for n in range(40)]
    before += ["tool.c:1: error: no egg", "make[1]: *** [Makefile:48: test-duck.o] Error 1"]
    said = ["pond.h: In function 'swim':", "/headers/a.h:3:1: error: expected expression",
            "make[2]: *** [/headers/scripts/Makefile.build:255: duck.o] Error 1"]  # fmt: skip
    assert faulty.modules([*before, *said, "make: *** x"], made) == {"duck": "\n".join(said)}
    assert faulty.modules([said[2]], made) == {"duck": said[2]}
