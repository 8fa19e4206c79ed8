"""What a worker does: boots a guest as it is told, and sends back what the guest gave."""

import functools
import resource
import shutil
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmlab.backend import Job, QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog, Kernel
from vmlab.cluster.content import Content
from vmlab.cluster.order import (
    FILES,
    FORMAT,
    Answer,
    Done,
    File,
    Missing,
    Order,
    Refused,
    recipe_key,
)
from vmlab.errors import VmlabError
from vmlab.guest import qemu
from vmlab.guest.emulator import Emulator
from vmlab.guest.launch import Ended
from vmlab.qemus import chosen
from vmlab.snapshots import Snapshots, qemu_version

_PACKED = 1  # zlib's level: consoles shrink to a fifth, and take no time to


class Lab:
    """What one worker's process has of the lab."""

    def __init__(self) -> None:
        self.cache = Cache.default()
        self.content = Content(self.cache)
        self.backends = {
            True: QemuBackend(Snapshots(self.cache, _say)), False: QemuBackend(None),
        }  # fmt: skip
        self.stops: dict[str, threading.Event] = {}

    def emulator(self, machine: qemu.Machine) -> Emulator:
        return chosen(machine, Catalog.open(self.cache, _say))


@functools.cache
def lab() -> Lab:
    return Lab()


def run(order: Order) -> Answer:
    """Boots the guest, unless something is wrong with order or worker."""
    name, address = _who()
    try:
        emulator = lab().emulator(order.machine)
        if why := _not_for(order, qemu_version(emulator.program)):
            return Refused(name, address, why, True)
        if missing := lab().content.missing(order.files):
            return Missing(address, missing)
        with tempfile.TemporaryDirectory(prefix="vmlab-guest-") as folder:
            return _boot(order, emulator, Path(folder) / "run", name, address)
    except (VmlabError, OSError) as error:
        return Refused(name, address, str(error), False)


def _not_for(order: Order, found: str) -> str | None:
    if order.format != FORMAT:
        return f"its vmlab takes orders of format {FORMAT}, and this one gives {order.format}"
    if order.qemu != found:
        return f"it has {found}, and here it is {order.qemu}"
    if order.recipe != recipe_key(order.machine):
        return "its vmlab starts such a machine in another way"
    return None


def _boot(order: Order, emulator: Emulator, folder: Path, name: str, address: str) -> Done:
    folder.mkdir()
    files = qemu.RunDirectory(folder)
    at = lab().content.path
    shutil.copyfile(at(order.program), files.program)
    files.mode.write_bytes(order.mode)
    kernel = Kernel(order.kernel, order.machine.arch, False, (), ())
    job = Job(
        kernel, order.machine, at(order.image), at(order.vmlinuz), files, order.timeout_s,
        emulator, order.flood, False,
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with _stoppable(order.key) as stopped:
        ended = lab().backends[order.snapshot].boot(job, stopped)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _done(ended, folder, name, address, cpu_s)


def _done(ended: Ended, folder: Path, name: str, address: str, cpu_s: float) -> Done:
    packed = {
        one: zlib.compress((folder / one).read_bytes(), _PACKED)
        for one in FILES
        if (folder / one).exists()
    }
    return Done(ended.how, ended.detail, ended.restored, packed, name, address, cpu_s)


class _stoppable:
    """Within it the guest of an order can be stopped."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> Callable[[], bool]:
        return lab().stops.setdefault(self._key, threading.Event()).is_set

    def __exit__(self, *_: object) -> None:
        lab().stops.pop(self._key, None)


def stop(key: str) -> None:
    """Ends an order's guest, where it runs here."""
    if event := lab().stops.get(key):
        event.set()


def put(file: File, data: bytes) -> str:
    """Takes an input in; what is wrong with it, or nothing."""
    try:
        lab().content.put(file, data)
    except VmlabError as error:
        return str(error)
    return ""


def forget() -> None:
    """Throws away the snapshots that later guests would begin from."""
    for backend in lab().backends.values():
        backend.forget()


def _who() -> tuple[str, str]:
    from distributed import get_worker

    worker: Any = get_worker()
    return str(worker.name), str(worker.address)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
