"""Which lines of a module ran: counts as a guest prints them, and gcov's own of a real program."""

import base64
import gzip
import json
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest
from test_subtests import expanded
from typer.testing import CliRunner

from vmlab.cli import app
from vmlab.coverage import File, collect, merged, of_gcov, taken, tracefile, with_step
from vmlab.errors import LabError, UsageError
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict

PROGRAM = """\
static int quack(int loud)
{
	if (loud)
		return 2;
	return 1;
}
int main(void) { return quack(1) - 2; }
"""
needs_gcov = pytest.mark.skipif(shutil.which("gcov") is None, reason="gcov comes with gcc")
needs_lcov = pytest.mark.skipif(
    shutil.which("genhtml") is None, reason="genhtml makes the pages: install lcov"
)


def printed(files: dict[str, bytes]) -> str:
    """As the guest's shell prints files of counts."""
    parts = []
    for name, content in files.items():
        text = base64.b64encode(gzip.compress(content)).decode()
        lines = [text[at : at + 76] for at in range(0, len(text), 76)]
        parts.append("\n".join([f"file ./{name}", *lines]))
    return "\n".join(parts)


def test_counts_are_taken_out_of_a_step_s_output():
    files = {"root/tmp/duck/duck.gcda": b"\1" * 500, "root/tmp/pond.gcda": b"\2"}
    assert taken(printed(files)) == {PurePosixPath(name): data for name, data in files.items()}


def test_an_output_that_was_cut_is_told():
    text = printed({"duck.gcda": bytes(range(256)) * 9})
    with pytest.raises(LabError, match=r"counts of ./duck\.gcda: .*name fewer"):
        taken(text[: len(text) // 2 // 4 * 4])


def test_the_last_step_prints_them_on_kernels_that_count(tmp_path):
    made = with_step(expanded(tmp_path, "  - run: true\n"))
    assert [one.label for one in made.steps] == ["run: true", "run: # coverage"]
    assert made.scenario.config == ["CONFIG_GCOV_KERNEL"]
    crash = expanded(tmp_path, "  - run: true\n  - expect_crash: {kind: panic}\n")
    assert with_step(crash) == crash


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> Path:
    """A program built to count, and run once."""
    folder = tmp_path_factory.mktemp("counted")
    (folder / "duck.c").write_text(PROGRAM)
    subprocess.run(["gcc", "--coverage", "-c", "duck.c"], cwd=folder, check=True)
    subprocess.run(["gcc", "--coverage", "duck.o", "-o", "duck"], cwd=folder, check=True)
    subprocess.run(["./duck"], cwd=folder, check=True)
    return folder


@needs_gcov
def test_gcov_reads_counts_with_the_notes_of_their_build(counted, tmp_path):
    """The directory of the build has another name afterwards."""
    notes = [counted / "duck.gcno", tmp_path / "goose.gcno"]
    note = collect._note_of(PurePosixPath("root/before/duck.gcda"), notes)
    assert note == counted / "duck.gcno"
    found = collect._of_file("gcov", (counted / "duck.gcda").read_bytes(), note)
    (duck,) = found.values()
    assert {3: 1, 4: 1, 5: 0}.items() <= duck.lines.items()
    assert duck.functions["quack"] == (1, 1)
    assert collect._note_of(PurePosixPath("root/none.gcda"), notes) is None


def test_lines_of_the_kernel_s_headers_are_left_out(tmp_path):
    """genhtml cannot show them, and they are not the module's."""
    folder = tmp_path / "kmod"
    for name in ("kmod/duck/duck.c", "kmod/include/pond.h", "linux/err.h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert collect._source(folder, "duck/duck.c") == str(folder / "duck/duck.c")
    assert collect._source(folder, "duck/../include/pond.h") == str(folder / "include/pond.h")
    for name in ("include/linux/err.h", "../linux/err.h", str(tmp_path / "linux/err.h")):
        assert collect._source(folder, name) is None


def test_runs_are_added_up():
    one, other = File({1: 2, 2: 0}, {"quack": (1, 2)}), File({2: 1, 3: 0}, {"quack": (1, 1)})
    found = merged([{"duck.c": one}, {"duck.c": other, "a.c": File()}])
    assert found == {"a.c": File(), "duck.c": File({1: 2, 2: 1, 3: 0}, {"quack": (1, 3)})}
    assert str(found["duck.c"]) == "2 of 3 lines (67 %)"
    assert tracefile({"duck.c": found["duck.c"]}).splitlines() == [
        "TN:", "SF:duck.c", "FN:1,quack", "FNDA:3,quack", "FNF:1", "FNH:1", "DA:1,2", "DA:2,1",
        "DA:3,0", "LF:3", "LH:2", "end_of_record",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["rubbish", json.dumps({"files": [{"file": "a"}]})])
def test_what_gcov_does_not_say_is_an_error(text):
    with pytest.raises(LabError, match="reading what gcov says"):
        of_gcov(text)


def test_counts_of_a_cluster_are_refused(tmp_path, monkeypatch):
    (tmp_path / "vmlab.yaml").touch()
    monkeypatch.chdir(tmp_path)
    got = CliRunner().invoke(app, ["run", "--coverage", "out", "--cluster", "tcp://127.0.0.1:1"])
    assert isinstance(got.exception, UsageError)
    assert "--coverage and --cluster do not go together" in str(got.exception)


@needs_lcov
@pytest.mark.parametrize(
    ("kernels", "source"),
    [(["5.10.0-32-686", "6.1.0-50-686"], "debian-source:5.10"), (["mine"], "debian-source:6.1")],
)
def test_without_a_kernel_that_counts_what_makes_one_is_said(kernels, source):
    def run(kernel: str, *judged: str) -> Run:
        return Run(
            "load", kernel, "i386", "qemu", Judgement(Verdict(judged[0]), judged[1]), 1, 1, ""
        )

    lacks = ("skipped", "it has no CONFIG_GCOV_KERNEL")
    said = collect.uncounted([run(one, *lacks) for one in kernels], "out")
    assert said.startswith(f"out was not written: {', '.join(kernels)} ha")
    assert f"`vmlab kernels build {source} --fragment gcov --name counts`" in said
    died = [run("6.1.0-50-686", "crashed", "oops")]
    assert "no run came to its last step" in collect.uncounted(died, "out")


def test_pages_are_made(tmp_path):
    source = tmp_path / "duck.c"
    source.write_text(PROGRAM)
    page = collect.pages({str(source): File({3: 1, 4: 1, 5: 0})}, tmp_path / "out")
    assert "duck.c" in "".join(one.read_text() for one in page.parent.rglob("*.html"))
    assert (tmp_path / "out" / "coverage.info").is_file()


def test_a_tool_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="genhtml was not found; install Debian's lcov"):
        collect.pages({}, tmp_path / "out")


@pytest.mark.parametrize(
    ("compiler", "tool"),
    [("", "gcov"), ("gcc-10 -m32", "gcov-10"), ("i686-linux-gnu-gcc-8", "i686-linux-gnu-gcov-8")],
)
def test_gcov_is_of_the_compiler_s_version(compiler, tool):
    assert collect._tool(compiler) == tool
