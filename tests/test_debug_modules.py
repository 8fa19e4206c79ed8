"""Where a module's sections are, from its relocations as a linker applies them."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from elftools.elf.elffile import ELFFile

from vmlab.debug import gdb, kernels
from vmlab.debug.modules import RECORD, ModuleFile
from vmlab.debug.rsp import StubError
from vmlab.debug.trace import Load
from vmlab.errors import LabError

MODULE = r"""
static int counter = 5;
int other(void);
__attribute__((section(".text.unlikely"))) int cold(int a) { counter += a; return other(); }
__attribute__((section(".init.text"))) int begin(void) { return cold(counter); }
/* nothing refers to it but the kernel, by the page that it begins */
int exported(int a) { for (int i = 0; i < 99; i++) a = a * 3 + (a >> 2) + i; return a; }
struct record { char name[16]; int (*init)(void); void *page; } record
__attribute__((section(".gnu.linkonce.this_module"))) = { "hello", begin, (void *)0xd000 };
"""
PLACES = {".text": 0xD000, ".text.unlikely": 0xD805, ".init.text": 0x1F000, ".data": 0xE010,
          RECORD: 0xE100}  # fmt: skip


def linked(folder: Path, flags: list[str]) -> tuple[Path, dict[int, bytes]]:
    """A module, and its memory once a linker has put its sections to their places."""
    (folder / "hello.c").write_text(MODULE)
    module, image = folder / "hello.ko", folder / "image"
    compile_ = ["gcc", *flags, "-c", "-O1", "-fno-pic", "-fno-asynchronous-unwind-tables"]
    subprocess.run([*compile_, "hello.c", "-o", "hello.ko"], cwd=folder, check=True)
    places = "".join(f"{name} {at:#x} : {{ *({name}) }}\n" for name, at in PLACES.items())
    (folder / "places").write_text(f"other = 0x100000; SECTIONS {{ {places} }}")
    link = ["gcc", *flags, "-static", "-nostdlib", "-no-pie", "-Wl,-e0", "-Wl,--build-id=none"]
    subprocess.run([*link, "-Wl,-T,places", "hello.ko", "-o", "image"], cwd=folder, check=True)
    with image.open("rb") as file:
        sections = ELFFile(file).iter_sections()
        memory = {one["sh_addr"]: one.data() for one in sections if one["sh_flags"] & 2}
    return module, memory


@pytest.mark.parametrize("flags", [["-m32"], ["-m64", "-mcmodel=kernel"]], ids=["i386", "x86_64"])
def test_a_modules_sections_are_found_from_its_record(flags, tmp_path):
    path, memory = linked(tmp_path, flags)
    module = ModuleFile(path)

    def read(address: int, size: int) -> bytes:
        for start, content in memory.items():
            if start <= address < start + len(content):
                return content[address - start :][:size].ljust(size, b"\0")
        raise StubError("not mapped")

    assert module.is_at(PLACES[RECORD], read)
    assert not module.is_at(PLACES[".data"], read)
    assert module.sections(PLACES[RECORD], read) == PLACES


def test_what_is_no_module_is_told(tmp_path):
    (tmp_path / "x.c").write_text("int x;")
    subprocess.run(["gcc", "-c", "x.c", "-o", "x.ko"], cwd=tmp_path, check=True)
    with pytest.raises(LabError, match="is no kernel module"):
        ModuleFile(tmp_path / "x.ko")


@pytest.mark.parametrize("content", [b"", b"no ELF file", b"\x7fELF\x02\x01" + b"\xff" * 90])
def test_a_file_that_is_no_module_is_said(tmp_path, content):
    path = tmp_path / "hello.ko"
    path.write_bytes(content)
    with pytest.raises(LabError, match=r"hello\.ko is no ELF file, or not a whole one"):
        ModuleFile(path)


@pytest.mark.parametrize("name", [".text | sh", ".text\nshell true", ".text'x", ".data;x", "other"])
def test_the_name_of_a_section_is_no_command_of_gdb_s(name):
    module = SimpleNamespace(path=Path("/run/hello.ko"))
    sections = {".text": 0x1000, ".init.text": 0x2000, ".data..read_mostly": 0x3000, name: 0x4000}
    assert gdb.added(Load(module, sections, 0)) == (
        "add-symbol-file /run/hello.ko -s .data..read_mostly 0x3000 -s .init.text 0x2000"
        " -s .text 0x1000"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [(("vprintk_emit", "do_init_module"), None), (("vprintk_emit",), "no do_init_module, which"),
     ((), "has no vprintk_emit and no do_init_module, which")],
)  # fmt: skip
def test_an_old_kernel_s_run_is_not_followed_and_its_image_is_still_looked_at(
    tmp_path, names, said
):
    found = kernels.KernelSymbols(tmp_path / "kernel", dict.fromkeys(names, 1))
    if said is None:
        found.check()
        return
    with pytest.raises(LabError, match=said):
        found.check()
