"""Header packages made of use where they stand, with this host's gcc and C library."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vmlab.catalog import headers
from vmlab.catalog.foreign import LIBRARIES, LOADER, wrap_programs

ID = "linux-headers-7.2.12+deb14-amd64"
COMMON = "linux-headers-7.2.12+deb14-common"


def tree(root: Path, makefile: str) -> Path:
    """Two header packages: one includes the other, which says what it found."""
    folder = root / "usr/src" / ID
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text(makefile)
    common = root / "usr/src" / COMMON
    common.mkdir()
    (common / "Makefile").write_text("all:\n\t@echo output=$(KBUILD_OUTPUT)\n")
    return folder


def made(folder: Path) -> str:
    command = ["make", "--no-print-directory", "-C", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("line", ["KBUILD_OUTPUT={}\n", "KBUILD_OUTPUT := {}/\n"])
def test_headers_work_wherever_they_stand(tmp_path, line):
    text = line.format(f"/usr/src/{ID}") + f"include /usr/src/{COMMON}/Makefile\n"
    folder = tree(tmp_path / "here", text)
    headers.mend(tmp_path / "here")
    assert made(folder) == f"output={folder}\n"
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there/usr/src" / ID
    assert made(moved) == f"output={moved}\n"


def test_headers_of_before_6_13_get_no_output_directory(tmp_path):
    folder = tree(tmp_path, f"include /usr/src/{COMMON}/Makefile\n")
    headers.mend(tmp_path)
    assert made(folder) == "output=\n"


AUTOCONF = """\
#define CONFIG_CC_HAS_ASSUME 1
#define CONFIG_CC_HAS_COUNTED_BY 1
#define CONFIG_CC_HAS_COUNTED_BY_PTR 1
#define CONFIG_CC_HAS_INT128 1
#define CONFIG_CC_HAS_MULTIDIMENSIONAL_NONSTRING 1
#define CONFIG_GCC_VERSION 160200
"""


@pytest.mark.parametrize(
    ("gcc", "left_out"),
    [
        (12, {"ASSUME", "COUNTED_BY", "COUNTED_BY_PTR", "MULTIDIMENSIONAL_NONSTRING"}),
        (13, {"COUNTED_BY", "COUNTED_BY_PTR", "MULTIDIMENSIONAL_NONSTRING"}),
        (15, {"COUNTED_BY_PTR"}),
        (16, set()),
    ],
)
@pytest.mark.parametrize("place", [f"usr/src/{ID}", "usr/src/kernels/6.11.4-301.fc41.x86_64"])
def test_headers_ask_the_compiler_for_what_it_can(tmp_path, gcc, left_out, place):
    tree(tmp_path, "")
    config = tmp_path / place / "include/generated/autoconf.h"
    config.parent.mkdir(parents=True)
    config.write_text(AUTOCONF)
    headers.mend(tmp_path)
    command = ["gcc", "-E", "-dM", "-U__GNUC__", f"-D__GNUC__={gcc}", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept = {line for line in done.stdout.splitlines() if line.startswith("#define CONFIG_")}
    gone = {f"#define CONFIG_CC_HAS_{name} 1" for name in left_out}
    assert kept == set(AUTOCONF.splitlines()) - gone


PROGRAM = "usr/lib/linux-kbuild-7.2.12+deb14/scripts/mod/show me"


@pytest.fixture
def programs(tmp_path) -> Path:
    """kbuild's programs with a loader and a C library beside them: a copy of this host's own."""
    root = tmp_path / "headers"
    (root / PROGRAM).parent.mkdir(parents=True)
    (root / LIBRARIES).mkdir(parents=True)
    for library in (LOADER.name, "libc.so.6"):
        shutil.copy(Path("/lib/x86_64-linux-gnu") / library, root / LIBRARIES / library)
    shutil.copy("/bin/cat", root / PROGRAM)
    return root


def test_a_program_runs_with_the_library_beside_it_wherever_the_tree_stands(programs, tmp_path):
    wrap_programs(programs)
    moved = programs.rename(tmp_path / "else where")
    shown = subprocess.run(
        [moved / PROGRAM, "/proc/self/maps"], capture_output=True, text=True, check=True
    ).stdout
    used = {line.split(maxsplit=5)[5] for line in shown.splitlines() if ".so" in line}
    assert used == {str(moved / LOADER), str(moved / LIBRARIES / "libc.so.6")}


def test_a_wrapped_program_keeps_its_name_words_and_status(programs, tmp_path):
    wrap_programs(programs)
    said = subprocess.run(
        [programs / PROGRAM, "no such", "*"], capture_output=True, text=True, check=False,
        env={"LC_ALL": "C"}, cwd=tmp_path,
    )  # fmt: skip
    assert said.returncode == 1
    wanted = [f"{programs / PROGRAM}: {word}: " for word in ("'no such'", "'*'")]
    assert said.stderr == "".join(f"{begin}No such file or directory\n" for begin in wanted)


def test_only_programs_are_wrapped(programs):
    script = (programs / PROGRAM).with_name("script.sh")
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    data = (programs / PROGRAM).with_name("data")
    data.write_bytes(b"\x7fELF")
    data.chmod(0o644)
    link = (programs / PROGRAM).with_name("link")
    link.symlink_to("show me")
    wrap_programs(programs)
    assert script.read_text() == "#!/bin/sh\n"
    assert data.read_bytes() == b"\x7fELF"
    assert link.is_symlink()
    assert subprocess.run([link, script], capture_output=True, check=True).stdout == b"#!/bin/sh\n"


def test_programs_among_the_headers_are_wrapped_and_each_once(programs):
    """As Ubuntu has them; Debian's headers have a link there."""
    own = programs / "usr/src/linux-headers-6.8.0-31-generic/scripts/fixdep"
    own.parent.mkdir(parents=True)
    shutil.copy("/bin/cat", own)
    debian = programs / "usr/src/linux-headers-7.2.12+deb14-amd64"
    debian.mkdir()
    (debian / "scripts").symlink_to("../../lib/linux-kbuild-7.2.12+deb14/scripts")
    wrap_programs(programs)
    for program in (own, programs / PROGRAM, debian / "scripts/mod/show me"):
        done = subprocess.run([program], input=b"said", capture_output=True, check=True)
        assert (done.stdout, program.read_bytes()[:2]) == (b"said", b"#!")
    assert len(list(programs.rglob("*.elf"))) == 2


@pytest.mark.parametrize("libraries", ["usr/lib64", "lib64"])
def test_programs_of_an_rpm_are_wrapped(programs, libraries):
    place = programs / libraries
    place.parent.mkdir(exist_ok=True)
    (programs / LIBRARIES).rename(place)
    own = programs / "usr/src/kernels/6.11.4-301.fc41.x86_64/scripts/fixdep"
    own.parent.mkdir(parents=True)
    shutil.copy("/bin/cat", own)
    wrap_programs(programs)
    shown = subprocess.run([own, "/proc/self/maps"], capture_output=True, text=True, check=True)
    used = {line.split(maxsplit=5)[5] for line in shown.stdout.splitlines() if ".so" in line}
    assert used == {str(place / LOADER.name), str(place / "libc.so.6")}


def test_without_a_library_of_their_own_programs_stay_as_they_are(programs):
    (programs / LOADER).unlink()
    before = (programs / PROGRAM).read_bytes()
    wrap_programs(programs)
    assert (programs / PROGRAM).read_bytes() == before
