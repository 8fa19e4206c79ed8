"""Frames to lines, with ELF files that gcc makes as it makes modules and kernels."""

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from elftools.elf.elffile import ELFFile

from vmlab import symbols
from vmlab.crash import Crash, Frame
from vmlab.errors import LabError
from vmlab.frames import Frames
from vmlab.project import Project, Settings
from vmlab.symbols import Root, Sources, elf, lines, sources

# `fail` ends in a trap; nothing stands behind the call in `last`, so what it returns to is
# another function. `look` is in two files, of two sizes; `same` in two, of one size.
MAIN = """\
int volatile *here;
void fail(void) __attribute__((noreturn, noinline));

static inline __attribute__((always_inline)) void inner(int found)
{
	/* the line of the trap */
	*here = found;
	__builtin_trap();
}

void fail(void)
{
	inner(1);
}

static __attribute__((noinline)) void look(void)
{
	*here = 1;
	*here = 2;
}

static __attribute__((noinline)) void same(void)
{
	*here = 3;
}

void last(void)
{
	look();
	same();
	fail();
}
"""
OTHER = """\
extern int volatile *here;

static __attribute__((noinline)) void look(void) { *here = 1; }
static __attribute__((noinline)) void same(void) { *here = 3; }

void others(void)
{
	look();
	same();
}
"""
TRAP = b"\x0f\x0b"  # ud2
FLAGS = ["-g", "-O2", "-ffreestanding", "-fno-pic", "-fno-reorder-functions", "-fno-ipa-icf"]


def gcc(folder: Path, *words: str) -> None:
    subprocess.run(["gcc", *words], cwd=folder, check=True, capture_output=True)


def run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def built(folder: Path, bits: str, linked: bool, *more: str, where: str = ".") -> Path:
    """A file of the kind of a module (in parts, at no address) or of a kernel.

    Its sources are named as in a module that the lab builds; `where` is what stands for the
    directory in which kbuild runs the compiler.
    """
    source = folder / "kmod" / "boom"
    source.mkdir(parents=True)
    (source / "main.c").write_text(MAIN)
    (source / "other.c").write_text(OTHER)
    mapped = [f"-ffile-prefix-map={one}" for one in (f"{folder}={where}", f"{source.parent}/=")]
    for name in ("main", "other"):
        gcc(folder, bits, *FLAGS, *mapped, *more, "-c", str(source / f"{name}.c"))
    if linked:
        gcc(folder, bits, "-nostdlib", "-static", "-Wl,-e,last", *more, "main.o", "other.o",
            "-o", "boom.ko")  # fmt: skip
    else:
        emulation = {"-m32": "elf_i386", "-m64": "elf_x86_64"}[bits]
        subprocess.run(
            ["ld", "-m", emulation, "-r", "main.o", "other.o", "-o", "boom.ko"],
            cwd=folder, check=True,
        )  # fmt: skip
    return folder / "boom.ko"


def sizes(file: Path, name: str) -> list[int]:
    with file.open("rb") as content:
        table = ELFFile(content).get_section_by_name(".symtab")
        return sorted(one["st_size"] for one in table.iter_symbols() if one.name == name)


def trap(file: Path) -> int:
    """Where in `fail` its trap is."""
    with file.open("rb") as content:
        whole = ELFFile(content)
        text = whole.get_section_by_name(".text")
        begin = elf.Functions(file).named("fail")[0].begin - text["sh_addr"]
        return text.data().index(TRAP, begin) - begin


def crash(*frames: Frame, counter: bool = True) -> Crash:
    registers = {"RAX": "0" * 16} if counter else {}
    return Crash("BUG", "BUG in fail", "BUG", 1, 9, registers=registers, frames=frames)


def frame(file: Path, name: str, offset: int, size: int | None = None, module="boom") -> Frame:
    return Frame(name, offset, sizes(file, name)[0] if size is None else size, module)


def silent(line: str) -> None:
    raise AssertionError(line)


def resolved(file: Path, *frames: Frame, counter: bool = True, say=silent) -> tuple[Frame, ...]:
    where = Sources([Root(file.parent / "kmod", "kmod")], [Root(file.parent / "kmod")], [])
    modules = {"boom": file}
    found = symbols.resolve(crash(*frames, counter=counter), modules, file, where, say)
    assert [replace(one, source=None, inlined=()) for one in found.frames] == list(frames)
    return found.frames


def line_of(text: str) -> int:
    return MAIN.splitlines().index(text) + 1


@pytest.mark.parametrize("more", [(), ("-gz",), ("-gdwarf-4",)], ids=lambda more: "".join(more))
@pytest.mark.parametrize("linked", [False, True], ids=["module", "kernel"])
@pytest.mark.parametrize("bits", ["-m32", "-m64"])
def test_a_frame_has_its_line_with_two_around_and_what_was_inlined(tmp_path, bits, linked, more):
    file = built(tmp_path, bits, linked, *more)
    module = None if linked else "boom"
    (found,) = resolved(file, frame(file, "fail", trap(file), module=module))
    name = "boom/main.c" if linked else "kmod/boom/main.c"
    at = line_of("	inner(1);")
    assert (found.source.file, found.source.line) == (name, at)
    assert found.source.around == (
        (at - 2, "void fail(void)"), (at - 1, "{"), (at, "	inner(1);"),
        (at + 1, "}"), (at + 2, ""),
    )  # fmt: skip
    (inner,) = found.inlined
    trapped = line_of("	__builtin_trap();")
    assert (inner.function, inner.file, inner.line) == ("inner", name, trapped)
    assert inner.around[2] == (trapped, "	__builtin_trap();")


def test_a_source_is_found_wherever_kbuild_ran_the_compiler(tmp_path):
    for number, where in enumerate((".", "/usr/src/linux-headers-6.1.0-50-amd64", "/my/linux")):
        file = built(tmp_path / str(number), "-m64", False, where=where)
        (found,) = resolved(file, frame(file, "fail", trap(file)))
        assert (found.source.file, len(found.source.around)) == ("kmod/boom/main.c", 5), where


@pytest.fixture
def module(tmp_path) -> Path:
    return built(tmp_path, "-m64", linked=False)


def test_of_functions_of_one_name_the_size_decides_and_of_one_size_none_does(module):
    small, large = sizes(module, "look")
    assert small < large
    one, other, wrong = resolved(
        module,
        frame(module, "look", 0, large), frame(module, "look", 0, small),
        frame(module, "look", 0, 0x999),
        counter=False,
    )  # fmt: skip
    assert one.source.file == "kmod/boom/main.c"
    assert other.source.file == "kmod/boom/other.c"
    assert wrong.source is None, "it is of another build"
    assert len(set(sizes(module, "same"))) == 1
    assert resolved(module, frame(module, "same", 0))[0].source is None


@pytest.mark.parametrize("linked", [False, True], ids=["module", "kernel"])
def test_a_return_address_is_the_call_s_line_and_the_counter_is_its_own(tmp_path, linked):
    file = built(tmp_path, "-m64", linked)
    name = None if linked else "boom"
    end = sizes(file, "last")[0]
    top, below = frame(file, "fail", trap(file), module=name), frame(file, "last", end, module=name)
    first, called, again = resolved(file, top, below, top)
    assert called.source.line == line_of("	fail();")
    assert first.source == again.source, "the counter once more on the stack"
    (alone,) = resolved(file, below, counter=False)
    assert alone.source.line == line_of("	fail();")
    (counter,) = resolved(file, below)
    assert counter.source is None or counter.source.line != line_of("	fail();")


def test_what_stands_behind_no_call_is_no_return_address(module):
    (found,) = resolved(module, frame(module, "fail", trap(module)), counter=False)
    assert found.inlined[0].line == line_of("	__builtin_trap();")
    assert resolved(module, frame(module, "fail", 1 << 70, size=-1))[0].source is None


# The last bytes before an address, as gas writes them.
CALLS = {
    "e8 00 00 00 00": "call f",
    "ff d0": "call *%rax",
    "41 ff d3": "call *%r11",
    "ff 53 08": "call *8(%rbx)",
    "ff 54 24 08": "call *8(%rsp)",
    "ff 15 00 00 00 00": "call *f(%rip)",
    "ff 94 24 00 01 00 00": "call *256(%rsp)",
}
OTHERS = {"0f 0b": "ud2", "ff e0": "jmp *%rax", "ff 30": "push (%rax)", "8b 40 04": "mov", "": ""}


@pytest.mark.parametrize("code", [*CALLS, *OTHERS], ids=lambda code: {**CALLS, **OTHERS}[code])
def test_calls_are_told_from_other_code(code):
    assert elf.is_call(bytes.fromhex(code)) == (code in CALLS)
    assert elf.is_call(bytes.fromhex(f"8b 40 04 90 90 90 90 90 {code}")) == (code in CALLS)


def test_what_no_file_knows_stays_as_it_was(module):
    frames = (
        Frame("fail", -1, -1, "boom"), Frame("nowhere", 1, 2, "boom"), Frame("fail", 1, 9, "ext4"),
    )  # fmt: skip
    assert resolved(module, *frames) == frames
    where = Sources([Root(module.parent / "kmod")])
    kernel = crash(frame(module, "fail", 0, module=None))
    assert symbols.resolve(kernel, {}, None, where, silent) == kernel


def test_a_kernel_s_sizes_are_those_up_to_the_next_symbol(module):
    own = elf.Functions(module)
    (fail,) = own.named("fail")
    assert fail.reach > fail.size, "gcc fills up between functions"
    assert fail.has_size(fail.reach)
    assert not fail.has_size(fail.reach + 1)
    (final,) = own.named("others")
    assert final.has_size(final.reach + 0x800), "behind it comes what its kernel puts there"
    assert not final.has_size(final.size - 1)


def test_the_compiler_s_labels_are_no_functions(tmp_path, module):
    labelled = built(tmp_path / "labelled", "-m64", False, "-Wa,-L")
    assert b"\0.LFE" in labelled.read_bytes()
    assert elf.Functions(labelled).named("fail") == elf.Functions(module).named("fail")
    assert elf.Functions(labelled).named("last")[0].reach >= sizes(labelled, "last")[0]


def test_debug_information_is_found_by_name_and_by_build_id(tmp_path):
    file = built(tmp_path, "-m64", True, "-Wl,--build-id=0x1234abcd")
    one = frame(file, "fail", trap(file), module=None)
    whole = resolved(file, one)
    split = tmp_path / "boom.debug"
    run("objcopy", "--only-keep-debug", file, split)
    run("objcopy", "--strip-debug", f"--add-gnu-debuglink={split}", file)
    assert elf.debug_file(file) == split
    assert resolved(file, one) == whole
    by_id = tmp_path / "root" / ".build-id" / "12" / "34abcd.debug"
    by_id.parent.mkdir(parents=True)
    split.rename(by_id)
    assert elf.debug_file(file, [tmp_path / "root"]) == by_id
    by_id.rename(split)
    split.rename(tmp_path / "elsewhere")
    with pytest.raises(LabError, match="no debug information"):
        elf.debug_file(file, [tmp_path / "root"])
    said: list[str] = []
    assert resolved(file, one, say=said.append) == (one,)
    assert said == [f"source lines of the kernel: {file} has no debug information, and no file of "
                    "it was found"]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda file: file.unlink(), "no such file"),
        (lambda file: file.write_bytes(b"no ELF"), "is no ELF file, or"),
        (lambda file: file.write_bytes(file.read_bytes()[:300]), "boom.ko"),
        (lambda file: run("strip", "--strip-debug", file), "no debug information"),
    ],
    ids=["gone", "other", "cut", "stripped"],
)
def test_a_file_that_cannot_be_read_is_said_and_costs_the_lines_alone(module, spoil, expected):
    one = frame(module, "fail", trap(module))
    spoil(module)
    said: list[str] = []
    assert resolved(module, one, say=said.append) == (one,)
    assert [line for line in said if line.startswith("source lines of boom") and expected in line]


def test_what_is_in_the_way_of_lines_is_said_once_of_each_kernel(module):
    said: list[str] = []
    catalog = SimpleNamespace(
        say=said.append, vmlinux=lambda *_: None, cached_headers=lambda _: None
    )
    named = Frames(Project(module.parent, Settings()), SimpleNamespace(catalog=catalog))
    one = crash(Frame("fail", 1, 9, "boom"))
    for at, kernel in enumerate(("one", "one", "two")):
        found = {"boom": module.parent / f"run-{at}"}
        named.named(one, SimpleNamespace(id=kernel, added=None), found)
    assert [text.count("source lines of boom") for text in said] == [1, 1]


def test_without_binutils_the_frames_stay_and_that_is_said(module, monkeypatch):
    one = frame(module, "fail", trap(module))
    monkeypatch.setenv("PATH", "/nowhere")
    said: list[str] = []
    assert resolved(module, one, say=said.append) == (one,)
    assert "addr2line" in said[0]
    assert "install binutils" in said[0]


def test_many_frames_of_a_module_take_less_than_a_second(module):
    frames = [frame(module, "fail", offset) for offset in range(trap(module))] * 20
    began = time.monotonic()
    resolved(module, *frames)
    assert time.monotonic() - began < 1


# Names that a compiler wrote down, and where these sources are; `here` is the test's own directory.
NAMES = (
    ("a/b.c", "kmod/a/b.c"),  # a module's, since 6.13
    ("./a/b.c", "kmod/a/b.c"),
    ("/usr/src/linux-headers-6.1.0-50-amd64/a/b.c", "kmod/a/b.c"),
    ("{here}/kmod/a/b.c", "kmod/a/b.c"),  # one that nothing was mapped in
    ("/my/linux/a/b.c", "kmod/a/b.c"),
    ("{here}/headers/b.c", "kmod/b.c"),  # the compiler ran in an added kernel's tree
    ("/usr/src/linux-headers-6.1.0-50-common/include/linux/list.h",
     "usr/src/linux-headers-6.1.0-50-common/include/linux/list.h"),
)  # fmt: skip
AWAY = (
    ("debian/build/build_amd64_none_amd64/fs/open.c", "fs/open.c"),
    ("/build/reproducible-path/linux-6.1.176/arch/x86/entry/entry_64.S",
     "arch/x86/entry/entry_64.S"),
    ("/build/linux-abc/linux-5.10.223/debian/build/build_i386_none_686/fs/open.c", "fs/open.c"),
    ("/home/me/linux/fs/open.c", "/home/me/linux/fs/open.c"),
    ("../secret", "../secret"),
    ("{here}/secret", "{here}/secret"),
    ("a/../../secret", "../secret"),
    ("link", "link"),
    ("/my/linux/b.c", "/my/linux/b.c"),
    ("/my/linux/a/b.h", "/my/linux/a/b.h"),
    ("a\0b", "a\0b"),
)  # fmt: skip


@pytest.mark.parametrize(("named", "expected"), [*NAMES, *AWAY])
def test_a_source_is_found_by_its_name_and_never_outside_the_roots(tmp_path, named, expected):
    headers = tmp_path / "headers" / "usr/src/linux-headers-6.1.0-50-common/include/linux"
    headers.mkdir(parents=True)
    (headers / "list.h").write_text("list\n")
    (tmp_path / "kmod" / "a").mkdir(parents=True)
    (tmp_path / "kmod" / "a" / "b.c").write_text("one\ntwo\n")
    (tmp_path / "kmod" / "a" / "b.h").write_text("one\n")
    (tmp_path / "kmod" / "b.c").write_text("one\n")
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "kmod" / "link").symlink_to("../secret")
    roots = [Root(tmp_path / "kmod", "kmod"), Root(tmp_path / "headers")]
    found = sources.find(named.format(here=tmp_path), roots)
    assert found.name == expected.format(here=tmp_path)
    assert (found.path is not None) == ((named, expected) in NAMES)


def test_the_lines_around_end_where_the_file_does(tmp_path):
    file = tmp_path / "a.c"
    file.write_text("one\ntwo\nthree\n")
    assert sources.around(file, 1) == ((1, "one"), (2, "two"), (3, "three"))
    assert sources.around(file, 3) == ((1, "one"), (2, "two"), (3, "three"))
    assert sources.around(file, 4) == sources.around(file, 0) == sources.around(None, 1) == ()


def test_answers_of_addr2line_are_read():
    said = (
        "0x0000000000000010\ninner\n/a/b c:d.c:7 (discriminator 2)\nouter\n/a/b.c:12\n"
        "0x20\n??\n??:0\n0x30\nf\n/a/b.c:?\n0x40\nf\n??:?\n"
    )
    assert lines.parsed(said) == [
        (lines.Line("inner", "/a/b c:d.c", 7), lines.Line("outer", "/a/b.c", 12)), (), (), (),
    ]  # fmt: skip


def test_an_answer_that_is_missing_is_no_line_of_another_place(module, tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "addr2line").write_text("#!/bin/sh\nprintf '0x1\\nf\\na.c:1\\n'\n")
    (folder / "addr2line").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    with pytest.raises(LabError, match="1 answers came to 2 places"):
        lines.lines(module, ".text", [1, 2])
