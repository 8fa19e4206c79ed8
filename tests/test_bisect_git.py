"""Bisections over commits: the range that git would take, and nothing of the user's touched."""

import os
import subprocess
import time
from pathlib import Path

import git_trees
import pytest
from git_trees import commit, git
from simulated import Fake

from vmlab.bisect import drive, engine, gitrepo
from vmlab.bisect.engine import Rules
from vmlab.bisect.evidence import Match, Outcome
from vmlab.bisect.gitrepo import Repository
from vmlab.bisect.journal import Journal
from vmlab.bisect.space import graph
from vmlab.bisect.tester import Runs
from vmlab.errors import UsageError
from vmlab.sources import git as sources_git


@pytest.fixture
def straight(tmp_path):
    return git_trees.straight(tmp_path)


@pytest.fixture
def forked(tmp_path):
    """0 - 1 - 2 - 3 - merge - 9, and 4 - 5 from 0 into the merge."""
    git(tmp_path, "init", "-q")
    main = [commit(tmp_path, number) for number in range(4)]
    git(tmp_path, "checkout", "-qb", "side", main[0])
    side = [commit(tmp_path, number, "other") for number in (4, 5)]
    git(tmp_path, "checkout", "-q", "main")
    git(tmp_path, "merge", "-q", "--no-ff", "-m", "merge", "side")
    merge = git(tmp_path, "rev-parse", "HEAD")
    return tmp_path, [*main, *side, merge, commit(tmp_path, 9)]


def replayed(folder: Path, log: str) -> str:
    """What git says of a log."""
    file = folder.parent / "bisect.log"
    file.write_text(log)
    try:
        words = ["git", "bisect", "replay", str(file)]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 2), done.stderr  # 2: only skipped ones are left
        return done.stdout
    finally:
        git(folder, "bisect", "reset")


@pytest.mark.parametrize("first", range(1, 8))
def test_git_replays_the_log_and_comes_to_the_same(forked, first, tmp_path_factory):
    folder, commits = forked
    repository = Repository(folder)
    space = graph(gitrepo.parents(repository, commits[0], commits[-1]))
    place = space.names.index(commits[first])
    fake = Fake(
        lambda name, seed: (
            Outcome.BAD if space.bad[place, space.names.index(name)] else Outcome.GOOD
        )
    )
    rules = Rules(always=True)
    journal = Journal.of(tmp_path_factory.mktemp("journal"), {})
    journal.begin()
    result = drive.bisect(space, fake, rules, journal)
    assert [space.names[one] for one in result.answer.first] == [commits[first]]
    states = engine.states(space, result.evidence, rules)
    subjects = repository.subjects(commits[0], commits[-1])
    said = replayed(folder, gitrepo.log(space.names, subjects, states))
    assert f"{commits[first]} is the first bad commit" in said


def test_git_is_told_what_cannot_be_tested(straight):
    folder, commits = straight
    space = graph(gitrepo.parents(Repository(folder), commits[0], commits[-1]))
    answers = {commits[5]: Outcome.UNTESTABLE}
    fake = Fake(
        lambda name, seed: answers.get(
            name, Outcome.BAD if space.names.index(name) >= 6 else Outcome.GOOD
        )
    )
    journal = Journal(folder / "journal", {})
    journal.begin()
    result = drive.bisect(space, fake, Rules(always=True), journal)
    assert [space.names[one] for one in result.answer.first][-1] == commits[6]
    log = gitrepo.log(space.names, {}, engine.states(space, result.evidence, result.rules))
    assert f"git bisect skip {commits[5]}" in log
    said = replayed(folder, log)
    assert "There are only 'skip'ped commits left to test." in said
    assert commits[5] in said and commits[6] in said


@pytest.mark.parametrize("places", [1, 4])
@pytest.mark.parametrize("folder", ["", "a folder's"])
def test_git_replays_a_log_of_many_at_once_and_of_a_folder(
    forked, places, folder, tmp_path_factory
):
    """What is asked beside the first is out of order, and other commits are none of the range."""
    root, commits = forked
    if folder:
        (root / folder).mkdir()
    name = f"{folder}/file" if folder else "file"
    for number in range(20, 44):
        commits.append(commit(root, number, name if number % 2 else "other"))
    good, repository = commits[0], Repository(root)
    space = graph(gitrepo.parents(repository, good, commits[-1], folder))
    place = len(space.names) // 3
    fake = Fake(
        lambda name, seed: (
            Outcome.BAD if space.bad[place, space.names.index(name)] else Outcome.GOOD
        ),
        places=places,
    )
    journal = Journal.of(tmp_path_factory.mktemp("journal"), {})
    journal.begin()
    result = drive.bisect(space, fake, Rules(always=True), journal)
    narrow = gitrepo.narrowing(repository, good, commits[-1], folder)
    assert (narrow.options, narrow.paths) == ((), ("--", folder) if folder else ())
    states = engine.states(space, result.evidence, result.rules)
    said = replayed(root, gitrepo.log(space.names, {}, states, narrow))
    assert f"{space.names[place]} is the first bad commit" in said


def test_git_is_told_the_earliest_bad_one_last(straight):
    """Places beside the first one end in any order, and git keeps the last bad one."""
    folder, commits = straight
    states = [(6, "bad"), (4, "bad"), (9, "bad"), (3, "good"), (1, "good")]
    said = replayed(folder, gitrepo.log(commits, {}, states))
    assert f"{commits[4]} is the first bad commit" in said


def test_git_takes_the_first_parents_of_a_long_range_as_the_lab_does(forked, monkeypatch):
    """The merge is the first bad one: its side is not asked of."""
    folder, commits = forked
    monkeypatch.setattr(gitrepo, "LARGEST", 3)
    repository = Repository(folder)
    space = graph(gitrepo.parents(repository, commits[0], commits[-1]))
    at = space.names.index(commits[6])
    narrow = gitrepo.narrowing(repository, commits[0], commits[-1])
    log = gitrepo.log(space.names, {}, [(at, "bad"), (at - 1, "good")], narrow)
    assert f"{commits[6]} is the first bad commit" in replayed(folder, log)


def test_the_candidates_are_those_that_git_takes(forked):
    folder, commits = forked
    found = gitrepo.parents(Repository(folder), commits[0], commits[-1])
    assert next(iter(found)) == commits[0] and list(found)[-1] == commits[-1]
    assert set(found) == set(commits)
    assert set(found[commits[6]]) == {commits[3], commits[5]}
    of_other = gitrepo.parents(Repository(folder), commits[0], commits[-1], "other")
    assert set(of_other) == {commits[0], commits[4], commits[5]}


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (9, 2, r"are they swapped\? then it is --good {2} --bad {9}"),
        (3, 3, "both ends are {3}"),
        (3, 5, "they forked at {0}: if that is good, it is --good {0} --bad {5}"),
    ],
    ids=["swapped", "equal", "no ancestor"],
)
def test_ends_that_are_none_are_named_with_the_right_command(forked, straight, good, bad, said):
    folder, commits = straight if good == 9 else forked
    if good != 9:
        folder, commits = forked
    names = {str(at): one[:12] for at, one in enumerate(commits)}
    for at, name in names.items():
        said = said.replace("{" + at + "}", name)
    with pytest.raises(UsageError, match=said):
        gitrepo.parents(Repository(folder), commits[good], commits[bad])


def test_a_revision_that_is_none_is_named(straight):
    with pytest.raises(UsageError, match="has no commit 'v9'"):
        Repository(straight[0]).commit("v9")


def test_a_commit_without_the_folder_cannot_be_tested(straight, tmp_path_factory):
    """It is as one that does not build, and no trouble of the lab's."""
    folder, commits = straight
    (folder / "kmod").mkdir()
    later = commit(folder, 12, "kmod/m.c")
    repository, target = Repository(folder), tmp_path_factory.mktemp("files")
    assert (repository.files(later, "kmod", target) / "m.c").read_text() == "12\n"
    runs = Runs(lambda name: repository.files(name, "kmod", target), Match())  # type: ignore[arg-type,return-value]
    (seen,) = runs.run(commits[3], [0])
    assert (seen.outcome, seen.reason) == (
        Outcome.BUILD, f"{commits[3][:12]} has no directory kmod",
    )  # fmt: skip


def test_a_dirty_tree_is_only_read(straight, tmp_path_factory):
    folder, commits = straight
    (folder / "file").write_text("not committed\n")
    (folder / "new").write_text("not known\n")
    before = git(folder, "status", "--porcelain"), git(folder, "rev-parse", "HEAD")
    target = tmp_path_factory.mktemp("files")
    made = Repository(folder).files(commits[3], "", target)
    assert (made / "file").read_text() == "3\n"
    gitrepo.parents(Repository(folder), commits[0], commits[-1])
    assert before == (git(folder, "status", "--porcelain"), git(folder, "rev-parse", "HEAD"))
    assert (folder / "file").read_text() == "not committed\n"
    assert git(folder, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_file_that_a_kernel_links_to_keeps_its_time_in_the_next_check_out(
    straight, tmp_path_factory
):
    """Else each step of a bisection compiles the whole kernel."""
    folder, _ = straight
    (folder / "header.h").write_text("the same in both\n")
    git(folder, "add", ".")
    commits = [commit(folder, number) for number in (12, 13)]
    place = tmp_path_factory.mktemp("place")
    (place / "kernel").mkdir()
    tree = place / "tree"
    for at, name in enumerate(commits):
        sources_git.check_out(sources_git.repository(folder), name, place)
        assert (tree / "file").read_text() == f"{12 + at}\n"
        header = (tree / "header.h").stat()
        if at == 0:
            # Git compares whole seconds, and mistrusts what is as old as its index.
            later = time.time() + 5
            os.utime(place / "index", (later, later))
            time.sleep(1.1)
            os.link(tree / "header.h", place / "kernel" / "header.h")
            first = header
    assert (header.st_ino, header.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_no_common_history_is_said(straight):
    folder, commits = straight
    git(folder, "checkout", "-q", "--orphan", "alone")
    alone = commit(folder, 99)
    with pytest.raises(UsageError, match="no common history"):
        gitrepo.parents(Repository(folder), commits[0], alone)
