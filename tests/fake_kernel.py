"""A miniature kernel source: its make configures, compiles and links as a real one's, at once.

Its modules are built against what a real tree of that release declares (old_trees).
"""

import sys
from pathlib import Path

import old_trees

RELEASE = "4.4.155"
_ERA = next(era for era in old_trees.ERAS if era.release == RELEASE)

_KCONFIG = """\
mainmenu "Miniature"
source "arch/$(SRCARCH)/Kconfig"

config PRINTK
	bool "Print"
	help
		A text with a word like
		config NOTHING
		in it.

if PRINTK
config LOUD
	bool "Loud"
	depends on TTY && !QUIET
endif

config QUIET
	bool "Quiet"

menu "Drivers"
	depends on TTY
config SERIAL_8250
	tristate "Serial ports"
config SERIAL_8250_CONSOLE
	bool "Console on them"
	depends on SERIAL_8250=y
endmenu

config FAST
	bool
"""
_PLAIN = (
    "TTY", "BLK_DEV_INITRD", "BINFMT_ELF", "PROC_FS", "MODULES", "EXPERT", "SYSFS", "64BIT",
)  # fmt: skip
_ARCH = """\
config X86
	def_bool y
config X86_32
	def_bool !64BIT
config X86_64
	def_bool 64BIT
"""

# What kconfig does, for Kconfig files as simple as these.
_CONF = """\
import os, re, sys
out, kind = sys.argv[1:]
asked = os.environ.get("KCONFIG_ALLCONFIG") if kind == "allnoconfig" else out + "/.config"
text = open(asked).read()
wanted = dict(re.findall(r"^CONFIG_(\\w+)=(.*)$", text, re.M))
for name in re.findall(r"^# CONFIG_(\\w+) is not set$", text, re.M):
    wanted.pop(name, None)
made = {"X86": "y", "X86_64" if wanted.get("64BIT") == "y" else "X86_32": "y"}
known = open("Kconfig").read() + open("arch/x86/Kconfig").read()
for name in re.findall(r"^config (\\w+)\\n\\t(?:bool|tristate) .", known, re.M):
    if wanted.get(name, "n") != "n":
        made[name] = wanted[name]
if "QUIET" in made or "TTY" not in made:
    made.pop("LOUD", None)
if made.get("SERIAL_8250") != "y" or "TTY" not in made:
    made.pop("SERIAL_8250_CONSOLE", None)
open(out + "/.config", "w").write("".join(f"CONFIG_{k}={v}\\n" for k, v in sorted(made.items())))
"""
_IMAGE = """\
import struct, sys
path, release, *objects = sys.argv[1:]
head = bytearray(0x400)
head[0x202:0x206] = b"HdrS"
head[0x20E:0x210] = struct.pack("<H", 0x100)
text = (release + " (vmlab@vmlab) #1").encode()
head[0x300:0x300 + len(text)] = text
open(path, "wb").write(bytes(head) + b"".join(open(one, "rb").read() for one in objects))
"""
_MAKEFILE = """\
VERSION = 4
PATCHLEVEL = 4
SUBLEVEL = 155
EXTRAVERSION =
RELEASE = 4.4.155$(LOCALVERSION)
NOW = $(shell date +%N)
STAMP = $(or $(KBUILD_BUILD_TIMESTAMP),$(NOW)) $(or $(KBUILD_BUILD_HOST),$(NOW))
ifneq ($(M),)
modules:
\t@$(MAKE) --no-print-directory -f scripts/Makefile.build obj=$(M) M=$(M)
else
B = $(O)/arch/x86/boot/bzImage
objects := $(patsubst %.c,$(O)/%.o,$(wildcard kernel/*.c))
allnoconfig olddefconfig:
\t@KCONFIG_ALLCONFIG=$(KCONFIG_ALLCONFIG) PYTHON scripts/conf.py $(O) $@
bzImage: $(B)
$(O)/kernel/%.o: kernel/%.c $(O)/.config
\t@mkdir -p $(@D)
\t@echo $* >> $(O)/compiled
\t$(CC) $(KCFLAGS) -g -c -o $@ $(CURDIR)/$<
$(B): $(objects)
\t@mkdir -p $(@D) $(O)/include/generated
\t@PYTHON scripts/image.py $@ "$(RELEASE) $(STAMP)" $(objects)
\t@cat $(objects) > $(O)/vmlinux
\t@echo 'c0100000 T _text' > $(O)/System.map
\t@echo '#define UTS_RELEASE "$(RELEASE)"' > $(O)/include/generated/utsrelease.h
modules modules_prepare: $(B)
\t@echo '0x00000000\tprintk\tvmlinux' > $(O)/Module.symvers
modules: $(O)/modules.order
$(O)/modules.order: $(patsubst %.c,$(O)/%.ko,$(wildcard lib/*.c)) FORCE
\t@printf '%s\\n' $(patsubst $(O)/%,%,$(filter %.ko,$^)) > $@
\t@echo kernel/fs/old.ko > $(O)/modules.builtin
FORCE:
$(O)/lib/%.ko: lib/%.c
\t@mkdir -p $(@D)
\t$(CC) -c -o $@ $<
endif
.PHONY: modules modules_prepare bzImage allnoconfig olddefconfig
"""


def tree(folder: Path) -> Path:
    """A source tree as it is unpacked."""
    old_trees.tree(_ERA, folder)
    (folder / "Module.symvers").unlink()
    (folder / ".config").unlink()
    python = str(sys.executable)
    (folder / "Makefile").write_text(_MAKEFILE.replace("PYTHON", python))
    (folder / "arch/x86").mkdir(parents=True)
    (folder / "arch/x86/Kconfig").write_text(_ARCH)
    plain = "".join(f'\nconfig {name}\n\tbool "{name}"\n' for name in _PLAIN)
    (folder / "Kconfig").write_text(_KCONFIG + plain)
    (folder / "scripts/conf.py").write_text(_CONF)
    (folder / "scripts/image.py").write_text(_IMAGE)
    (folder / ".gitignore").write_text(
        "*.o\n.*\n!.gitignore\n/vmlinux\n# as Debian's\n/*\n!/debian/\n"
    )
    (folder / "kernel").mkdir()
    for name in ("sched", "fork", "exit"):
        (folder / f"kernel/{name}.c").write_text(f"int {name}(void) {{ return 0; }}\n")
    return folder
