"""Faults of what guests begin from, and of what names a run: the verdict is right all the same."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_of_hosts import disk
from faulty import Bench, Fault, half_made

from vmlab import archive, lab, snapshots
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.errors import UsageError
from vmlab.guest import confine
from vmlab.lab import Options
from vmlab.project import Project, Settings, find
from vmlab.replay import prepare
from vmlab.runner import Run
from vmlab.snapshots import KIND, Snapshots
from vmlab.tokens import read
from vmlab.verdict import Verdict

PASSED, BROKEN = Verdict.PASSED, Verdict.BROKEN
STEP = "run: cat /proc/uptime; head -c 8 /dev/urandom | hexdump"


class Warm:
    """A cache with a snapshot of its own, made once for all rows, and what a run from it gives."""

    folder: Path | None = None
    results: bytes = b""

    @classmethod
    def copied(cls, bench: Bench) -> Cache:
        cache = bench.cache()
        if cls.folder is None:
            cls.folder = Path(tempfile.mkdtemp(prefix="vmlab-test-"))
            atexit.register(shutil.rmtree, cls.folder, ignore_errors=True)
            run = bench.real(STEP, backend=QemuBackend(Snapshots(cache, print)))
            cls.results = (Path(run.dir) / "results").read_bytes()
            shutil.rmtree(bench.folder / "vmlab-out")
            _copy(cache.root / KIND, cls.folder / KIND)
        else:
            _copy(cls.folder / KIND, cache.root / KIND)
        return cache


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", "--sparse=always", source, target], check=True)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.chmod(0o644)
    path.write_bytes(content)


def cut(path: Path, size: int) -> None:
    path.chmod(0o644)
    os.truncate(path, size)


def spoilt(spoil: Callable[[Path], object], said: str):
    """Before its second use, by the process that has found it whole."""

    def inject(bench: Bench) -> Run:
        cache = Warm.copied(bench)
        backend = QemuBackend(Snapshots(cache, bench.words.append))
        bench.real(STEP, backend=backend)
        shutil.rmtree(bench.folder / "vmlab-out")
        (folder,) = cache.root.glob(f"{KIND}/vmlinuz*")
        spoil(folder)
        run = bench.real(STEP, backend=backend)
        assert said in "\n".join(bench.words)
        _healthy(bench, cache, run)
        return run

    return inject


def _healthy(bench: Bench, cache: Cache, run: Run) -> None:
    """The cache has one snapshot, which is as it was, and the run gave what it gives."""
    assert (Path(run.dir) / "results").read_bytes() == Warm.results
    (folder,) = cache.root.glob(f"{KIND}/vmlinuz*")
    snapshots.Snapshot(folder).check()
    assert half_made(cache) == []


def gone_while_in_use(bench: Bench) -> Run:
    """The guest goes on with what it has."""
    cache = Warm.copied(bench)

    def during(bench: Bench) -> None:
        bench.begun(2)
        shutil.rmtree(cache.root / KIND)

    backend = QemuBackend(Snapshots(cache, bench.words.append))
    return bench.real("run: 'for n in $(seq 3000); do :; done'", STEP, backend=backend,
                      during=during)  # fmt: skip


def other_qemu(bench: Bench) -> Run:
    """One of another version begins from no snapshot of this one's."""
    cache = Warm.copied(bench)
    bench.monkeypatch.setattr(snapshots, "qemu_identity", lambda program: "QEMU 99.0")
    run = bench.real(STEP, backend=QemuBackend(Snapshots(cache, bench.words.append)))
    assert [line for line in bench.words if line.startswith("warming a snapshot")]
    assert len(list(cache.root.glob(f"{KIND}/vmlinuz*"))) == 2
    return run


def made_anew_by_another(bench: Bench) -> Run:
    """After this process has looked at it, and before its guest's QEMU has opened it."""
    cache = Warm.copied(bench)

    class Slow(Snapshots):
        looks = 0

        def memory(self, *arguments):
            made = super().memory(*arguments)
            self.looks += 1
            if self.looks == 1:
                cache.remove(KIND, made.ram.parent.name)
                _copy(Warm.folder / KIND / made.ram.parent.name, cache.root / KIND)
                flip(made.state)  # whoever mixes the two begins from this
                flip(made.ram)
            return made

    run = bench.real(STEP, backend=QemuBackend(Slow(cache, bench.words.append)))
    assert "was made anew by another process meanwhile" in "\n".join(bench.words)
    _healthy(bench, cache, run)
    return run


QEMU_THAT_DIES = """\
#!/bin/sh
case "$*" in
*incoming*) if mkdir {once} 2>/dev/null; then {real} "$@" & sleep 0.02; kill -9 $!; exit 1; fi ;;
esac
exec {real} "$@"
"""


def killed_while_restoring(bench: Bench) -> Run:
    cache = Warm.copied(bench)
    script = bench.folder / "bin" / "qemu-system-i386"
    script.parent.mkdir()
    real = shutil.which("qemu-system-i386")
    script.write_text(QEMU_THAT_DIES.format(once=bench.folder / "once", real=real))
    script.chmod(0o755)
    bench.monkeypatch.setattr(confine, "root", lambda: False)  # the script is no other user's
    bench.monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    run = bench.real(STEP, backend=QemuBackend(Snapshots(cache, bench.words.append)))
    assert (bench.folder / "once").is_dir()
    assert len([line for line in bench.words if "made anew: QEMU ended" in line]) == 1
    return run


def full_while_warming(bench: Bench) -> Run:
    cache = bench.cache()
    with disk(cache.root / KIND, "8m"):
        backend = QemuBackend(Snapshots(cache, bench.words.append))
        run = bench.real(STEP, backend=backend, timeout_s=60)
        assert [line for line in bench.words if line.startswith("booting cold: ")]
        assert not [path for path in (cache.root / KIND).iterdir() if path.is_dir()]
    return run


WARMER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from faulty import Bench, KERNEL
from faults_of_snapshots import STEP
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.snapshots import Snapshots
said = []
folder = Path(sys.argv[1])
folder.mkdir()
backend = QemuBackend(Snapshots(Cache(Path(sys.argv[2])), said.append))
run = Bench(folder, None).real(STEP, backend=backend, timeout_s=60)
print(run.judgement.verdict, len(said))
"""


def warmed_by_two(bench: Bench) -> None:
    code = WARMER.format(tests=str(Path(__file__).parent))
    root = str(bench.cache().root)
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(bench.folder / name), root],
                         stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]  # fmt: skip
    told = sorted(process.communicate()[0].split() for process in both)
    assert told == [["passed", "0"], ["passed", "1"]]
    first, second = (next((bench.folder / name).rglob("results")) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def refused(call: Callable[[Bench], object], said: str):
    """What the user asked for cannot be meant, and is told so before anything runs."""

    def inject(bench: Bench) -> None:
        with pytest.raises(UsageError, match=said):
            call(bench)

    return inject


TOKEN = "vm1:zombie-detect:6.1.0-50-686:iz3ry3qdaohsbbc3v72gji2ebqftvsj35dqgy2y3m77q"


def of_another_project(bench: Bench) -> None:
    (bench.folder / "scenarios").mkdir()
    prepare(read(TOKEN), Project(bench.folder, Settings()), bench.artifacts())


def of_another_kernel(bench: Bench) -> None:
    made = bench.artifacts()
    left = tuple(k for k in made.catalog.kernels if k.id != "6.1.0-50-686")
    bench.monkeypatch.setattr(type(made.catalog), "kernels", left)
    prepare(read(TOKEN), find(Path(__file__).parent), made)


def out_of_range(bench: Bench) -> None:
    lab.runner(Project(bench.folder, Settings()), bench.artifacts(), Options(seed=1 << 32))


def no_archive(bench: Bench) -> None:
    (bench.folder / "file").write_bytes(b"\x1f\x8b" + bytes(100))
    archive.opened(bench.folder / "file", bench.cache())


ROWS = (
    Fault("a snapshot is gone", spoilt(shutil.rmtree, "warming a snapshot"), PASSED, slow=True),
    Fault("its RAM is gone", spoilt(lambda at: (at / "ram").unlink(), "made anew"), PASSED,
          slow=True),
    Fault("a bit of its RAM is flipped", spoilt(lambda at: flip(at / "ram"), "its ram has changed"),
          PASSED, slow=True),
    Fault("a bit of its state is flipped", spoilt(
        lambda at: flip(at / "state"), "its state has changed"), PASSED),
    Fault("its state is cut short", spoilt(
        lambda at: cut(at / "state", 1000), "its state has changed"), PASSED, slow=True),
    Fault("its RAM is cut short", spoilt(
        lambda at: cut(at / "ram", 1 << 20), "its ram has changed"), PASSED, slow=True),
    Fault("it is deleted while a guest uses it", gone_while_in_use, PASSED),
    Fault("it is of another QEMU", other_qemu, PASSED, slow=True),
    Fault("another process makes it anew just before QEMU opens it", made_anew_by_another, PASSED,
          slow=True),
    Fault("QEMU is killed while it restores", killed_while_restoring, PASSED, slow=True),
    Fault("the disk is full while a snapshot is warmed", full_while_warming, PASSED, slow=True),
    Fault("two processes warm the same snapshot", warmed_by_two, None, slow=True),
    Fault("a token is mistyped", refused(
        lambda bench: read(TOKEN.replace("iz3", "iz4")), "the token is mistyped"), None),
    Fault("a token of another project", refused(
        of_another_project, "is the token of another project"), None),
    Fault("a token of a kernel that is gone", refused(
        of_another_kernel, "kernel is not in the catalog here"), None),
    Fault("a seed is out of range", refused(out_of_range, "seed 4294967296 is out of range"), None),
    Fault("an archive is none", refused(no_archive, "is no archive of a run"), None),
)  # fmt: skip
