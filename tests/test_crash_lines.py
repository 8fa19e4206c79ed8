"""`vmlab crash` with files that know the source lines of a stranger's log."""

import json
import re
from pathlib import Path

import pytest
from test_symbols import built, line_of, sizes, trap

from vmlab import cli, frames
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import UsageError

LOG = """\
[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000004
[    1.0] #PF: supervisor write access in kernel mode
[    1.0] Oops: 0002 [#1] SMP NOPTI
[    1.0] CPU: 0 PID: 7 Comm: init Tainted: G O {release} #1 {version}
[    1.0] RIP: 0010:fail+{at:#x}/{size:#x}{module}
[    1.0] RAX: 0000000000000000 RBX: 0000000000000000 RCX: 0000000000000000
[    1.0] Call Trace:
[    1.0]  last+{end:#x}/{end:#x}{module}
[    1.0] Modules linked in: boom(O)
[    1.0] ---[ end trace 0000000000000000 ]---
"""
DEBIAN = {"release": "6.1.0-50-amd64", "version": " Debian 6.1.176-1"}


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(file: Path, module: str = " [boom]", **words: str) -> str:
    text = LOG.format(
        **{"release": "6.0.9", "version": "SMP", **words}, module=module, at=trap(file),
        size=sizes(file, "fail")[0], end=sizes(file, "last")[0],
    )  # fmt: skip
    Path("log").write_text(text)
    return text


def crash(capsys, *words: str) -> str:
    cli.app(["crash", "log", *words], standalone_mode=False)
    return capsys.readouterr().out


@pytest.mark.parametrize("beside", [True, False], ids=["beside the file", "in the project"])
def test_a_module_given_tells_the_lines_of_its_frames(tmp_path, capsys, beside):
    file = built(tmp_path / "a", "-m64", linked=False)
    if beside:
        (tmp_path / "a" / "kmod" / "boom").rename(tmp_path / "a" / "boom")
    else:
        (tmp_path / "a" / "kmod").rename(tmp_path / "kmod")
        (tmp_path / "vmlab.yaml").touch()
    written(file)
    at = line_of("	__builtin_trap();")
    said = crash(capsys, "--module", str(file))
    name = "boom/main.c" if beside else "kmod/boom/main.c"
    assert f"  where:     inner ({name}:{at}), inlined in\n" in said
    assert re.search(rf"^ +> +{at}  +__builtin_trap\(\);$", said, re.MULTILINE)
    assert f"({name}:{line_of('	fail();')})\n" in said
    found = json.loads(crash(capsys, "--json", "--module", str(file)))
    assert found["frames"][0]["inlined"][0]["line"] == at
    assert "where:" not in crash(capsys), "nothing without a file"


def test_a_vmlinux_given_tells_the_lines_of_the_kernel(tmp_path, capsys):
    file = built(tmp_path, "-m64", linked=True)
    written(file, module="")
    said = crash(capsys, "--vmlinux", str(file))
    assert f"inner (boom/main.c:{line_of('	__builtin_trap();')})" in said


@pytest.mark.parametrize("fetch", [True, False])
def test_a_log_of_a_kernel_that_the_lab_has_finds_its_debug_package(
    tmp_path, capsys, monkeypatch, fetch
):
    file = built(tmp_path, "-m64", linked=True)
    written(file, module="", **DEBIAN)
    asked = []

    def vmlinux(self, kernel, fetch=False):
        asked.append((kernel.id, fetch))
        return file

    monkeypatch.setattr(Catalog, "vmlinux", vmlinux)
    said = crash(capsys, *(["--fetch-debug"] if fetch else []))
    assert "inner (boom/main.c:" in said
    assert asked == [("6.1.0-50-amd64", fetch)]


def test_a_log_is_a_kernel_s_only_by_release_and_version(tmp_path):
    catalog = Catalog.open(Cache(tmp_path))
    (wanted,) = catalog.select("6.1.0-50-amd64")
    line = "Comm: init Tainted: G O {} #1 Debian {}"
    assert frames.kernel_of(line.format(wanted.id, wanted.version), catalog) == wanted
    for release, version in (
        (wanted.id, "6.1.175-1"), ("6.1.0-50-amd64x", wanted.version),
        (wanted.id, f"{wanted.version}1"), (f"x{wanted.id}", wanted.version),
    ):  # fmt: skip
        assert frames.kernel_of(line.format(release, version), catalog) is None


def test_fetching_for_a_kernel_that_the_lab_does_not_know_is_wrong_usage(tmp_path, capsys):
    written(built(tmp_path, "-m64", linked=True))
    with pytest.raises(UsageError, match="none of the kernels"):
        crash(capsys, "--fetch-debug")
