"""What a kernel's header says of how it takes its command line."""

import struct
from pathlib import Path

import pytest

from vmlab import bootable
from vmlab.arch import ARCHES
from vmlab.guest import qemu


def kernel(path: Path, protocol: int, magic: bytes = b"HdrS") -> Path:
    head = bytearray(0x400)
    head[0x202:0x206] = magic
    head[0x206:0x208] = struct.pack("<H", protocol)
    path.write_bytes(head)
    return path


@pytest.mark.parametrize(
    ("protocol", "magic", "at_once"),
    [(0x203, b"HdrS", False), (0x205, b"HdrS", False), (0x20A, b"HdrS", True),
     (0x20F, b"HdrS", True), (0x203, b"\x7fELF", True)],
)  # fmt: skip
def test_kernels_of_before_2_6_31_are_told_to_reset_after_a_second(
    tmp_path, protocol, magic, at_once
):
    path = kernel(tmp_path / "vmlinuz", protocol, magic)
    assert bootable.resets_at_once(path) == at_once
    machine = qemu.Machine(ARCHES["i386"])
    boot = qemu.Boot(machine, path, tmp_path / "initramfs", qemu.RunDirectory(tmp_path))
    words = qemu.argv(boot)
    line = words[words.index("-append") + 1].split()
    assert [one for one in line if one.startswith("panic=")] == [
        "panic=-1" if at_once else "panic=1"
    ]


def test_a_kernel_that_is_not_there_is_said_by_who_boots_it(tmp_path):
    assert bootable.resets_at_once(tmp_path / "none")
