"""Merging: nothing is lost, nothing counted twice, and no two projects become one."""

import json
import shutil

import pytest
import told_runs
from told_runs import record
from typer.testing import CliRunner

from vmlab.about import About
from vmlab.cli import app
from vmlab.errors import UsageError
from vmlab.merge import merged, read
from vmlab.report import told


def part(folder, *records, shard=None, wanted=None, project="ring", identity="aa"):
    """A directory as `vmlab run` leaves it."""
    folder.mkdir()
    for one in records:
        place = folder / f"{one['scenario']}-{one['kernel']}"
        told_runs.write(place, one)
        for path in (place / "000").iterdir():
            path.rename(place / path.name)
        (place / "000").rmdir()
    pairs = wanted or [(one["scenario"], one["kernel"]) for one in records]
    About(project=project, identity=identity, shard=shard, wanted=pairs).write(folder)
    return folder


def merge(*folders):
    return merged([read(folder) for folder in folders])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shards_become_the_whole(here):
    one = part(here / "one", record("loads"), record("waits", "failed"), shard=(1, 2))
    two = part(here / "two", record("counts"), shard=(2, 2))
    done = CliRunner().invoke(app, ["merge", "one", "two", "--to", "all", "--junit", "all.xml"])
    assert done.exit_code == 1, done.exception
    assert done.stdout == "ring: 3 runs, 1 failed, 2 passed: all\n"
    whole = told.of_directory(here / "all")
    assert [run.scenario for run in whole.runs] == ["counts", "loads", "waits"]
    for folder in (one, two):
        for path in folder.glob("*/*"):
            assert (here / "all" / path.relative_to(folder)).read_bytes() == path.read_bytes()
    assert 'tests="3" failures="1"' in (here / "all.xml").read_text()
    again = CliRunner().invoke(app, ["merge", "one", "--to", "all"])
    assert "that is there already" in str(again.exception)
    assert merge(here / "all").twice == 0
    again = CliRunner().invoke(app, ["merge", "one", "all", "--to", "more"])
    assert "2 runs are there more than once, the same to the byte" in again.stderr
    again = CliRunner().invoke(app, ["merge", "one", "tow"])
    assert str(again.exception) == "there is no directory tow"


def test_what_is_there_twice_is_taken_once(here):
    one = part(here / "one", record("loads"), record("waits"))
    shutil.copytree(one, here / "copy")
    found = merge(one, here / "copy")
    assert (sorted(found.runs), found.twice, found.differing) == (
        ["loads-6.1-686", "waits-6.1-686"], 2, [],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "differing"),
    [
        ({"token": "vm1:loads:y"}, [("loads", "6.1-686")]),  # the same inputs gave something else
        ({"token": "vm1:loads:y", "seed": 8}, []),
        ({"token": "vm1:loads:y", "inputs": {"program": "cd"}}, []),
    ],
)
def test_runs_that_differ_are_all_kept(here, more, differing):
    one = part(here / "one", record("loads"))
    two = part(here / "two", record("loads", "failed", **more))
    found = merge(one, two)
    assert sorted(found.runs) == ["loads-6.1-686", "loads-6.1-686~2"]
    assert found.differing == differing


def test_a_copy_whose_console_was_changed_since_is_no_copy(here):
    one = part(here / "one", record("loads"))
    shutil.copytree(one, here / "copy")
    with (here / "copy" / "loads-6.1-686" / "console").open("a") as console:
        console.write("more\n")
    found = merge(one, here / "copy")
    assert (found.twice, found.differing, len(found.runs)) == (0, [("loads", "6.1-686")], 2)


def test_results_of_different_projects_are_refused_and_named(here):
    one, two = part(here / "one"), part(here / "two", project="disk", identity="bb")
    with pytest.raises(UsageError) as error:
        merge(one, two)
    said = str(error.value)
    assert "different projects" in said
    assert f"{one}: ring (aa)" in said and f"{two}: disk (bb)" in said
    assert not (here / "vmlab-out").exists()


def test_what_is_missing_is_said_and_is_not_fine(here):
    part(here / "one", record("loads"), shard=(1, 3), wanted=[("loads", "6.1-686"), ("b", "6.1")])
    part(here / "three", shard=(3, 3))
    done = CliRunner().invoke(app, ["merge", "one", "three", "--to", "all"])
    assert done.exit_code == 3
    assert "missing: shard 2/3\nmissing: b on 6.1\n" in done.stderr
    assert "ring: 1 run, 1 passed: all" in done.stdout


def test_a_run_that_another_command_did_is_not_missing(here):
    """One was stopped, and what it left was run again."""
    one = part(here / "one", record("loads"), wanted=[("loads", "6.1-686"), ("waits", "6.1-686")])
    two = part(here / "two", record("waits"))
    assert merge(one, two).missing == []


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"project": 1, "identity": "x"}'])
def test_a_directory_that_does_not_say_whose_it_is_is_refused(here, content):
    one = part(here / "one", record("loads"))
    (one / "about.json").unlink()
    if content is not None:
        (one / "about.json").write_text(content)
    with pytest.raises(UsageError, match=r"about\.json"):
        merge(one)


def test_a_run_s_about_says_what_was_wanted(here):
    (here / "vmlab.yaml").write_text("name: mine\n")
    (here / "scenarios").mkdir()
    (here / "scenarios" / "one.yaml").write_text(
        "name: one\nabout: x\nskip_if:\n  - kernel: all\n    reason: not here\n"
        "steps:\n  - sleep: 1s\n"
    )
    kernel = "6.1.0-50-686"
    done = CliRunner().invoke(app, ["run", "--kernel", kernel, "--shard", "1/1"])
    assert done.exit_code == 0
    (path,) = here.glob("vmlab-out/*/about.json")
    said = json.loads(path.read_text())
    assert (said["project"], said["shard"], said["wanted"]) == ("mine", [1, 1], [["one", kernel]])
    assert merge(path.parent).missing == []
