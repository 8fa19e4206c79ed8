import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import stand_in
from test_tokens import INPUTS, made
from typer.testing import CliRunner

from vmlab import lab, replay
from vmlab.arch import ARCHES
from vmlab.archive import export, opened
from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog, Kernel
from vmlab.cli import app
from vmlab.cli.replay import _tell, _tell_difference
from vmlab.errors import LabError, UsageError
from vmlab.guest.qemu import RunDirectory
from vmlab.inputs import output_key
from vmlab.project import Project, Settings, find
from vmlab.runner import Run, Runner
from vmlab.tokens import Token
from vmlab.verdict import Judgement, Verdict

KERNEL = "6.1.0-50-686"
SCENARIO = """\
name: noise
about: prints what depends on the seed, then fails
parameters:
  word: [one, two]
steps:
  - run: head -c 16 /dev/urandom | hexdump -C > /dev/kmsg
  - spawn: 'tick {word}'
    as: t
  - console: 'no such thing'
"""
TICK = """\
#include <stdio.h>
int main(void) { printf("word=x\\nready\\n"); fflush(stdout); for (;;) ; }
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "project"
    (root / "scenarios" / "workloads").mkdir(parents=True)
    (root / "vmlab.yaml").write_text("")
    (root / "scenarios" / "noise.yaml").write_text(SCENARIO)
    (root / "scenarios" / "workloads" / "tick.c").write_text(TICK)
    monkeypatch.chdir(root)
    return root


def vmlab(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words)
    said = done.output + (str(done.exception) if done.exception else "")
    status = getattr(done.exception, "exit_status", done.exit_code)
    return status, said


def tokens(root: Path) -> list[str]:
    status, said = vmlab("run", "noise", "--kernel", KERNEL, "--json", "out.json", "-j", "1")
    assert status == 1, said
    runs = json.loads((root / "out.json").read_text())["runs"]
    assert {run["verdict"] for run in runs} == {"failed"}
    return [run["token"] for run in runs]


@pytest.mark.guest
def test_a_token_is_run_again_here_and_elsewhere(project, tmp_path, monkeypatch):
    first, second = tokens(project)
    assert second.startswith(f"vm1:noise/1:{KERNEL}:")
    status, said = vmlab("replay", second, "--export", "run.tgz")
    assert (status, "the same to the byte" in said) == (0, True), said
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move("run.tgz", elsewhere)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(Catalog, "obtain", None)  # no catalog, no compiler is asked there
    monkeypatch.setattr(Artifacts, "image", None)
    status, said = vmlab("replay", "run.tgz")
    assert (status, "the same to the byte" in said) == (0, True), said
    assert "reason: the kernel printed no match" in said
    monkeypatch.undo()
    monkeypatch.chdir(project)

    workload = project / "scenarios" / "workloads" / "tick.c"
    workload.write_text(TICK.replace("word=x", "word=y"))
    status, said = vmlab("replay", first)
    assert status == 1
    assert "the sources of its modules and workloads" in said
    assert "kernel's bootable file" not in said
    status, said = vmlab("replay", first, "--anyway")
    assert (status, "not the same" in said) == (1, True), said
    assert "first difference: results line " in said
    assert "  then: # | word=x\n  now:  # | word=y\n" in said


def test_a_token_of_another_project_or_kernel_is_told(project):
    status, said = vmlab("replay", str(made(scenario="nothing-here", kernel=KERNEL)))
    assert (status, "is the token of another project?" in said) == (2, True), said
    status, said = vmlab("replay", str(made(scenario="noise", kernel="4.9.0-1-686")))
    assert (status, "kernel is not in the catalog here" in said) == (2, True), said


def test_a_token_of_a_file_elsewhere_is_run_again(project, tmp_path):
    """Where a run of it is kept, and where it is named."""
    elsewhere = tmp_path / "elsewhere" / "outside.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(SCENARIO.replace("name: noise", "name: outside"))
    cache = Cache(project / "cache")
    artifacts = Artifacts(cache, Catalog.open(cache))

    def found(one: Token, file: Path | None = None) -> Path:
        return replay._expanded(one, find(project), artifacts, file).path

    one = made(scenario="outside", kernel=KERNEL)
    kept = project / "vmlab-out" / "1" / f"outside-{KERNEL}" / "verdict.json"
    kept.parent.mkdir(parents=True)
    for text in ("{", "{}", json.dumps({"token": "another", "file": str(elsewhere)})):
        kept.write_text(text)
        with pytest.raises(UsageError, match="--scenario FILE"):
            found(one)
    assert found(one, elsewhere) == elsewhere
    kept.write_text(json.dumps({"token": str(one), "file": str(elsewhere)}))
    assert found(one) == elsewhere
    with pytest.raises(UsageError, match="is scenario outside, and the token is of noise"):
        found(made(scenario="noise", kernel=KERNEL), elsewhere)
    with pytest.raises(UsageError, match="there is no scenario file nowhere"):
        found(one, Path("nowhere"))
    status, said = vmlab("replay", "archive.tgz")
    assert (status, "is no token, and there is no such file" in said) == (2, True), said
    assert "is a directory; the token" in vmlab("replay", ".")[1]
    status, said = vmlab("replay", str(elsewhere), "--scenario", str(elsewhere))
    assert (status, "is an archive, which holds its own" in said) == (2, True), said


def test_a_run_that_is_kept_says_where_its_modules_and_its_kernel_are(
    project, tmp_path, monkeypatch
):
    """A bisection's modules of another commit, and the kernel that it built."""
    cache = Cache(project / "cache")
    artifacts, one = Artifacts(cache, Catalog.open(cache)), made(scenario="noise", kernel="built")
    built = Kernel("built", ARCHES["i386"], False, (), ())
    monkeypatch.setattr(replay.added, "read", {Path("/built"): built}.__getitem__)
    asked = []

    def runner_of(token: Token, project: Project, artifacts: Artifacts):
        def prepare(expanded, kernel, directory):
            asked.append((project.modules, kernel))

        return SimpleNamespace(prepare=prepare, directory=lambda expanded, kernel: None)

    monkeypatch.setattr(replay, "runner_of", runner_of)
    monkeypatch.setattr(replay, "load", lambda project, *_: [SimpleNamespace(
        number=one.combination, scenario=SimpleNamespace(name="noise"))])  # fmt: skip
    kept = project / "vmlab-out" / "1" / "noise-built" / "verdict.json"
    kept.parent.mkdir(parents=True)
    with pytest.raises(UsageError, match="kernel is not in the catalog here"):
        replay.prepare(one, find(project), artifacts)
    for there in (tmp_path / "then", tmp_path / "gone"):
        where = {"modules": str(there), "kernel": "/built"}
        kept.write_text(json.dumps({"token": str(one), "file": "x", "environment": where}))
        (tmp_path / "then").mkdir(exist_ok=True)
        replay.prepare(one, find(project), artifacts)
    assert asked == [(tmp_path / "then", built), (project / "kmod", built)]


@pytest.mark.parametrize(
    ("differing", "why_not", "hint"),
    [((), "", True), (("sources",), "", True), (("program",), "", False), ((), "booted", False)],
)
def test_bytes_that_are_others_are_shown_beside_those_of_before(
    tmp_path, capsys, differing, why_not, hint
):
    folders = [tmp_path / name for name in ("other", "before", "now")]
    for folder, content in zip(folders, (b"c", b"a\n[ 2.5] b", b"a\n[ 2.5] x"), strict=True):
        folder.mkdir()
        (folder / "console").write_bytes(content)
    *earlier, now = folders
    one = made(output=output_key(RunDirectory(earlier[1])))
    done = replay.Replayed(one, SimpleNamespace(dir=str(now)), False, why_not, differing)
    _tell_difference(done, earlier)
    said = capsys.readouterr().out
    shown = "first difference: console line 2, 2.500000 s of guest time:\n  then: [ 2.5] b\n"
    assert f"{shown}  now:  [ 2.5] x\n" in said
    command = f"vmlab verify-determinism zombie-detect --kernel {one.kernel}"
    assert (command in said) is hint
    _tell_difference(done, earlier[:1])
    assert "first difference" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("then", "now", "same", "why_not", "status"),
    [
        ("failed", "failed", True, "", 0),
        ("failed", "failed", False, "", 1),
        ("failed", "failed", False, "two guests", 0),
        ("failed", "passed", False, "two guests", 1),
        ("failed", "passed", True, "", 1),  # judged by another vmlab
        ("passed", "broken", True, "", 3),
        ("passed", "broken", False, "two guests", 3),
        ("broken", "broken", True, "", 0),
    ],
)
def test_the_status_says_whether_the_same_was_seen(then, now, same, why_not, status, capsys):
    judgement = Judgement(Verdict(now), "why")
    run = Run("noise", KERNEL, "i386", "qemu", judgement, 1.0, 1.0, "/nowhere")
    done = replay.Replayed(made(verdict=Verdict(then)), run, same, why_not)
    assert done.exit_status == status
    _tell(done)
    said = capsys.readouterr().out
    assert ("the same to the byte" in said) is same
    assert (f"the verdict was {then}, and is {now}" in said) is (not same or then != now)


def test_a_combination_that_is_gone_is_told(project, monkeypatch):
    monkeypatch.setattr(Catalog, "obtain", lambda self, kernel: kernel)
    cache = Cache(project / "cache")
    artifacts = Artifacts(cache, Catalog.open(cache))
    with pytest.raises(UsageError, match=r"has 2 combinations .* number 5"):
        replay.prepare(
            made(scenario="noise", kernel=KERNEL, combination=5), find(project), artifacts
        )


PLAIN = "name: plain\nabout: does hardly anything\nsteps:\n  - run: 'true'\n"


@pytest.fixture
def archived(tmp_path, fake_qemu) -> Path:
    """The archive of a stand-in's run, whose scenario was edited after it was read."""
    scenario = tmp_path / "scenarios" / "plain.yaml"
    scenario.parent.mkdir()
    scenario.write_text(PLAIN)
    artifacts, project = stand_in.artifacts(tmp_path), Project(tmp_path, Settings())
    runner = Runner(project, artifacts, QemuBackend(None))
    (expanded,) = lab.load(project, artifacts.catalog, [], [])
    (kernel,) = artifacts.catalog.select(KERNEL)
    prepared = runner.prepare(expanded, kernel, tmp_path / "run")
    run = runner.execute(prepared)
    scenario.write_text("edited meanwhile")
    export(prepared, run, "7.2", tmp_path / "run.tgz")
    return tmp_path / "run.tgz"


def test_an_archive_holds_the_yaml_as_it_was_run(tmp_path, archived):
    found = opened(archived, Cache(tmp_path / "other"))
    assert (found.directory / "plain.yaml").read_text() == PLAIN
    assert found.token.scenario == "plain"


def test_an_archive_that_cannot_be_written_leaves_what_was_there(tmp_path, archived, monkeypatch):
    kept = archived.read_bytes()

    def full(tar, *_) -> None:
        tar.fileobj.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    found = opened(archived, Cache(tmp_path / "other"))
    prepared = found.prepare(tmp_path / "again", stand_in.artifacts(tmp_path).catalog)
    run = SimpleNamespace(token=found.token)
    (tmp_path / "again" / "console").write_bytes(b"")
    (tmp_path / "again" / "results").write_bytes(b"")
    with pytest.raises(LabError, match=r"writing .*run\.tgz: no space left"):
        export(prepared, run, "7.2", archived)
    with pytest.raises(LabError, match="is a directory"):
        export(prepared, run, "7.2", Path("."))
    assert archived.read_bytes() == kept
    assert [path.name for path in tmp_path.glob("*run.tgz*")] == ["run.tgz"]


def test_what_cannot_be_exported_is_told_before_it_is_run(tmp_path, monkeypatch):
    ran = []
    prepared = SimpleNamespace(
        peer=None, inputs=INPUTS, job=SimpleNamespace(runs_in=SimpleNamespace(program="none")),
        expanded=SimpleNamespace(name="two"),
    )  # fmt: skip
    found = (made(), None, prepared, None)
    monkeypatch.setattr("vmlab.cli.replay._prepared", lambda what, file: found)
    monkeypatch.setattr(replay, "again", lambda *_: ran.append(1))
    assert "there is no directory nowhere" in vmlab("replay", "x", "--export", "nowhere/a.tgz")[1]
    prepared.peer = "the other guest"
    status, said = vmlab("replay", "x", "--export", str(tmp_path / "a.tgz"))
    assert (status, "two is of two guests" in said) == (3, True), said
    assert ran == []


@pytest.mark.parametrize("wrong", ["combination", "inputs"])
def test_an_archive_whose_parts_do_not_fit_is_told(tmp_path, archived, wrong):
    found = opened(archived, Cache(tmp_path / "other"))
    if wrong == "combination":
        found = replace(found, token=replace(found.token, combination=1))
    else:
        found = replace(found, meta=found.meta.model_copy(update={"inputs": {}}))
    with pytest.raises(UsageError, match="do not fit together"):
        found.prepare(tmp_path / "again", stand_in.artifacts(tmp_path).catalog)


@pytest.mark.parametrize("at", [-8, 200], ids=["checksum", "middle"])
def test_an_archive_with_another_byte_in_it_is_told(tmp_path, archived, at):
    content = bytearray(archived.read_bytes())
    content[at] ^= 0xFF
    archived.write_bytes(content)
    with pytest.raises(UsageError, match="is no archive of a run, or is cut short"):
        opened(archived, Cache(tmp_path / "other"))


@pytest.mark.parametrize("spoil", ["cut", "text", "member", "link"])
def test_a_file_that_is_no_archive_is_told(tmp_path, spoil):
    file = tmp_path / "run.tgz"
    (tmp_path / "meta.json").write_text("{}" if spoil != "link" else "")
    with tarfile.open(file, "w:gz") as tar:
        if spoil == "link":
            (tmp_path / "meta.json").unlink()
            (tmp_path / "meta.json").symlink_to("/etc/passwd")
        tar.add(tmp_path / "meta.json", "meta.json" if spoil != "member" else "other")
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:40])
    if spoil == "text":
        file.write_text("hello")
    with pytest.raises(UsageError, match="is no archive of a run, or is cut short"):
        opened(file, Cache(tmp_path / "cache"))
    assert not list((tmp_path / "cache").glob("imported/[!.]*"))
