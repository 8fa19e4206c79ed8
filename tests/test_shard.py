"""Shards: each run is in one of them, on whichever machine that is asked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from vmlab.cli import app
from vmlab.errors import UsageError
from vmlab.shard import Shard, by_name, by_time, parse


class Named:
    def __init__(self, name: str) -> None:
        self.name = self.id = name


def pairs(count: int, kernels: int = 2):
    return [(Named(f"s{n}"), Named(f"k{k}")) for n in range(count) for k in range(kernels)]


def names(some) -> list[tuple[str, str]]:
    return [(one.name, kernel.id) for one, kernel in some]


@given(st.integers(0, 30), st.integers(1, 9), st.dictionaries(st.integers(0, 40), st.floats(0, 99)))
def test_each_run_is_in_one_shard_and_in_the_matrix_s_order(count, of, known):
    every = pairs(count)
    seconds = {(f"s{n}", "k0"): value for n, value in known.items()}
    for deal in (by_name, lambda some, shard: by_time(some, shard, seconds)):
        parts = [names(deal(every, Shard(number + 1, of))) for number in range(of)]
        assert sorted(one for part in parts for one in part) == sorted(names(every))
        assert all(part == [one for one in names(every) if one in part] for part in parts)


def test_a_name_s_shard_never_changes():
    """Nightly runs on several machines rely on it: these stay."""
    some = names(by_name(pairs(5), Shard(2, 3)))
    more = [*pairs(5), (Named("more"), Named("k9"))]
    assert some == names(by_name(more, Shard(2, 3)))[: len(some)]
    assert some == [("s4", "k1")]


def test_times_are_dealt_evenly():
    seconds = {("s0", "k0"): 8.0, ("s1", "k0"): 5.0, ("s2", "k0"): 4.0, ("s3", "k0"): 3.0}
    some = pairs(4, 1)
    loads = [
        sum(seconds[key] for key in names(by_time(some, Shard(number, 2), seconds)))
        for number in (1, 2)
    ]
    assert loads == [11.0, 9.0]


def test_what_is_not_known_counts_as_one_of_the_middle():
    seconds = {("s0", "k0"): 2.0, ("s1", "k0"): 10.0, ("s2", "k0"): 2.0}
    assert ("s3", "k0") in names(by_time(pairs(4, 1), Shard(2, 2), seconds))


@pytest.mark.parametrize("text", ["", "0/5", "6/5", "2", "2/0", "a/b", "-1/5", "1/5/2"])
def test_what_is_no_shard(text):
    with pytest.raises(UsageError, match="is none"):
        parse(text)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vmlab.yaml").write_text("")
    (tmp_path / "scenarios").mkdir()
    for number in range(5):
        (tmp_path / "scenarios" / f"s{number}.yaml").write_text(
            f"name: s{number}\nabout: x\nskip_if:\n  - kernel: all\n    reason: not here\n"
            "steps:\n  - sleep: 1s\n"
        )
    return tmp_path


def run(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["run", "--json", "out.json", *words])
    assert done.exit_code == 0, done.exception or done.output
    with open("out.json") as file:
        return [one["scenario"] + one["kernel"] for one in json.load(file)["runs"]]


def test_shards_of_a_command_are_the_whole(project):
    parts = [run("--shard", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(one for part in parts for one in part) == sorted(run())


def test_shards_by_times_need_the_same_file(project):
    one = {"scenario": "s0", "kernel": "x", "explored": False, "median_s": 2.0}
    (project / "times").write_text(json.dumps({"history": [one]}))
    parts = [run("--shard", f"{n}/2", "--shard-times", "times") for n in (1, 2)]
    assert abs(len(parts[0]) - len(parts[1])) <= 1
    (project / "times").write_text("[]")
    bad = CliRunner().invoke(app, ["run", "--shard", "1/2", "--shard-times", "times"])
    assert "name a file that `vmlab history --json` printed" in str(bad.exception)
    (project / "times").write_text("{}")
    bad = CliRunner().invoke(app, ["run", "--shard", "1/2", "--shard-times", "times"])
    assert "times: it has no 'history'; name a file" in str(bad.exception)
    alone = CliRunner().invoke(app, ["run", "--shard-times", "times"])
    assert "give that too, as 2/5" in str(alone.exception)
