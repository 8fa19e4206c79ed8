"""A QEMU that its guest has taken over: what it has of the host, and what it can do with that."""

import json
import mmap
import os
import re
import resource
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_contract import real_lab
from test_qemu import eventually

from vmlab.arch import ARCHES
from vmlab.cache import Cache
from vmlab.errors import LabError
from vmlab.guest import confine, launch, program, qemu
from vmlab.snapshots import Snapshots

_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}


def written(pid: int) -> list[str]:
    """What a process has open for writing, without pipes, events and the like."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        flags = re.search(r"flags:\s+(\d+)", Path(f"/proc/{pid}/fdinfo/{path.name}").read_text())
        kind = path.stat().st_mode
        known = stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISBLK(kind)
        if known and flags and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
            found.append(os.readlink(path))
    return sorted(found)


@pytest.mark.guest
class TestQemuIsConfined:
    """A QEMU that its guest has taken over has these rights, and no others."""

    @pytest.fixture
    def boot(self, tmp_path):
        """One that goes on until it is ended."""
        one = real_lab("i386", tmp_path)
        run = qemu.RunDirectory(tmp_path)
        hold = [program.step("run", "while :; do :; done")]
        run.program.write_bytes(program.archive(hold, {}))
        run.mode.write_text(program.mode(600_000, 1))
        boot = qemu.Boot(qemu.Machine(one.arch), one.kernel, one.image, run)
        return replace(boot, memory=one.snapshots.memory(boot))

    @pytest.fixture
    def process(self, boot):
        process = launch.start(boot)
        with launch.ended(process):
            assert eventually(lambda: boot.run.began(), 30)
            yield process

    @_ROOT
    def test_it_is_a_user_of_its_own_and_can_become_no_other(self, process):
        about = status(process.pid)
        uids = set(about["Uid"].split())
        assert len(uids) == 1 and int(uids.pop()) in confine.UIDS
        assert about["Groups"] == ""
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(about[name], 16) == 0, name
        assert about["NoNewPrivs"] == "1"

    def test_the_kernel_refuses_it_what_the_sandbox_denies(self, process):
        assert status(process.pid)["Seccomp"] == "2"
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        sandbox = words[words.index(b"-sandbox") + 1].decode()
        for what in ("obsolete", "elevateprivileges", "spawn", "resourcecontrol"):
            assert f"{what}=deny" in sandbox

    def test_what_it_may_take_of_the_host_is_bounded(self, process):
        lines = Path(f"/proc/{process.pid}/limits").read_text().splitlines()[1:]
        bounds = {line[:25].strip(): line[25:].split()[:2] for line in lines}
        most = {
            "Max core file size": 0,
            "Max file size": (192 << 20) + confine.FILE_ROOM,
            "Max address space": (192 << 20) + confine.MEMORY_ROOM,
            "Max open files": 256,
            **({"Max processes": 512} if os.geteuid() == 0 else {}),
        }
        for name, value in most.items():
            assert bounds[name] == [str(value)] * 2, name

    @_ROOT
    def test_it_has_no_network(self, process):
        assert confine.alone(), "this machine lets root leave its network"
        mine, its = (os.readlink(f"/proc/{who}/ns/net") for who in ("self", process.pid))
        assert mine != its
        devices = Path(f"/proc/{process.pid}/net/dev").read_text().splitlines()[2:]
        assert [line.split(":")[0].strip() for line in devices] == ["lo"]

    @_ROOT
    def test_the_only_files_that_it_can_change_are_the_guest_s_ports(self, process, boot):
        names = {path.removesuffix(" (deleted)") for path in written(process.pid)}
        run = boot.run
        ports = {str(path) for path in (run.console, run.results, run.transcript)}
        assert names == {*ports, "/memfd:ram", "/memfd:program.tar", "/memfd:mode"}
        assert not [path for path in Path(f"/proc/{process.pid}/maps").read_text().splitlines()
                    if " rw-s" in path and ("/root" in path or str(run.path) in path)]  # fmt: skip

    @_ROOT
    def test_no_directory_of_ours_is_its_own_and_no_secret_is_in_its_environment(
        self, boot, monkeypatch
    ):
        monkeypatch.setenv("MY_TOKEN", "a secret")
        process = launch.start(boot)
        with launch.ended(process):
            assert os.readlink(f"/proc/{process.pid}/cwd") == "/"
            assert b"a secret" not in Path(f"/proc/{process.pid}/environ").read_bytes()

    @_ROOT
    def test_what_it_is_given_in_memory_cannot_be_changed_by_it(self, boot):
        """As QEMU opens it: for writing."""
        copy = confine.SEALED.of(boot.memory)
        try:
            opened = os.open(f"/proc/self/fd/{copy}", os.O_RDWR)
            for attack in (
                lambda: os.pwrite(opened, b"owned", 0),
                lambda: os.ftruncate(opened, 0),
                lambda: __import__("mmap").mmap(opened, 4096),
            ):
                with pytest.raises(PermissionError):
                    attack()
            os.close(opened)
        finally:
            os.close(copy)

    def test_a_port_that_grows_without_end_is_stopped_by_the_kernel_too(self, tmp_path):
        """Where nobody looked at it meanwhile."""
        words = confine.bounds(32)[len(confine.alone()) :]
        fill = f"head -c {200 << 20} /dev/zero > {tmp_path}/port"
        done = subprocess.run([*words, "sh", "-c", fill], capture_output=True, check=False)
        assert done.returncode != 0
        assert (tmp_path / "port").stat().st_size == (32 << 20) + confine.FILE_ROOM


@pytest.mark.parametrize(
    ("own", "limit", "how", "says"),
    [
        (resource.RLIM_INFINITY, None, "flooded", "ports grew to QEMU's limit"),
        (1 << 20, None, "lost", "this user's own limit of 1024 KiB (ulimit -f)"),
        (1 << 20, 1 << 19, "flooded", "console grew past 512 KiB"),  # it had said too much before
        (4 << 20, None, "flooded", "ports grew to QEMU's limit"),  # the lab's was less
    ],
)
def test_a_user_s_own_limit_of_files_is_no_flood(tmp_path, monkeypatch, own, limit, how, says):
    monkeypatch.setattr(confine, "FILE_ROOM", 2 << 20)
    usual, files = resource.getrlimit, resource.RLIMIT_FSIZE
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (own, own) if which == files else usual(which)
    )
    bounds = confine.bounds(0)[len(confine.alone()) :]
    run = qemu.RunDirectory(tmp_path)
    fill = f"exec head -c {8 << 20} /dev/zero > {run.console}"
    process = subprocess.Popen([*bounds, "sh", "-c", fill], stderr=subprocess.PIPE)
    with launch.ended(process):
        ended = launch.supervise(process, run, 60, flood=limit)
    assert ended.how == how
    assert says in ended.detail


@pytest.mark.guest
@pytest.mark.slow
@_ROOT
def test_a_snapshot_is_the_same_by_whomever_it_is_made(tmp_path, monkeypatch):
    """To the byte: what QEMU may not do, it did not need."""
    made = []
    for rights in (True, False):
        monkeypatch.setattr(confine, "root", lambda rights=rights: rights)
        one = real_lab("i386", tmp_path)
        one.snapshots = Snapshots(Cache(tmp_path / str(rights)), print)
        ended, _, console = one.boot([program.step("run", "head -c 8 /dev/urandom > /dev/kmsg")])
        assert ended.how == "off"
        results = qemu.RunDirectory(tmp_path).results.read_bytes()
        (sums,) = (tmp_path / str(rights)).rglob("sums.json")
        made.append((json.loads(sums.read_text())["ram"], console, results))
    assert made[0] == made[1]


PLAIN_USER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from dataclasses import replace
from test_contract import ARCHES, S
from vmlab.guest import launch, program, qemu
at = Path(sys.argv[2])
run = qemu.RunDirectory(at)
run.program.write_bytes(program.archive([S("run", "echo hello")], {}))
run.mode.write_text("60000")
memory = qemu.Memory(at / "ram", at / "state")
machine = qemu.Machine(ARCHES["i386"])
print(launch.run(qemu.Boot(machine, at, at, run, memory=memory), 60), run.results.read_text())
"""


@pytest.mark.guest
@_ROOT
def test_a_plain_user_s_guest_runs_as_that_user(tmp_path):
    """Who has no rights to give up; files are opened by their paths then."""
    folder = Path("/tmp") / f"vmlab-test-{os.getpid()}"
    folder.mkdir()
    one = real_lab("i386", tmp_path)
    run = qemu.RunDirectory(tmp_path)
    memory = one.snapshots.memory(qemu.Boot(qemu.Machine(one.arch), one.kernel, one.image, run))
    subprocess.run(["cp", "--sparse=always", memory.ram, memory.state, folder], check=True)
    for path in (folder, *folder.iterdir()):
        os.chown(path, 61191, 61191)
        path.chmod(0o700)
    words = ["setpriv", "--reuid=61191", "--regid=61191", "--clear-groups", sys.executable, "-c",
             PLAIN_USER, str(Path(__file__).parent), str(folder)]  # fmt: skip
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
        assert "how='off'" in done.stdout and "# | hello\n" in done.stdout, done.stderr
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@_ROOT
def test_the_files_that_it_owns_are_those_that_are_said(tmp_path):
    """docs/security.md lists them; a lent image is made for one command (tests of images)."""
    for name in ("kernel", "initramfs", "program.tar", "mode"):
        (tmp_path / name).write_text("x")
    control = tmp_path / "control"
    control.mkdir()
    boot = qemu.Boot(
        qemu.Machine(ARCHES["i386"]), tmp_path / "kernel", tmp_path / "initramfs",
        qemu.RunDirectory(tmp_path), control, qemu.Memory(tmp_path / "ram"),
        tape=tmp_path / "tape", log=tmp_path / "log",
    )  # fmt: skip
    with confine.handed(boot):
        owned = {path.name for path in tmp_path.iterdir() if path.stat().st_uid in confine.UIDS}
        assert owned == {"ram", "tape", "log", "control"}
    said = (Path(__file__).parents[1] / "docs/security.md").read_text()
    for words in ("a snapshot's RAM", "a tape", "the log of `-D`", "the control sockets", "lent"):
        assert words in said.partition("| file | its user's |")[2].partition("\n\n")[0]
    confine.taken_back(tmp_path / "tape")
    about = (tmp_path / "tape").stat()
    assert (about.st_uid, stat.S_IMODE(about.st_mode)) == (os.geteuid(), 0o444)


def test_two_guests_of_one_lab_are_two_users():
    assert len({confine.user() for _ in range(50)}) == 50


def test_a_file_that_becomes_shorter_while_it_is_copied_is_no_guest_s_memory(tmp_path, monkeypatch):
    path = tmp_path / "ram"
    path.write_bytes(b"x" * 8192)

    def shortened(descriptor: int, size: int):
        os.truncate(path, 4096)
        return [(0, size)]

    made = confine.sealed(path)
    assert os.pread(made, 9999, 0) == b"x" * 8192
    os.close(made)
    monkeypatch.setattr(confine, "_extents", shortened)
    with pytest.raises(LabError, match="became shorter"):
        confine.sealed(path)


def test_a_copy_is_sealed_once_nobody_writes_to_its_pages_any_more(monkeypatch):
    """The kernel refuses with EBUSY until then."""
    made = os.memfd_create("ram", os.MFD_ALLOW_SEALING)
    os.ftruncate(made, 4096)
    written = mmap.mmap(made, 4096)
    monkeypatch.setattr(confine, "_SEAL_TRIES", 2)
    with pytest.raises(OSError, match="busy"):
        confine._seal(made)
    monkeypatch.setattr(confine.time, "sleep", lambda seconds: written.close())
    confine._seal(made)
    with pytest.raises(OSError, match="not permitted"):
        os.pwrite(made, b"x", 0)
    os.close(made)


def test_three_snapshots_stay_in_memory_those_used_last(tmp_path, monkeypatch):
    copied = []
    copy = confine._copied
    monkeypatch.setattr(
        confine, "_copied", lambda file, path: copied.append(path.name) or copy(file, path)
    )
    copies = confine.Sealed()

    def given(name: str) -> bytes:
        descriptor = copies.of(qemu.Memory(tmp_path / name, tmp_path / "state"))
        try:
            return os.pread(descriptor, 9, 0)
        finally:
            os.close(descriptor)

    for name in "abcd":
        (tmp_path / name).write_text(name)
    before = len(os.listdir("/proc/self/fd"))
    assert [given(name) for name in "abcadab"] == [name.encode() for name in "abcadab"]
    assert "".join(copied) == "abcdb"  # b gave way to d, and a, used again, did not
    assert len(os.listdir("/proc/self/fd")) == before + 3
