"""Folders' builds against kernel trees that take no compiler."""

from pathlib import Path
from typing import Any

from vmlab.arch import ARCHES
from vmlab.build import kbuild, whole

# Stands for kbuild: a module's file is its source with what the build was given.
KERNEL = """\
KERNELRELEASE := fake
here := $(lastword $(MAKEFILE_LIST))
include $(or $(wildcard $(M)/Kbuild),$(M)/Makefile)
.PHONY: modules
modules:
\t@for o in $(obj-m) $(obj-y); do case $$o in \\
\t*/) $(MAKE) -f $(here) M=$(M)/$$o modules;; \\
\t*) (cat $(M)/$${o%.o}.c; echo '$(CC)') > $(M)/$${o%.o}.ko;; esac || exit 1; done
"""

# Compiles, in a manner: what a source has of the word `error` is one.
COMPILES = """\
KERNELRELEASE := fake
include $(M)/Makefile
modules: $(obj-m:%.o=$(M)/%.ko)
$(M)/%.o: $(M)/%.c
\t@if grep -n error $<; then echo "$<:1:2: error: so it says" >&2; exit 1; fi; cp $< $@
\t@for h in $$(sed -n 's/^use //p' $<); do [ -e $(M)/$$h ] || \\
\t{ echo "$<:1:2: fatal error: $$h: No such file or directory" >&2; exit 1; }; done
$(M)/%.ko: $(M)/%.o
\t@if grep -q undefined $<; then \\
\techo 'ERROR: modpost: "egg" [$@] undefined!' >&2; exit 1; fi; cp $< $@
"""


def tree(root: Path) -> kbuild.Tree:
    headers = root / "root/usr/src/headers"
    headers.mkdir(parents=True)
    (headers / "Makefile").write_text(KERNEL)
    (headers / ".config").write_text("CONFIG_PCI=y\n")
    return kbuild.Tree("6.1.0-50-686", ARCHES["i386"], headers, "6.1")


class Built:
    """Builds files; returns what is left by name."""

    def __init__(self, root: Path, tree: kbuild.Tree) -> None:
        self._root, self._tree, self._rounds = root, tree, iter(range(9))

    def __call__(
        self, way: whole.Way, files: dict[str, str], sizes: bool = False
    ) -> dict[str, Any]:
        source, directory = self._root / "source", self._root / f"built{next(self._rounds)}"
        for name, text in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        before = sorted(source.rglob("*"))
        folder = whole.Folder(source, way)
        directory.mkdir()
        whole.build(self._tree, folder, folder.files(), directory)
        assert sorted(source.rglob("*")) == before
        if sizes:
            found = kbuild.modules(directory)
            return {name: path.stat().st_size for name, path in found.items()}
        return {name: path.read_text() for name, path in kbuild.modules(directory).items()}
