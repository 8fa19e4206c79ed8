"""Tables of devices that modpost measures wrongly, and modules with such."""

from dataclasses import replace
from pathlib import Path

import folder_builds
import pytest

from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.build import kbuild, tables
from vmlab.build.process import Done
from vmlab.cache import Cache
from vmlab.catalog import Catalog

TREE = kbuild.Tree("6.1.0-50-686", ARCHES["i386"], Path("/headers"), "6.1")
SAID = (
    "FATAL: modpost: {}: sizeof(struct {}_device_id)=344 is not a modulo of the size of section "
    "__mod_x__<identifier>_device_table=664.\n"
)


class Fake:
    """Commands of a build whose modpost ends at tables until their symbols are gone."""

    def __init__(self, *bad: tuple[str, str]) -> None:
        self.bad, self.ran = list(bad), []

    def __call__(self, words):
        self.ran.append(list(words))
        if words[0] == "objcopy":
            gone = (Path(words[-1]).stem, words[3].split("_")[3])
            self.bad = [one for one in self.bad if one != gone]
            return Done(0, "", "")
        return Done(2, "", SAID.format(*self.bad[0])) if self.bad else Done(0, "", "")


@pytest.fixture
def work(tmp_path) -> Path:
    (tmp_path / "duck.o").write_text("\x7fELF __mod_dmi__a_device_table __mod_of__b_device_table")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/hen.o").write_text("\x7fELF __mod_of__c_device_table")
    return tmp_path


def test_a_build_goes_on_without_the_tables_that_are_measured_wrongly(work):
    fake = Fake(("duck", "dmi"), ("duck", "of"), ("hen", "of"))
    assert tables.built(TREE, fake, ["make"], work).returncode == 0
    names = [words[0] for words in fake.ran]
    assert names == ["make", "objcopy", "make", "objcopy", "objcopy", "make"]
    assert fake.ran[1] == ["objcopy", "-w", "-N", "__mod_dmi__*_device_table", f"{work}/duck.o"]


@pytest.mark.parametrize(
    ("tree", "bad"),
    [(replace(TREE, arch=ARCHES["x86_64"]), ("duck", "dmi")),
     (replace(TREE, number=(4, 4)), ("duck", "dmi")),  # its own modpost knows its own pointers
     (TREE, ("duck", "pci"))],
)  # fmt: skip
def test_other_tables_are_their_author_s_fault(work, tree, bad):
    fake = Fake(bad)
    assert "is not a modulo" in tables.built(tree, fake, ["make"], work).stderr
    assert fake.ran == [["make"]]


def test_a_build_that_says_the_same_again_ends(work):
    def run(words):
        return Done(0 if words[0] == "objcopy" else 2, "", SAID.format("duck", "dmi"))

    assert tables.built(TREE, run, ["make"], work).returncode == 2


SOURCE = """\
#include <linux/dmi.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/pci.h>
static const struct dmi_system_id boxes[] = {
	{ .matches = { DMI_MATCH(DMI_SYS_VENDOR, "x") } }, {}
};
MODULE_DEVICE_TABLE(dmi, boxes);
static const struct of_device_id nodes[] = { { .compatible = "pond,duck" }, {} };
MODULE_DEVICE_TABLE(of, nodes);
static const struct wmi_device_id guids[] = {
	{ .guid_string = "05901221-D566-11D1-B2F0-00A0C9062910" }, {}
};
MODULE_DEVICE_TABLE(wmi, guids);
static const struct pci_device_id cards[] = { { PCI_DEVICE(1, 2) }, {} };
MODULE_DEVICE_TABLE(pci, cards);
MODULE_LICENSE("GPL");
"""


@pytest.mark.guest  # boots none, but takes real kernels and some seconds for each
@pytest.mark.parametrize("id", ["5.10.0-32-686", "6.1.0-50-686"])
@pytest.mark.parametrize("way", ["kbuild", "apart"])
def test_modules_with_such_tables_are_built_for_debian_s_i386(tmp_path, id, way):
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    (kernel,) = artifacts.catalog.select(id)
    tree = artifacts.tree(artifacts.catalog.obtain(kernel))
    if way == "kbuild":
        files = {"Kbuild": "obj-m := duck.o\n", "duck.c": SOURCE}
        assert set(folder_builds.Built(tmp_path, tree)("kbuild", files, sizes=True)) == {"duck"}
        return
    source, directory = tmp_path / "source", tmp_path / "built"
    (source / "duck").mkdir(parents=True)
    (source / "duck/Kbuild").write_text("obj-m := duck.o\n")
    (source / "duck/duck.c").write_text(SOURCE)
    directory.mkdir()
    kbuild.build(tree, source, ["duck"], directory)
    assert (directory / "duck/duck.ko").stat().st_size > 1000


def test_what_modpost_ended_at_is_told():
    said = SAID.format("duck", "pci") + "Fix definition of struct pci_device_id\nmake: *** x\n"
    told = kbuild.message(Done(2, "", "\n\nword\n" * 40 + said), Path("/x"))
    assert "FATAL: modpost: duck: sizeof(struct pci_device_id)" in told
