"""What a kernel's header says of how it takes its command line."""

import struct
from pathlib import Path

import pytest

from vmlab import bootable
from vmlab.arch import ARCHES
from vmlab.catalog import bzimage
from vmlab.errors import UsageError
from vmlab.guest import qemu


def kernel(path: Path, version: str, magic: bytes = b"HdrS") -> Path:
    head = bytearray(0x400)
    head[0x202:0x206] = magic
    head[0x20E:0x210] = struct.pack("<H", 0x100)
    path.write_bytes(bytes(head[:0x300]) + version.encode() + b"\0" + bytes(0x100))
    return path


def panic(path: Path) -> list[str]:
    """The words of a guest's command line that say what becomes of a panic."""
    boot = qemu.Boot(
        qemu.Machine(ARCHES["i386"]),
        path,
        path.parent / "initramfs",
        qemu.RunDirectory(path.parent),
    )
    words = qemu.argv(boot)
    line = words[words.index("-append") + 1].split()
    return [one for one in line if one.startswith("panic=")]


@pytest.mark.parametrize(
    ("version", "word"),
    [("2.6.8 (root@box) #1 Sat", "1"), ("2.6.32.69 (root@box) #2 SMP", "1"), ("2.6.39.4", "1"),
     ("3.0.0-1-686", "-1"), ("4.4.155", "-1"), ("7.3-rc1", "-1"), ("", "-1")],
)  # fmt: skip
def test_a_kernel_is_told_to_reset_as_its_release_understands_it(tmp_path, version, word):
    path = kernel(tmp_path / "vmlinuz", version)
    assert panic(path) == [f"panic={word}"]
    assert bool(bootable.last_words(path)) == (word == "1")


def test_what_is_no_bzimage_is_taken_for_new(tmp_path):
    path = kernel(tmp_path / "vmlinuz", "2.6.8", b"\x7fELF")
    assert bootable.release(path) is None
    assert panic(path) == ["panic=-1"]


@pytest.mark.parametrize(
    ("taken", "short"), [(0, 0), (15, 0), (16, 16), (60_000, 60_000), (65_000, 65_000)]
)
def test_an_image_that_was_cut_off_is_not_whole(tmp_path, taken, short):
    """The last bytes of older ones do not fill the header's unit of 16."""
    path = kernel(tmp_path / "vmlinuz", "2.6.8")
    head = bytearray(path.read_bytes())
    head[0x1F1], head[0x1F4:0x1F6] = 0, struct.pack("<H", 4096)
    path.write_bytes(head.ljust(5 * 512 + 65536 - taken, b"\0"))
    assert bootable.lacking(path) == short
    if short:
        with pytest.raises(UsageError, match=f"not whole: it is {short} bytes shorter"):
            bzimage.release(path)
    else:
        assert bzimage.release(path) == "2.6.8"


def test_a_kernel_that_is_not_there_is_said_by_who_boots_it(tmp_path):
    assert panic(tmp_path / "none") == ["panic=-1"]
