import shutil
import subprocess

import pytest

from vmlab.images import cpio

MEMBERS = [
    cpio.directory("bin"),
    cpio.executable("bin/sh", b"#!\n"),
    cpio.symlink("bin/ls", "sh"),
    cpio.char_device("console", 5, 1),
]


def test_sizes_are_padded_to_four_bytes_and_the_trailer_ends_it():
    archive = cpio.archive(MEMBERS)
    assert len(archive) % 4 == 0
    assert archive.startswith(b"070701")
    assert b"TRAILER!!!\0" in archive


def test_equal_members_give_equal_bytes():
    assert cpio.archive(MEMBERS) == cpio.archive(list(MEMBERS))


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
def test_cpio_reads_the_archive():
    listed = subprocess.run(
        ["cpio", "-itv"], input=cpio.archive(MEMBERS), capture_output=True, check=True
    ).stdout.decode()
    lines = [line.split() for line in listed.splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "bin"),
        ("-rwxr-xr-x", "bin/sh"),
        ("lrwxrwxrwx", "sh"),
        ("crw-rw-rw-", "console"),
    ]
