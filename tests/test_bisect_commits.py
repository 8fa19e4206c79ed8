"""Bisections over the commits of a project: what is planned of them, and what is said first."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import git_trees
import pytest
from git_trees import commit, git

from vmlab import lab
from vmlab import project as projects
from vmlab.artifacts import Artifacts
from vmlab.bisect import commits as bisect_commits
from vmlab.bisect import plan
from vmlab.bisect.evidence import Outcome
from vmlab.bisect.tester import Runs
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.errors import UsageError
from vmlab.sources import GitSource
from vmlab.sources.build import Options
from vmlab.sources.make import KernelBuildError


@pytest.fixture
def project(tmp_path):
    """A project whose module has a history of three commits."""
    folder = tmp_path / "project"
    (folder / "kmod" / "m").mkdir(parents=True)
    (folder / "scenarios").mkdir()
    (folder / "vmlab.yaml").write_text("")
    (folder / "scenarios" / "s.yaml").write_text(
        "name: s\nabout: x\nmodules: [m]\nsteps:\n  - insmod: m\n"
    )
    (folder / "kmod" / "m" / "Kbuild").write_text("obj-m += m.o\n")
    (folder / "Makefile").write_text("VERSION = 6\n")  # as far as it is taken for a kernel
    git(folder, "init", "-q")
    git(folder, "add", ".")
    commits = [commit(folder, number, "kmod/m/m.c") for number in range(3)]
    return projects.find(folder), commits


def plans(project, good: str, bad: str, **more: object) -> list[plan.Plan]:
    cache = Cache(project.root / "cache")
    wanted = plan.Wanted("s", good, bad, **more)  # type: ignore[arg-type]
    return plan.plans(project, Artifacts(cache, Catalog.open(cache)), wanted)


def test_the_modules_of_each_commit_are_built_and_today_s_left_alone(project):
    found, commits = project
    (found.root / "kmod" / "m" / "m.c").write_text("today's\n")
    (one,) = plans(found, commits[0], commits[2], modules=True, kernel="5.10.0-32-686")
    assert one.space.names == tuple(commits)
    assert isinstance(one.tester, Runs)
    texts = [
        (one.tester.subject(name).runner.project.modules / "m" / "m.c").read_text()
        for name in commits
    ]
    assert texts == ["0\n", "1\n", "2\n"]
    assert (found.root / "kmod" / "m" / "m.c").read_text() == "today's\n"
    assert one.closing and one.message and "change 1" in one.message(commits[1])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"modules": True, "kernel": "5.10*"}, "--modules bisects on one kernel"),
        ({"kernel": "5.10*"}, "--kernel is for --modules"),
        ({"kernel": "5.10*", "tree": Path("/nowhere")}, "--kernel is for --modules"),
        ({"tree": Path("/nowhere")}, "/nowhere is no directory"),
        ({"tree": Path("/nowhere"), "arch": "arm"}, "unknown architecture 'arm'"),
        ({"modules": True, "arch": "arm"}, "unknown architecture 'arm'"),
        ({"tree": Path("/nowhere"), "modules": True}, "--tree and --modules are two bisections"),
        ({"config": "distro"}, "--base and --fragment are for --tree"),
        ({"fragments": ("kasan",)}, "--base and --fragment are for --tree"),
    ],
)
def test_what_cannot_be_bisected_is_said_first(project, more, said):
    found, commits = project
    with pytest.raises(UsageError, match=said):
        plans(found, commits[0], commits[2], **more)


def test_modules_without_a_history_are_the_user_s_to_know(project):
    found, commits = project
    shutil.rmtree(found.root / ".git")
    with pytest.raises(UsageError, match=r"history of .*kmod is in no git repository"):
        plans(found, commits[0], commits[2], modules=True, kernel="5.10.0-32-686")


@pytest.mark.parametrize("more", [{"modules": True, "kernel": "5.10.0-32-686"}, {"arch": "i386"}])
def test_a_cluster_is_spoken_to_once_for_all_commits(project, monkeypatch, more):
    found, commits = project
    asked = []

    def cluster(options: lab.Options, artifacts: Artifacts) -> SimpleNamespace:
        asked.append(options.cluster)
        return SimpleNamespace(at_once=9, name="qemu")

    monkeypatch.setattr(lab, "_cluster", cluster)
    built = SimpleNamespace(kernel=SimpleNamespace(id="it"))
    monkeypatch.setattr(bisect_commits, "build", lambda *some: built)
    if "modules" not in more:
        more = more | {"tree": found.root}
    (one,) = plans(found, commits[0], commits[2], cluster="here:1", **more)
    assert isinstance(one.tester, Runs) and one.tester.jobs == 9
    backends = {id(one.tester.subject(name).runner.backend) for name in commits}
    assert asked == ["here:1"] and len(backends) == 1


def test_a_repository_of_no_kernel_is_said_before_anything_is_built(project, tmp_path):
    (tmp_path / "tree").mkdir()
    folder, commits = git_trees.straight(tmp_path / "tree")
    with pytest.raises(UsageError, match=r"is no kernel's source: looked at .*--modules bisects"):
        plans(project[0], commits[0], commits[2], tree=folder, arch="i386")


def test_another_workload_or_fragment_is_another_bisection(project):
    found, commits = project
    (found.root / "scenarios" / "workloads").mkdir()
    (found.root / "scenarios" / "s.yaml").write_text(
        "name: s\nabout: x\nmodules: [m]\nsteps:\n  - insmod: m\n  - run: w\n"
    )
    workload, fragment = found.root / "scenarios" / "workloads" / "w.c", found.root / "f.config"
    workload.write_text("int main(void) { return 0; }\n")
    fragment.write_text("CONFIG_A=y\n")

    def logs() -> list[Path]:
        more = {"tree": found.root, "arch": "i386", "fragments": (str(fragment),)}
        both = (
            plans(found, commits[0], commits[2], modules=True, kernel="5.10.0-32-686"),
            plans(found, commits[0], commits[2], **more),
        )
        return [one.log for (one,) in both]

    first = logs()
    assert logs() == first and first[0] != first[1]
    fragment.write_text("CONFIG_A=m\n")
    assert [one == other for one, other in zip(logs(), first, strict=True)] == [True, False]
    workload.write_text("int main(void) { return 1; }\n")
    assert [one == other for one, other in zip(logs(), first, strict=True)] == [False, False]


def test_each_commit_of_a_kernel_is_built_once_by_its_hash(project, monkeypatch):
    found, commits = project
    built = []

    def build(catalog: object, source: GitSource, options: Options) -> SimpleNamespace:
        built.append((source.revision, options.arch.name, options.config))
        if source.revision == commits[1]:
            raise KernelBuildError("it", "make", "m.c:1:1: error: what")
        return SimpleNamespace(kernel=SimpleNamespace(id=source.revision))

    monkeypatch.setattr(bisect_commits, "build", build)
    (one,) = plans(found, commits[0], commits[2], tree=found.root, arch="i386", config="tiny")
    assert isinstance(one.tester, Runs) and one.tester.builds
    assert one.tester.subject(commits[2]).kernel.id == commits[2]
    assert one.tester.subject(commits[2]).kernel.id == commits[2]
    (unbuilt,) = one.tester.run(commits[1], [0, 1])
    assert (unbuilt.outcome, unbuilt.build) == (Outcome.BUILD, "error: what")
    one.tester.ahead(commits[0])
    said: list[str] = []
    one.tester.finish(said.append)
    assert built == [(commits[at], "i386", "tiny") for at in (2, 1, 0)]
