"""What may happen to a snapshot in use: the verdict is right all the same, the cache healthy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vmlab.artifacts import Artifacts
from vmlab.backend import Job, QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.guest import confine, program, qemu
from vmlab.guest.launch import Ended
from vmlab.runner import read_results
from vmlab.snapshots import KIND, Snapshots

pytestmark = pytest.mark.guest


def job(directory: Path) -> Job:
    """A run of one step."""
    cache = Cache.default()
    artifacts = Artifacts(cache, Catalog.open(cache))
    kernel = artifacts.catalog.obtain(artifacts.catalog.select("6.1.0-50-686")[0])
    directory.mkdir(exist_ok=True)
    run = qemu.RunDirectory(directory)
    step = program.step("run", "cat /proc/uptime; head -c 8 /dev/urandom | hexdump")
    run.program.write_bytes(program.archive([step], {}))
    run.mode.write_text(program.mode(60_000, 1))
    image, vmlinuz = artifacts.image(kernel.arch), artifacts.catalog.image(kernel)
    return Job(kernel, qemu.Machine(kernel.arch), image, vmlinuz, run, 60)


@pytest.fixture(scope="module")
def warmed(tmp_path_factory):
    """A cache with one snapshot, and what a run from it gives."""
    folder = tmp_path_factory.mktemp("warmed")
    cache = Cache(folder / "cache")
    one = job(folder / "run")
    assert boot(one, Snapshots(cache, print)) == Ended("off", restored=True)
    return cache.root, one.run.results.read_bytes()


def boot(one: Job, snapshots: Snapshots) -> Ended:
    one.run.clear()
    return QemuBackend(snapshots).boot(one, lambda: False)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "warming a snapshot"),
        (lambda folder: (folder / "ram").unlink(), "made anew"),
        (lambda folder: flip(folder / "state"), "its state has changed"),
        (lambda folder: os.truncate(folder / "state", 1000), "its state has changed"),
        (lambda folder: os.truncate(folder / "ram", 1 << 20), "its ram has changed"),
    ],
    ids=["gone", "no RAM", "flipped", "state cut short", "RAM cut short"],
)
def test_what_happens_to_a_snapshot_after_its_first_use(warmed, tmp_path, spoil, said):
    root, results = warmed
    cache = Cache(tmp_path / "cache")
    shutil.copytree(root, cache.root)
    words: list[str] = []
    snapshots = Snapshots(cache, words.append)
    one = job(tmp_path / "run")
    assert boot(one, snapshots) == Ended("off", restored=True)
    assert (one.run.results.read_bytes(), words) == (results, [])
    (folder,) = cache.root.glob(f"{KIND}/vmlinuz*")
    spoil(folder)
    assert boot(one, snapshots) == Ended("off", restored=True)
    assert one.run.results.read_bytes() == results
    assert said in "\n".join(words)
    (entry,) = [entry for entry in cache.entries() if entry.kind == KIND]
    assert boot(one, Snapshots(cache, words.append)).restored, entry


QEMU_THAT_DIES = """\
#!/bin/sh
case "$*" in
*incoming*) if mkdir {once} 2>/dev/null; then {real} "$@" & sleep 0.02; kill -9 $!; exit 1; fi ;;
esac
exec {real} "$@"
"""


def test_a_qemu_that_is_killed_in_the_middle_of_the_restore(warmed, tmp_path, monkeypatch):
    _, results = warmed
    real = shutil.which("qemu-system-i386")
    script = tmp_path / "bin" / "qemu-system-i386"
    script.parent.mkdir()
    script.write_text(QEMU_THAT_DIES.format(once=tmp_path / "once", real=real))
    script.chmod(0o755)
    monkeypatch.setattr(confine, "root", lambda: False)  # the script is no other user's to run
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    cache = Cache(tmp_path / "cache")
    words: list[str] = []
    one = job(tmp_path / "run")
    assert boot(one, Snapshots(cache, words.append)) == Ended("off", restored=True)
    assert (tmp_path / "once").is_dir()
    assert one.run.results.read_bytes() == results
    assert len([line for line in words if "made anew: QEMU ended" in line]) == 1


WARMER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_snapshot_faults import boot, job
from vmlab.cache import Cache
from vmlab.snapshots import Snapshots
said = []
ended = boot(job(Path(sys.argv[1])), Snapshots(Cache(Path(sys.argv[2])), said.append))
print(ended.how, ended.restored, len(said))
"""


def test_two_processes_that_warm_at_once_make_one(warmed, tmp_path):
    code = WARMER.format(tests=str(Path(__file__).parent))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / name), str(tmp_path / "cache")],
            stdout=subprocess.PIPE, text=True,
        )
        for name in ("a", "b")
    ]  # fmt: skip
    told = sorted(process.communicate()[0].split() for process in both)
    assert told == [["off", "True", "0"], ["off", "True", "1"]]
    results = {(tmp_path / name / "results").read_bytes() for name in ("a", "b")}
    assert results == {warmed[1]}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills_up_while_warming_means_a_cold_boot(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(small)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    words: list[str] = []
    try:
        one = job(tmp_path / "run")
        assert boot(one, Snapshots(Cache(small), words.append)) == Ended("off")
        assert read_results(one.run).fault is None
        assert [line for line in words if line.startswith("booting cold: ")]
        assert [path for path in small.glob(f"{KIND}/*") if path.is_dir()] == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
