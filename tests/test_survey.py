"""`vmlab survey`: many folders of modules, one table."""

import subprocess
from pathlib import Path

import pytest
from test_init import DUCK, put
from typer.testing import CliRunner

from vmlab import survey
from vmlab.build import dkms
from vmlab.cli import app
from vmlab.errors import LabError, UsageError
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict


def run(scenario: str, kernel: str, verdict: Verdict, reason: str = "", seen: str = "") -> Run:
    return Run(
        scenario, kernel, "i386", "qemu", Judgement(verdict, reason, seen=seen), 1.0, 1.0, "d"
    )


BUILD = "building for 6.1:\nduck.c:3:1: error: no 'egg' | here\nagain by hand: make"


def test_the_table_has_a_row_for_each_and_tells_why():
    text = survey.table(
        [
            survey.Surveyed("duck-1.0", [
                run("load", "5.10", Verdict.PASSED),
                run("load", "6.1", Verdict.FAILED, "build", BUILD),
                run("each(m=a)", "5.10", Verdict.PASSED), run("each(m=b)", "5.10", Verdict.PASSED),
                run("each(m=c)", "5.10", Verdict.SKIPPED, "5.10: duck builds no c"),
            ], ["udev"]),
            survey.Surveyed("egg-2", [
                run("load", "6.1", Verdict.FAILED, "modprobe: egg: EIO", "EIO\n[1.5] egg: no hen"),
                run("load", "5.10", Verdict.FAILED, "build", "build:\nended by the lab: it hung"),
                run("use", "6.1", Verdict.BROKEN, "no disk", "one\ntwo"),
            ], ["libegg-dev", "hen"]),
        ]
    )  # fmt: skip
    assert text.splitlines() == [
        "| folder | scenario | 5.10 | 6.1 |",
        "|---|---|---|---|",
        "| duck-1.0 | load | passed | failed |",
        "| duck-1.0 | each | 2 passed, 1 skipped |  |",
        "| egg-2 | load | failed | failed |",
        "| egg-2 | use |  | broken |",
        "",
        "- duck-1.0, load: failed: duck.c:3:1: error: no 'egg' \\| here (6.1)",
        "- duck-1.0, each: skipped: duck builds no c (5.10)",
        "- egg-2, load: failed: modprobe: egg: EIO; egg: no hen (6.1)",
        "- egg-2, load: failed: ended by the lab: it hung; its package depends on "
        "libegg-dev, hen, not installed here (5.10)",
        "- egg-2, use: broken: no disk (6.1)",
    ]


def test_a_project_is_made_of_a_copy_with_what_is_there_of_its_name(tmp_path):
    source = put(tmp_path / "duck-1.0", {"Kbuild": "obj-m := duck.o\n", "duck.c": DUCK})
    more = put(tmp_path / "more", {"duck/use.yaml": "name: use\n", "egg/no.yaml": "name: no\n"})
    before = sorted(source.rglob("*"))
    for _ in range(2):  # a later survey begins anew
        made = survey.project(source, tmp_path / "work", more)
        names = sorted(path.stem for path in made.scenario_files())
        assert names == ["load", "use"]
        (made.root / "scenarios" / "old.yaml").write_text("name: old\n")
    assert sorted(source.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "stem"), [("duck-1.0", "duck"), ("dm-writeboost-2.2.17", "dm-writeboost"),
                       ("linux-apfs-rw-0.3.0-1", "linux-apfs-rw"), ("duck", "duck")],
)  # fmt: skip
def test_a_folder_is_known_without_its_version(name, stem):
    assert survey.stem(name) == stem


def test_packages_that_one_depends_on_are_put_where_it_looks_for_them(tmp_path):
    package = put(tmp_path / "duck-dkms", {
        "depends": "dkms (>= 2.1), pond-dkms (>= 3.13) | reed-dkms, duck-dkms, make, libpond-dev\n",
    })  # fmt: skip
    assert survey.depends(package) == ["pond-dkms", "reed-dkms"]
    pond = put(tmp_path / "pond/usr/src/pond-1.0", {"dkms.conf": "", "old.o": "", "pond.c": DUCK})
    work = tmp_path / "work" / survey.SOURCES
    survey.put_beside(pond, work)
    assert sorted(path.name for path in (work / "pond-1.0").iterdir()) == ["dkms.conf", "pond.c"]
    (work / "pond-1.0/pond.c").write_text("mended")
    survey.put_beside(pond, work)
    assert (work / "pond-1.0/pond.c").read_text() == "mended"
    assert dkms_sees(put(work / "duck-1.0", {"dkms.conf": CONF})) == "make X=/usr/src/pond-1.0"


def test_what_a_package_lacks_on_this_machine_is_known(tmp_path, monkeypatch):
    put(tmp_path, {"depends": "dkms (>= 2.1), no-such-egg (>= 3) | nor-this, pond-dkms, dpkg, \n"})
    assert survey.lacks(tmp_path) == ["no-such-egg"]
    put(tmp_path, {"depends": "no-such-egg | dpkg\n"})
    assert survey.lacks(tmp_path) == []
    monkeypatch.setenv("PATH", str(tmp_path))
    put(tmp_path, {"depends": "no-such-egg\n"})
    assert survey.lacks(tmp_path) == []


CONF = """\
PACKAGE_NAME=duck
PACKAGE_VERSION=1.0
MAKE="echo; make X=`find /usr/src -maxdepth 1 -type d -name 'pond-*' -print`"
"""


def dkms_sees(folder: Path) -> str:
    conf = dkms.read(folder, dkms.Target("6.1.0-50-686", "i686", folder))
    assert dkms.named(folder, conf.make, conf) == [folder.parent / "pond-1.0"]
    return conf.make.partition("; ")[2]


def test_a_package_without_modules_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no dkms\.conf in usr/src"):
        survey.packages(tmp_path)


def test_a_name_that_is_neither_folder_nor_package_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = subprocess.CompletedProcess([], 100, "", "E: Unable to locate package no-duck\n")
    monkeypatch.setattr(subprocess, "run", lambda *words, **more: done)
    got = CliRunner().invoke(app, ["survey", "no-duck"])
    assert isinstance(got.exception, LabError)
    assert "no-duck is no folder, and `apt-get download -q no-duck` says: E: Unable" in str(
        got.exception
    )
