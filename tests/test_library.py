"""vmlab as a library: what it exports, and that its pages' programs run."""

import inspect
import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from stand_in import StandInArtifacts, StandInCatalog

import vmlab
from vmlab import Lab, LabError, Results, Run, UsageError, Verdict, library
from vmlab.cache import Cache
from vmlab.known_failures import Held
from vmlab.verdict import Judgement

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "library.md"
NAMED = {"Lab": "lab", "Results": "results", "Guest": "guest"}


def programs(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def members(name: str):
    """Each public member of a class as the page writes it."""
    for member, value in vars(getattr(vmlab, name)).items():
        if member.startswith("_"):
            continue
        if inspect.isfunction(value):
            given = inspect.signature(value)
            bare = [one.replace(annotation=one.empty) for one in given.parameters.values()][1:]
            yield f"{NAMED[name]}.{member}{inspect.Signature(bare)}"
        else:
            yield f"{NAMED[name]}.{member}"


def test_what_is_exported_is_there_and_written_down():
    listed = sorted(name for names in vmlab._HOMES.values() for name in names)
    assert listed == sorted(vmlab.__all__)
    page = PAGE.read_text()
    for name in vmlab.__all__:
        assert getattr(vmlab, name).__name__ == name
        assert re.search(rf"`(Verdict\.)?{name}\b", page), name
    assert set(vmlab.__all__) <= set(dir(vmlab))
    with pytest.raises(AttributeError, match="nothing"):
        _ = vmlab.nothing


@pytest.mark.parametrize("name", NAMED)
def test_the_page_has_each_member_with_its_parameters(name):
    page = PAGE.read_text()
    assert [one for one in members(name) if f"`{one}`" not in page] == []


def test_the_page_has_all_options():
    listed = re.search(r"`Options\(([^)]*)\)`", PAGE.read_text())
    assert listed and re.findall(r"\w+", listed[1]) == [one.name for one in fields(vmlab.Options)]


def test_importing_it_imports_nothing():
    program = "import sys; before = set(sys.modules); import vmlab; print(*set(sys.modules)-before)"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [one for one in said.stdout.split() if one.startswith("vmlab")] == ["vmlab"]
    assert not {"pydantic", "pexpect", "yaml"} & set(said.stdout.split())


def a_run(name: str, verdict: Verdict) -> Run:
    return Run(name, "6.1", "i386", "qemu", Judgement(verdict, "why"), 1.0, 2.0, "nowhere")


@pytest.mark.parametrize(
    ("verdicts", "passed", "failures", "status"),
    [
        ("passed", True, "", 0),
        ("passed skipped", True, "", 0),
        ("skipped", False, "", 0),
        ("", False, "", 0),
        ("passed failed", False, "failed", 1),
        ("broken passed", False, "broken", 3),
    ],
)
def test_results_say_what_came_of_it(tmp_path, verdicts, passed, failures, status):
    results = Results(tuple(a_run(one, Verdict(one)) for one in verdicts.split()))
    assert (results.passed, results.exit_status) == (passed, status)
    assert [run.scenario for run in results.failures] == failures.split()
    assert [run.verdict for run in results] == verdicts.split()
    assert len(results[:1]) == min(1, len(results))
    assert all(one in results.table() for one in verdicts.split())
    results.write(json=tmp_path / "runs.json", ktap=str(tmp_path / "runs.ktap"))
    told = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert [one["reason"] for one in told] == ["why"] * len(results)
    assert (tmp_path / "runs.ktap").read_text().startswith("KTAP version 1")


@pytest.mark.parametrize(
    ("verdict", "state", "counts"),
    [("failed", "known", False), ("failed", "expired", True), ("passed", "passes", True),
     ("passed", "passes", False)],
)  # fmt: skip
def test_what_the_project_knows_to_fail_is_held_against_it_as_by_the_command(
    verdict, state, counts
):
    run = replace(a_run("one", Verdict(verdict)), held=Held(state, "why", "2030-01-01", counts))
    results = Results((run, a_run("two", Verdict.PASSED)))
    assert (results.passed, results.exit_status) == (not counts, int(counts))
    assert results.failures == ([run] if counts else [])


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "vmlab.yaml").write_text("kernels: 6.1.*\n")
    (tmp_path / "scenarios").mkdir()
    for name in ("one", "two"):
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(
            f"name: {name}\nabout: x\nsteps:\n  - sleep: 1s\n"
            "skip_if:\n  - {kernel: all, reason: not here}\n"
        )
    return tmp_path


def a_lab(project: Path, monkeypatch) -> Lab:
    monkeypatch.setenv("VMLAB_KERNELS", str(project / "kernels"))  # and not the user's own
    monkeypatch.setattr(library, "Artifacts", StandInArtifacts)
    monkeypatch.setattr(library, "Catalog", StandInCatalog)
    return Lab(project, cache=project / "cache")


def test_a_lab_runs_what_the_command_would(project, monkeypatch):
    lab = a_lab(project / "scenarios", monkeypatch)
    assert (lab.root, lab.scenarios()) == (project, ["one", "two"])
    kernels = [kernel.id for kernel in lab.kernels()]
    assert kernels == [kernel.id for kernel in lab.kernels("6.1.*")] and len(kernels) > 1
    every = lab.run()
    assert [(run.scenario, run.kernel) for run in every] == [
        (name, kernel) for name in ("one", "two") for kernel in kernels
    ]
    assert {run.verdict for run in every} == {Verdict.SKIPPED}
    assert [run.kernel for run in lab.run("t*", kernels=kernels[:1])] == kernels[:1]
    assert next(iter(lab.each(["one"], kernels[0], jobs=1))).scenario == "one"
    with pytest.raises(UsageError, match="no scenario"):
        lab.run(tags=["none"])


def test_kernels_are_words_or_what_the_lab_gave_and_none_is_not_all(project, monkeypatch):
    lab = a_lab(project, monkeypatch)
    first, second = lab.kernels()[:2]
    for wanted in ([first, second.id], f"{first.id},{second.id}", (first, second)):
        assert [run.kernel for run in lab.run("one", wanted)] == [first.id, second.id]
    assert [run.kernel for run in lab.each("one", first)] == [first.id]
    with pytest.raises(UsageError, match="kernels is empty: name some"):
        lab.run("one", [])
    for refused in (lambda: lab.kernels(""), lambda: lab.run("one", "")):
        with pytest.raises(UsageError, match="no kernel is meant by ''"):
            refused()


def test_each_call_tries_anew_what_could_not_be_made(project, monkeypatch):
    lab = a_lab(project, monkeypatch)
    lab._artifacts._refused["key"] = LabError("no network")
    lab.run("one")
    assert lab._artifacts._refused == {}


def test_fewer_guests_at_once_than_none_are_refused(project, monkeypatch):
    lab = a_lab(project, monkeypatch)
    for refused in (lab.run, lab.each):
        with pytest.raises(UsageError, match="jobs=-1 is less than none"):
            refused("one", jobs=-1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"kernel": "6.*"}, "one kernel is wanted"),
        ({"kernel": "nothing"}, "no kernel is meant"),
        ({"memory": "much"}, "no size of memory"),
        ({"memory": "1M"}, "not between"),
        ({"cpus": 0}, "cpus=0 is not between 1 and 8"),
        ({"cpus": 9}, "cpus=9 is not between"),
        ({"clock": "wall"}, "clock='wall' is none; there are virtual, real"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"kernel": ""}, "no kernel is meant by ''"),
    ],
)
def test_a_guest_that_cannot_be_meant_is_refused(project, monkeypatch, words, said):
    with pytest.raises(UsageError, match=said):
        a_lab(project, monkeypatch).guest(**words)


def test_the_kernel_without_one_is_the_project_s_newest(project, monkeypatch):
    lab = a_lab(project, monkeypatch)
    assert lab._kernel(None).id == "6.1.0-50-amd64"
    (project / "vmlab.yaml").write_text("kernels: arch=i386\n")
    assert a_lab(project, monkeypatch)._kernel(None).id == "6.1.0-50-686"


def test_without_a_project_there_are_plain_guests_and_no_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lab = Lab(cache=tmp_path / "cache")
    assert (lab.root, lab.scenarios(), lab.build()) == (tmp_path, [], {})
    with pytest.raises(UsageError, match="no scenario"):
        lab.run()
    with pytest.raises(UsageError, match=r"no vmlab\.yaml"):
        Lab(tmp_path)


def test_the_cache_is_the_command_s_own_without_another(project, monkeypatch):
    assert Lab(project)._artifacts.cache.root == Cache.default().root


@pytest.mark.guest
@pytest.mark.parametrize("page", [PAGE, ROOT / "README.md"], ids=lambda page: page.stem)
def test_the_pages_programs_run_as_they_stand(tmp_path, page):
    for name in ("kmod", "scenarios"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "vmlab.yaml").touch()
    assert programs(page)
    for program in programs(page):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, (program, done.stdout, done.stderr)
