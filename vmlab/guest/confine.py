"""What QEMU may do on the host: the guest is taken for hostile, and QEMU for broken by it.

QEMU's own sandbox stands in its command. Where the lab runs as root, QEMU runs as a user that owns
nothing, and is given its files open: it needs no path, and can write into none but the guest's
ports. Limits hold for every user. docs/security.md says what that promises.
"""

import contextlib
import errno
import fcntl
import functools
import itertools
import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from vmlab.errors import LabError
from vmlab.guest import begin, devices, qemu
from vmlab.guest.emulator import Emulator

UIDS = range(61184, 65520)
"""systemd gives these to services that have no user of their own (DynamicUser=)."""
FILE_ROOM = 64 << 20
"""How much larger than the guest's memory a file of QEMU's may become, bytes."""
TAPE = 8 << 30
"""How long a tape of QEMU's may become, bytes."""
MEMORY_ROOM = 3 << 30
"""How much more address space than the guest's memory QEMU may have, bytes; 1 GiB is TCG's."""
_DESCRIPTORS = 256
_TASKS = 512  # processes and threads of one of those users
_COPIES = 3
"""How many snapshots' RAM stays copied in memory, of those used last."""
_NUMBERS = itertools.count(os.getpid() * 61)
_TRIAL_S = 10
_READS_ALL = "dac_read_search"
_KVM = Path("/dev/kvm")
_PASSED = ("LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
_SEAL_TRIES = 50
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_READABLE = 0o444


def root() -> bool:
    """Whether there are rights to give up."""
    return os.geteuid() == 0


def environment() -> dict[str, str]:
    """What QEMU sees of ours: nothing that may be a secret."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith(("QEMU_", "VMLAB_"))
    }


def user() -> int:
    """A user for one QEMU; others of the lab's at that time are others, or nearly always."""
    return UIDS[next(_NUMBERS) % len(UIDS)]


def drops(uid: int, groups: Sequence[int] = (), capability: str | None = None) -> list[str]:
    """setpriv's words for a process that becomes this user and can become nobody else.

    It keeps a capability where one is named.
    """
    kept = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    those = f"-all,+{capability}" if capability else "-all"
    return [
        "--no-new-privs", f"--reuid={uid}", f"--regid={uid}", kept,
        f"--bounding-set={those}", f"--inh-caps={those}",
        *([f"--ambient-caps=+{capability}"] if capability else []),
    ]  # fmt: skip


def shares(written: Iterable[Path], memory_mib: int) -> list[str]:
    """The words before a QEMU that opens its files by their paths: it may read what we may.

    So is virtme's, whose root directory is the host's to share; the files that are `written` are
    its user's until they are taken back.
    """
    if not root():
        return [*bounds(memory_mib), "setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"]
    uid = user()
    with contextlib.closing(_Files(uid)) as files:
        for path in written:
            files.own(path)
    held = ["setpriv", "--pdeathsig", "KILL", *drops(uid, capability=_READS_ALL), "--"]
    return [*bounds(memory_mib), *held]


@dataclass(frozen=True)
class Handed:
    """What QEMU is started from: the boot with names that it can open, and setpriv's words."""

    boot: qemu.Boot
    words: list[str]
    descriptors: tuple[int, ...] = ()
    folder: str | None = None  # where it is started; it keeps no directory of ours open


@dataclass(frozen=True)
class _Given(qemu.RunDirectory):
    """A run's files under names that QEMU can open."""

    names: Mapping[str, Path] = field(default_factory=dict)

    @property
    def console(self) -> Path:
        return self.names["console"]

    @property
    def results(self) -> Path:
        return self.names.get("results", self.path / "results")  # a socket where there is none

    @property
    def transcript(self) -> Path:
        return self.names["transcript"]

    @property
    def program(self) -> Path:
        return self.names["program"]

    @property
    def mode(self) -> Path:
        return self.names["mode"]

    def disk(self, number: int) -> Path:
        return self.names[f"disk-{number}"]


@contextlib.contextmanager
def handed(boot: qemu.Boot) -> Iterator[Handed]:
    """The boot as QEMU is given it; what it is given open is closed here with the block.

    Raises GoneError where its snapshot is no longer there.
    """
    if not root():
        with contextlib.closing(_Files(os.getuid())) as files:
            lent = _lent(boot, files)
            yield Handed(lent, ["--no-new-privs"], tuple(files.descriptors))
        return
    uid = user()
    with contextlib.closing(_Files(uid)) as files:
        groups = (_KVM.stat().st_gid,) if boot.machine.accel == "kvm" else ()
        given = _given(boot, files)
        yield Handed(given, drops(uid, groups), tuple(files.descriptors), "/")


def bounds(memory_mib: int, file: int | None = None) -> list[str]:
    """The words before a command that bound what a QEMU may take of the host.

    `file` is how long one of its files may become, bytes.
    """
    memory = memory_mib << 20
    most = {
        "as": memory + MEMORY_ROOM,
        "core": 0,
        "fsize": file or memory + FILE_ROOM,
        "nofile": _DESCRIPTORS,
        **({"nproc": _TASKS} if root() else {}),
    }
    words = (f"--{name}={_allowed(name, value)}" for name, value in most.items())
    return [*alone(), "prlimit", *words, "--"]


def inherited(words: Sequence[str]) -> int | None:
    """How long a file of a process of these words may become, where that bound is the user's own.

    In bytes; None where it is the lab's.
    """
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return hard if hard != resource.RLIM_INFINITY and f"--fsize={hard}" in words else None


def alone() -> tuple[str, ...]:
    """The words before a command that take the host's network from it, where root may do that."""
    return _alone() if root() else ()


@functools.cache
def _alone() -> tuple[str, ...]:
    # The lab may be killed while a network is made: what waits for that must not outlive it.
    words = ("setpriv", "--pdeathsig", "KILL", "--", "unshare", "--net", "--ipc", "--")
    try:
        done = subprocess.run([*words, "true"], capture_output=True, timeout=_TRIAL_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return () if done.returncode else words


def _allowed(name: str, most: int) -> int:
    """The bound, or the one that we have already, which cannot be raised."""
    hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def taken_back(path: Path) -> None:
    """A file that QEMU's user owned is ours again, and nobody writes into it."""
    if root() and path.exists():
        os.chown(path, os.geteuid(), os.getegid())
        path.chmod(_READABLE)


def _given(boot: qemu.Boot, files: "_Files") -> qemu.Boot:
    emulator = boot.emulator
    if emulator and emulator.root:
        emulator = _moved(emulator, emulator.root, files.folder(emulator.root))
    if boot.control:
        os.chown(boot.control, files.uid, files.uid)
    begins = boot.memory is not None and boot.memory.state is not None
    return replace(
        boot,
        run=_run(boot, files),
        kernel=boot.kernel if begins else files.copy(boot.kernel),
        initramfs=boot.initramfs if begins else files.copy(boot.initramfs),
        control=files.folder(boot.control) if boot.control else None,
        memory=_memory(boot, files),
        tape=files.own(boot.tape) if boot.tape else None,
        log=files.own(boot.log) if boot.log else None,
        emulator=emulator,
        more=(*boot.more, "-name", f"guest={qemu.escaped(boot.run.path)}", *files.words),
    )


def _run(boot: qemu.Boot, files: "_Files") -> _Given:
    run = boot.run
    names = {
        "console": files.port(run.console),
        "transcript": files.port(run.transcript),
        "program": files.copy(run.program),
        "mode": files.copy(run.mode),
    }
    for number in devices.disks(boot.machine.devices):
        names[f"disk-{number}"] = files.own(run.disk(number))
    if not boot.port:
        names["results"] = files.port(run.results)
    return _Given(run.path, names)


def _memory(boot: qemu.Boot, files: "_Files") -> qemu.Memory | None:
    """RAM that is written while a snapshot is made, else a copy that nobody can change."""
    memory = boot.memory
    if memory is None:
        return None
    if memory.state is None:
        return replace(memory, ram=files.own(memory.ram, boot.machine.memory_mib << 20))
    return replace(memory, ram=files.given(SEALED.of(memory)))


def _lent(boot: qemu.Boot, files: "_Files") -> qemu.Boot:
    """The boot of a user without rights to give up: only a snapshot's RAM is given open."""
    memory = boot.memory
    if memory is None or memory.state is None:
        return boot
    with begin.ram(memory) as ram:
        name = files.given(fcntl.fcntl(ram.fileno(), fcntl.F_DUPFD_CLOEXEC, 0))
    return replace(boot, memory=replace(memory, ram=name))


def _moved(emulator: Emulator, root: Path, name: Path) -> Emulator:
    def moved(path: Path) -> Path:
        return name / path.relative_to(root)

    firmware = tuple(moved(path) for path in emulator.firmware)
    return Emulator(str(moved(Path(emulator.program))), firmware)


class _Files:
    """Files that are open for one QEMU. Each method returns the name that QEMU opens it by."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.descriptors: list[int] = []
        self.words: list[str] = []

    def given(self, descriptor: int) -> Path:
        self.descriptors.append(descriptor)
        return Path(f"/proc/self/fd/{descriptor}")

    def port(self, path: Path) -> Path:
        """Written by QEMU alone from its start, and by its descriptor alone."""
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self.given(opened)
        self.words += ["-add-fd", f"fd={opened},set={opened}"]
        return Path(f"/dev/fdset/{opened}")

    def copy(self, path: Path) -> Path:
        """A copy, for whatever rights the file has, and so that it cannot be changed."""
        return self.given(sealed(path))

    def own(self, path: Path, size: int | None = None) -> Path:
        """A file that QEMU opens anew to write into it: its user's until it is taken back."""
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        name = self.given(opened)
        if size is not None:
            os.ftruncate(opened, size)
        os.fchown(opened, self.uid, self.uid)
        os.fchmod(opened, 0o600)
        return name

    def folder(self, path: Path) -> Path:
        """A directory whose files QEMU reaches, wherever it stands."""
        return self.given(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class Sealed:
    """RAM of snapshots in memory, one copy for all guests, which no guest's QEMU can change.

    Those used last are kept; a guest keeps its own. QEMU opens the file for writing, whatever it
    does with it; a seal holds all the same.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        # When each was made, and its descriptor; the one used last is last.
        self._copies: dict[Path, tuple[int, int]] = {}

    def of(self, memory: qemu.Memory) -> int:
        """A descriptor of one's own."""
        with self._guard:
            made, descriptor = self._copies.pop(memory.ram, (-1, -1))
            if made != memory.made:
                if descriptor >= 0:
                    os.close(descriptor)
                with begin.ram(memory) as file:
                    descriptor = _copied(file, memory.ram)
            self._copies[memory.ram] = memory.made, descriptor
            while len(self._copies) > _COPIES:
                os.close(self._copies.pop(next(iter(self._copies)))[1])
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 0)


SEALED = Sealed()


def sealed(path: Path) -> int:
    """A copy of a file in memory that nobody can change; its holes stay holes."""
    with path.open("rb") as file:
        return _copied(file, path)


def _copied(file: BinaryIO, path: Path) -> int:
    """A sealed copy of an open file; `path` is its name."""
    made = os.memfd_create(path.name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        size = os.fstat(file.fileno()).st_size
        os.ftruncate(made, size)
        for at, end in _extents(file.fileno(), size):
            os.lseek(made, at, os.SEEK_SET)
            while at < end:
                sent = os.sendfile(made, file.fileno(), at, end - at)
                if sent == 0:
                    raise LabError(f"copying {path}: it became shorter meanwhile; run again")
                at += sent
        _seal(made)
    except BaseException:
        os.close(made)
        raise
    return made


def _seal(made: int) -> None:
    """The kernel says EBUSY for as long as pages are on their way, on a busy host some tenths."""
    for left in range(_SEAL_TRIES - 1, -1, -1):
        try:
            fcntl.fcntl(made, fcntl.F_ADD_SEALS, _SEALS)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or not left:
                raise
            time.sleep(0.1)


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are no holes."""
    at = 0
    while at < size:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
            end = os.lseek(descriptor, at, os.SEEK_HOLE)
        except OSError:  # there is no more data
            return
        yield at, end
        at = end
