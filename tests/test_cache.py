import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_qemu import eventually
from typer.testing import CliRunner

from vmlab.cache import Cache, content_key
from vmlab.cli import app
from vmlab.errors import LabError, UsageError


def fill(text: str):
    def make(path: Path) -> None:
        (path / "file").write_text(text)

    return make


def test_a_directory_is_made_once(tmp_path):
    cache = Cache(tmp_path)
    first = cache.get("kind", "key", fill("one"))
    assert cache.get("kind", "key", fill("two")) == first
    assert (first / "file").read_text() == "one"


def test_a_maker_that_fails_leaves_nothing(tmp_path):
    def make(path: Path) -> None:
        (path / "half").write_text("x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Cache(tmp_path).get("kind", "key", make)
    assert Cache(tmp_path).find("kind", "key") is None
    assert [path.name for path in (tmp_path / "kind").iterdir() if path.is_dir()] == []


MAKER = """
import sys, time
from pathlib import Path
from vmlab.cache import Cache
def make(path):
    (path / "half").write_text("x")
    print("half", flush=True)
    time.sleep(float(sys.argv[2]))
    (path / "whole").write_text("x")
Cache(Path(sys.argv[1])).get("kind", "key", make)
print("done", flush=True)
"""


def maker(root: Path, seconds: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(root), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_a_killed_maker_leaves_nothing_that_is_taken_as_whole(tmp_path):
    with maker(tmp_path, 60) as killed:
        assert killed.stdout.readline() == "half\n"
        os.kill(killed.pid, signal.SIGKILL)
    cache = Cache(tmp_path)
    assert cache.find("kind", "key") is None
    made = cache.get("kind", "key", fill("whole"))
    assert [path.name for path in made.iterdir()] == ["file"]
    assert [path.name for path in made.parent.iterdir() if path.is_dir()] == ["key"]


def test_a_second_process_waits_for_the_first_and_takes_what_it_made(tmp_path):
    with maker(tmp_path, 0.5) as first:
        assert first.stdout.readline() == "half\n"
        made = Cache(tmp_path).get("kind", "key", fill("second"))
        assert sorted(path.name for path in made.iterdir()) == ["half", "whole"]
        assert first.stdout.read() == "done\n"


@pytest.fixture
def waits(tmp_path, monkeypatch):
    """A cache whose key somebody else is making, and what it says."""
    monkeypatch.setattr("vmlab.cache._PATIENT_S", 0.1)
    monkeypatch.setattr("vmlab.cache._LOOK_S", 0.05)
    cache, said = Cache(tmp_path), []
    cache.say = said.append
    return cache, said


def test_who_waits_for_another_process_is_told_so_and_can_be_stopped(waits, tmp_path):
    cache, said = waits
    with maker(tmp_path, 60) as other, ThreadPoolExecutor(1) as pool:
        assert other.stdout.readline() == "half\n"
        waiting = pool.submit(cache.get, "kind", "key", fill("mine"))
        assert eventually(lambda: said)
        cache.end_waits()
        with pytest.raises(LabError, match="the lab was stopped"):
            waiting.result(20)
        other.kill()
    assert said == ["waiting for another vmlab, which is making kind/key"]
    assert [path.name for path in cache.get("kind", "key", fill("mine")).iterdir()] == ["file"]


def test_who_waits_for_a_thread_of_its_own_process_is_told_nothing(waits):
    cache, said = waits
    go_on, begun = threading.Event(), threading.Event()

    def slow(directory: Path) -> None:
        begun.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get, "kind", "key", slow)
        assert begun.wait(20)
        second = pool.submit(cache.get, "kind", "key", fill("second"))
        time.sleep(0.5)
        go_on.set()
        assert first.result(20) == second.result(20)
    assert said == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [(28, r"no space left on device; free some space"), (30, "read-only file system; make it")],
)
def test_a_disk_that_cannot_be_written_is_explained(tmp_path, number, expected):
    def make(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(LabError, match=expected):
        Cache(tmp_path).get("kind", "key", make)


def test_a_file_in_the_place_of_the_cache_is_explained(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(LabError, match="VMLAB_CACHE"):
        Cache(tmp_path / "cache").get("kind", "key", fill("x"))


def test_prune_takes_what_was_not_used_for_long(tmp_path):
    cache = Cache(tmp_path)
    old, new = cache.get("kind", "old", fill("o")), cache.get("kind", "new", fill("n"))
    os.utime(old, (0, time.time() - 1000))
    assert [entry.key for entry in cache.prune(500, dry_run=True)] == ["old"]
    assert old.is_dir()
    assert [entry.key for entry in cache.prune(500, dry_run=False)] == ["old"]
    assert not old.exists() and new.is_dir()
    assert [entry.key for entry in cache.prune(None, dry_run=False)] == ["new"]
    assert cache.entries() == []


def test_prune_takes_what_a_killed_maker_left_and_not_what_is_under_way(tmp_path):
    cache = Cache(tmp_path)
    with maker(tmp_path, 60) as living:
        assert living.stdout.readline() == "half\n"
        assert [(one.kind, one.key, one.whole) for one in cache.unfinished()] == [
            ("kind", "key", False)
        ]
        assert cache.prune(500, dry_run=False) == []
        os.kill(living.pid, signal.SIGKILL)
    (left,) = cache.prune(500, dry_run=True)
    assert left.path.is_dir()
    assert cache.prune(500, dry_run=False) == [left]
    assert not left.path.exists() and cache.unfinished() == []


def test_prune_leaves_what_was_used_while_it_waited_for_the_lock(tmp_path, monkeypatch):
    cache = Cache(tmp_path)
    path = cache.get("kind", "key", fill("x"))
    os.utime(path, (0, time.time() - 1000))
    inner = cache._locked

    def used_meanwhile(kind, key):
        os.utime(path)
        return inner(kind, key)

    monkeypatch.setattr(cache, "_locked", used_meanwhile)
    assert cache.prune(500, dry_run=False) == []
    assert path.is_dir()


def test_the_commands_tell_what_is_half_made(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_CACHE", str(tmp_path))
    (tmp_path / "kind" / ".making-some-key-abcd1234").mkdir(parents=True)
    said = CliRunner().invoke(app, ["cache", "show"]).output
    assert "1 half-made, 0.0 MB" in said
    said = CliRunner().invoke(app, ["cache", "prune", "--older", "30d"]).output
    assert "kind some-key (half-made)" in said
    assert "half-made" not in CliRunner().invoke(app, ["cache", "show"]).output


def test_the_default_is_what_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_CACHE", str(tmp_path / "here"))
    assert Cache.default().root == tmp_path / "here"


def test_a_key_depends_on_order_and_borders():
    keys = {content_key("a", "bc"), content_key("ab", "c"), content_key("bc", "a")}
    assert len(keys) == 3
    assert content_key("a", b"bc") in keys


def test_the_whole_cache_goes_only_where_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("VMLAB_CACHE", str(tmp_path))
    Cache(tmp_path).get("kind", "key", lambda directory: None)
    for words in ([], ["--dry-run"], ["--all", "--older", "30d"]):
        refused = CliRunner().invoke(app, ["cache", "prune", *words]).exception
        assert isinstance(refused, UsageError) and "--all" in str(refused), words
    assert len(Cache(tmp_path).entries()) == 1
    assert CliRunner().invoke(app, ["cache", "prune", "--all"]).exit_code == 0
    assert Cache(tmp_path).entries() == []


def test_the_cache_goes_by_its_real_name(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("VMLAB_CACHE", str(tmp_path / "link"))
    assert Cache.default().root == (tmp_path / "real").resolve()
