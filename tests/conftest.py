import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from packaged import sdist, wheel  # noqa: F401

from vmlab.guest import confine

_DATA = Path(tempfile.gettempdir()) / f"vmlab-tests-{os.getpid()}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """What tests run is not kept in the user's history."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VMLAB_DATA", str(_DATA))
        return (yield)


def pytest_sessionfinish():
    shutil.rmtree(_DATA, ignore_errors=True)


@pytest.fixture
def fake_qemu(tmp_path, monkeypatch):
    """Puts a stand-in for QEMU first in PATH; what it does wrong is said by VMLAB_FAKE."""
    folder = tmp_path / "fake-bin"
    folder.mkdir()
    script = Path(__file__).with_name("fake_qemu.py")
    for name in ("qemu-system-i386", "qemu-system-x86_64"):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setattr(confine, "root", lambda: False)  # the stand-in is no other user's to run
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def virtme(tmp_path, fake_qemu, monkeypatch):
    """Puts the stand-in first in PATH; what it does wrong is said by VMLAB_FAKE_VIRTME."""
    script = Path(__file__).with_name("fake_virtme.py")
    program = fake_qemu / "virtme-run"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    program.chmod(0o755)
    return program
