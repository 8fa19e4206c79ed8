"""What a `modprobe` step sends into the guest, and what the guest makes of it."""

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest
import stand_in

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import LabError
from vmlab.executor import execute
from vmlab.guest import modprobe
from vmlab.project import Project, Settings
from vmlab.runner import Run
from vmlab.snapshots import Snapshots
from vmlab.verdict import Verdict


def module(*depends: str) -> bytes:
    return b"ELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=x\0"


PLAIN = {
    "kernel/lib/base.ko": module(),
    "kernel/lib/left-side.ko": module("base"),
    "kernel/lib/right.ko": module("base", "gone"),
    "kernel/fs/top.ko": module("left_side", "right"),
}
BUILT_IN = "kernel/lib/in-kernel.ko\n"


@pytest.fixture
def kernel(tmp_path) -> Path:
    return tree(tmp_path / "6.1.0-50-686", PLAIN)


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "modules.builtin").write_text(BUILT_IN)
    return folder


def listed(found: dict[str, bytes]) -> list[str]:
    return found[modprobe.DEPENDS].decode().splitlines()


def test_a_module_comes_after_what_it_depends_on_each_once(kernel):
    found = modprobe.files(["top", "base"], lambda: kernel, {})
    assert listed(found) == ["top: base left_side gone right top", "base: base"]
    assert set(found) == {"depends", "base.ko", "left_side.ko", "right.ko", "top.ko"}
    assert found["top.ko"] == PLAIN["kernel/fs/top.ko"]


def test_what_a_module_wants_before_and_after_it_is_loaded_there_if_it_can_be(tmp_path):
    """The kernel's libcrc32c asks for crc32c, which several modules are."""
    wants = b"ELF\0softdep=pre: crc32c none-such post: left-side gone\0depends=base\0"
    generic, fast = (b"ELF\0alias=crypto-crc32c\0depends=" + one + b"\0" for one in (b"base", b""))
    more = {
        "kernel/lib/sum.ko": wants, "kernel/crypto/crc32c_generic.ko": generic,
        "kernel/arch/x86/crypto/crc32c-asm.ko": fast,
    }  # fmt: skip
    kernel = tree(tmp_path / "6.1.0-50-686", {**PLAIN, **more})
    found = modprobe.files(["sum"], lambda: kernel, {})
    assert listed(found) == ["sum: base ?crc32c_generic sum ?left_side"]
    assert {"crc32c_generic.ko", "left_side.ko"} <= set(found)


def test_what_is_wanted_and_needed_too_is_needed(tmp_path):
    """In whichever order the two are said, and what it depends on as well."""
    kernel = tree(tmp_path / "6.1.0-50-686", {
        **PLAIN, "kernel/lib/a.ko": b"\0softdep=pre: left_side\0depends=left_side\0",
        "kernel/lib/b.ko": b"\0softdep=pre: right post: top\0depends=base\0",
        "kernel/lib/c.ko": b"\0softdep=pre: d post: d\0depends=\0",
        "kernel/lib/d.ko": b"\0softdep=pre: c\0depends=\0",
    })  # fmt: skip
    found = listed(modprobe.files(["a", "b", "c"], lambda: kernel, {}))
    assert found[:2] == ["a: base left_side a", "b: base ?gone ?right b ?left_side ?top"]
    assert found[2] == "c: ?d c"


def test_algorithms_that_a_module_of_the_project_asks_for_are_there_before_it(tmp_path):
    """gost-test asks for ecb(magma) and md5 by name, for which the kernel would call modprobe."""
    algorithms = {
        f"kernel/crypto/{name}.ko": b"\0alias=" + name.encode() + b"\0alias=crypto-"
        + name.encode() + b"\0depends=\0" for name in ("ecb", "md5", "cbc")
    }  # fmt: skip
    kernel = tree(tmp_path / "6.1.0-50-686", {**PLAIN, **algorithms})
    strings = b"ecb(magma)\0no cbc here\0md5\0"
    asks = elf(tmp_path, strings, b"\0cbc\0crypto_alloc_shash\0depends=base\0")
    found = modprobe.files(["m"], lambda: kernel, {"m.ko": asks})
    assert listed(found) == ["m: ?ecb ?md5 base m"]
    deaf = modprobe.files(["m"], lambda: kernel, {"m.ko": asks.replace(b"alloc", b"x")})
    assert listed(deaf) == ["m: base m"]


def elf(folder: Path, data: bytes, rest: bytes) -> bytes:
    """An object file with such data, and something behind it that is none."""
    text = ".section .rodata\n" + "".join(f".byte {byte}\n" for byte in data)
    made = folder / "made.o"
    subprocess.run(["as", "-o", made], input=text.encode(), check=True)
    return made.read_bytes() + rest


STRINGS = b"left-side\0no top\0hmac(md5)\0x%s\0beside\0"


@pytest.fixture(scope="module")
def asks(tmp_path_factory) -> bytes:
    symbols = b"\0top\0request_module() failed\0__request_module\0"
    return elf(tmp_path_factory.mktemp("asks"), STRINGS, symbols + b"depends=base\0")


def test_what_a_module_of_the_project_may_ask_the_kernel_for_comes_along(kernel, asks):
    ours = {"m.ko": asks, "beside.ko": module("right")}
    found = modprobe.files(["m"], lambda: kernel, ours)
    asked = found[modprobe.REQUESTS].decode().splitlines()
    assert asked == ["beside: base gone right beside", "left-side: base left_side"]
    assert set(found) == {"depends", "requests", "base.ko", "right.ko", "left_side.ko"}
    deaf = modprobe.files(
        ["m"], lambda: kernel, {"m.ko": asks.replace(b"request_module\0", b"x\0")}
    )
    assert set(deaf) == {"depends", "base.ko"}


def test_a_module_may_ask_on_a_kernel_that_was_added_without_modules(asks):
    def none() -> Path:
        raise LabError("added without its own modules")

    assert modprobe.files([], none, {"m.ko": asks}) == {modprobe.REQUESTS: b""}


def test_what_a_module_may_ask_for_is_among_what_is_taken_of_a_build(tmp_path, asks):
    built = {}
    for name, content in (("m", asks), ("beside", module("base")), ("base", b""), ("top", b"")):
        built[name] = tmp_path / f"{name}.ko"
        built[name].write_bytes(content)
    assert set(modprobe.closure(["m"], built)) == {"m", "beside", "base"}


def test_a_dash_in_a_name_is_an_underscore(kernel):
    found = modprobe.files(["left-side"], lambda: kernel, {})
    assert listed(found) == ["left-side: base left_side"]


def test_for_a_module_that_the_kernel_does_not_have_the_guest_is_asked(kernel):
    found = modprobe.files(["none_such"], lambda: kernel, {})
    assert (listed(found), set(found)) == (["none_such: none_such"], {"depends"})


ALIASES = {
    "kernel/fs/disk/disk.ko": b"\0alias=fs-disk\0depends=base\0",
    "kernel/drivers/char/mouse.ko": b"\0alias=pci:v00001234d*sv*\0alias=char-major-10-1\0depends=",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "loaded"),
    [("fs-disk", "base disk"), ("pci:v00001234d0000beefsv0", "mouse"), ("char-major-10-1", "mouse"),
     ("fs-kern", ""), ("fs-none", "fs_none"), ("disk-fs", "disk_fs"), ("pci:v1", "pci:v1")],
)  # fmt: skip
def test_a_module_is_found_by_the_names_that_a_kernel_asks_for(tmp_path, name, loaded):
    kernel = tree(tmp_path / "6.1.0-50-686", {**PLAIN, **ALIASES})
    (kernel / "modules.builtin.modinfo").write_bytes(b"in_kernel.alias=fs-kern\0in_kernel.file=x\0")
    assert listed(modprobe.files([name], lambda: kernel, {})) == [f"{name}: {loaded}".strip()]


def test_for_a_module_that_is_built_in_there_is_nothing_to_load(kernel):
    assert listed(modprobe.files(["in_kernel"], lambda: kernel, {})) == ["in_kernel:"]


def test_a_module_of_the_project_comes_before_the_kernel_s_and_after_what_it_needs(kernel):
    ours = {"my-mod.ko": module("other", "base"), "other.ko": module(), "right.ko": module()}
    found = modprobe.files(["my_mod", "right"], lambda: kernel, ours)
    assert listed(found) == ["my_mod: other base my-mod", "right: right"]
    assert set(found) == {"depends", "base.ko"}


def test_the_kernel_s_modules_are_not_looked_for_where_none_is_needed():
    assert modprobe.files([], lambda: pytest.fail("asked"), {}) == {}
    assert listed(modprobe.files(["m"], lambda: pytest.fail("asked"), {"m.ko": module()}))


def zstd(content: bytes) -> bytes:
    return subprocess.run(["zstd", "-cq"], input=content, capture_output=True, check=True).stdout


HAS_ZSTD = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("xz", lzma.compress), ("gz", gzip.compress), pytest.param("zst", zstd, marks=HAS_ZSTD)],
)
def test_packed_modules_are_unpacked(tmp_path, suffix, pack):
    packed = {f"kernel/{name}.ko.{suffix}": pack(module(*on)) for name, on in
              (("base", ()), ("top", ("base",)))}  # fmt: skip
    kernel = tree(tmp_path, packed)
    found = modprobe.files(["top"], lambda: kernel, {})
    assert listed(found) == ["top: base top"]
    assert (found["base.ko"], found["top.ko"]) == (module(), module("base"))


@pytest.mark.parametrize(
    ("suffix", "said"),
    [("zst", "zstd was not found; install"), ("xz", "Input format"), ("gz", "gzip"),
     ("lzo", "unknown here")],
)  # fmt: skip
def test_what_cannot_be_unpacked_is_told(tmp_path, monkeypatch, suffix, said):
    monkeypatch.setenv("PATH", str(tmp_path))
    kernel = tree(tmp_path, {f"kernel/m.ko.{suffix}": b"rubbish"})
    with pytest.raises(LabError, match=f"unpacking .*m.ko.{suffix}: .*{said}"):
        modprobe.files(["m"], lambda: kernel, {})


# ext4 depends on jbd2; unix is built into Debian's kernels.
STEPS = """
  - modprobe: ext4
  - run: cut -d' ' -f1 /proc/modules
    output: ^ext4$[\\s\\S]*^jbd2$
  - modprobe: ext4
  - modprobe: dummy numdummies=3
  - run: ls /sys/class/net
    output: ^dummy2$
  - modprobe: unix
  - modprobe: fs-xfs
  - run: cut -d' ' -f1 /proc/modules
    output: ^xfs$
  - modprobe: none-such
    errno: ENOENT
  - kunit: test_user_copy
  - run: |
      printf '1..2\\nok 1 a\\nok 2 b # SKIP no c\\n'
    ktap: true
"""


@pytest.mark.guest
@pytest.mark.parametrize("id", ["5.10.0-32-686", "6.1.0-50-amd64"])
def test_a_guest_probes_modules_of_its_kernel(tmp_path, id):
    cache = Cache.default()
    made = Artifacts(cache, Catalog.open(cache, print))
    backend = QemuBackend(Snapshots(cache, print))
    run = stand_in.run(tmp_path, made, backend, 60, STEPS, id)
    assert run.judgement.verdict is Verdict.PASSED, run.judgement
    tests = {one["name"]: one["state"] for step in run.steps for one in step["tests"]}
    told = "none_such: neither the kernel nor the project has this module"
    assert told in [step["output"] for step in run.steps]
    assert tests == {"test_user_copy": "passed", "a": "passed", "b": "skipped"}


SOFT = """\
#include <linux/errno.h>
#include <linux/module.h>
static int n;
module_param(n, int, 0444);
static int __init soft_init(void) { return RETURNS; }
static void __exit soft_exit(void) { }
module_init(soft_init);
module_exit(soft_exit);
MODULE_SOFTDEP("pre: refuses none-such post: dummy refuses");
MODULE_LICENSE("GPL");
"""
ASKING = """\
#include <linux/errno.h>
#include <linux/kmod.h>
#include <linux/module.h>
static int __init asks_init(void)
{
	int known = request_module("dummy"), unknown = request_module("none-such");
	pr_info("asks: known %d, unknown %d\\n", known, unknown);
	return known || unknown < 0 ? -ENXIO : 0;
}
static void __exit asks_exit(void) { }
module_init(asks_init);
module_exit(asks_exit);
MODULE_LICENSE("GPL");
"""
ASKING_STEPS = """\
name: soft
about: the kernel's request for a module is answered, with a yes or a no
modules: [asks]
steps:
  - insmod: asks
  - console: "asks: known 0, unknown 256"
  - run: ls /sys/class/net
    output: ^dummy0$
"""
REFUSES_STEPS = """\
name: soft
about: a module says why it refuses
modules: [refuses]
steps:
  - insmod: refuses
"""
SOFT_STEPS = """\
name: soft
about: what a module can do without is loaded around it, where it can be
modules: [soft, refuses]
steps:
  - run: ls /sys/class/net
    no_output: dummy0
  - modprobe: soft n=3
  - read: /sys/module/soft/parameters/n
    output: ^3$
  - run: ls /sys/class/net
    output: ^dummy0$
  - modprobe: refuses
    errno: ENODEV
"""


def ran(folder: Path, modules: dict[str, str], steps: str) -> list[Run]:
    """On an old and a new kernel of either architecture."""
    for name, source in modules.items():
        place = folder / "kmod" / name
        place.mkdir(parents=True)
        (place / "Kbuild").write_text(f"obj-m += {name}.o\n")
        (place / f"{name}.c").write_text(source)
    (folder / "scenarios").mkdir()
    (folder / "scenarios/soft.yaml").write_text(steps)
    made = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    options = lab.Options(accel="tcg")
    project = Project(folder, Settings())
    runner, pairs = lab.prepare(project, made, [], [], "5.10.0-32-686,6.1.0-50-amd64", options)
    return list(execute(runner, pairs, 1, lambda pair: None))


def passes(folder: Path, modules: dict[str, str], steps: str) -> None:
    runs = ran(folder, modules, steps)
    assert [run.verdict for run in runs] == [Verdict.PASSED] * 2, [run.judgement for run in runs]


@pytest.mark.guest
def test_a_guest_loads_what_a_module_can_do_without_around_it(tmp_path):
    named = (("soft", "0"), ("refuses", "-ENODEV"))
    passes(tmp_path, {one: SOFT.replace("RETURNS", back) for one, back in named}, SOFT_STEPS)


@pytest.mark.guest
def test_a_module_that_nobody_has_is_named_by_the_verdict_of_the_one_that_needs_it(tmp_path):
    """Debian's dahdi_echocan_oslec depends on `echo`, which Debian's kernels do not have."""
    made = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    backend = QemuBackend(Snapshots(Cache.default(), print))
    run = stand_in.run(tmp_path, made, backend, 60, "\n  - modprobe: gone\n", "5.10.0-32-686")
    reason = "ENOENT (no such file or directory), and success was wanted; gone: neither the kernel"
    assert run.verdict is Verdict.FAILED
    assert run.judgement.reason.startswith(reason)


REFUSES = """\
#include <linux/errno.h>
#include <linux/module.h>
static int __init refuses_init(void)
{
	pr_err("no newline behind this");
	return -EINVAL;
}
module_init(refuses_init);
MODULE_LICENSE("GPL");
"""


@pytest.mark.guest
def test_why_a_module_refuses_is_told_where_its_line_has_no_end(tmp_path):
    """Debian's xt_DNETMAP says so why it does not work, and 5.10 prints no line that may go on."""
    runs = ran(tmp_path, {"refuses": REFUSES}, REFUSES_STEPS)
    assert [run.verdict for run in runs] == [Verdict.FAILED] * 2
    for run in runs:
        assert "no newline behind this" in run.judgement.seen
        assert "vmlab:" not in run.judgement.seen


@pytest.mark.guest
def test_a_guest_loads_what_its_kernel_is_asked_for_by_a_module(tmp_path):
    passes(tmp_path, {"asks": ASKING}, ASKING_STEPS)
