"""`vmlab ci`: the files are what GitHub and GitLab take, and their commands do what they say."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner
from workflows import Machine, github, gitlab

from vmlab.cache import Cache
from vmlab.ci import keys
from vmlab.ci.workflow import requirement
from vmlab.cli import app, ci
from vmlab.packages import needed

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "tally"
PLACES = {"github": ".github/workflows/vmlab.yml", "gitlab": ".gitlab-ci.yml"}
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An outside project in a repository of its own, with no workflow."""
    place = tmp_path / "project"
    shutil.copytree(EXAMPLE, place, ignore=shutil.ignore_patterns(".github", "vmlab-out"))
    subprocess.run(["git", "init", "-q", place], check=True)
    monkeypatch.chdir(place)
    monkeypatch.setenv("VMLAB_CACHE", str(tmp_path / "cache"))
    return place


def vmlab(*words: str) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*words: str) -> str:
    """What a command says that cannot be meant."""
    done = CliRunner().invoke(app, words)
    assert getattr(done.exception, "exit_status", 0) == 2, done
    return str(done.exception)


def schema_errors(service: str, file: Path) -> str:
    pytest.importorskip("check_jsonschema", reason="it brings the schemas: pip install it")
    words = ["-m", "check_jsonschema", "--builtin-schema", SCHEMAS[service], str(file)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("service", PLACES)
def test_the_file_is_as_the_schema_says_and_a_wrong_one_is_not(project, service):
    assert vmlab("ci", service).startswith(f"wrote {project / PLACES[service]}\n")
    file = project / PLACES[service]
    assert schema_errors(service, file) == ""
    wrong = project / "wrong.yml"
    wrong.write_text(file.read_text().replace("[run, report]", "5").replace("runs-on:", "runs:"))
    assert schema_errors(service, wrong) != ""


@pytest.mark.parametrize("service", PLACES)
def test_nothing_is_overwritten(project, service):
    file = project / PLACES[service]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    said = refused("ci", service)
    assert f"{file} is there already, and stays; " in said and "--output" in said
    assert file.read_text() == "mine"
    assert vmlab("ci", service, "--output", "other.yml").startswith("wrote other.yml")


def test_what_cannot_be_meant_is_refused_and_nothing_is_written(project, monkeypatch):
    assert "there are github, gitlab" in refused("ci", "jenkins")
    assert "no kernel is meant by '99'" in refused("ci", "github", "--kernel", "99")
    monkeypatch.chdir(project.parent)
    assert "no vmlab.yaml" in refused("ci", "github")
    assert not (project / ".github").exists()


@pytest.mark.parametrize("service", PLACES)
def test_the_options_arrive(project, service):
    words = ("--kernel", "6.1.*,5.10*", "--shards", "3", "--install", "it's here")
    text = vmlab("ci", service, *words, "--output", "-")
    made = yaml.safe_load(text)
    shells = text.replace("''", "'") if service == "gitlab" else text
    assert "\"$HOME/vmlab/bin/pip\" install -q 'it'\"'\"'s here'" in shells
    if service == "github":
        assert made["env"]["KERNELS"] == "6.1.*,5.10*"
        assert made["jobs"]["run"]["strategy"]["matrix"]["shard"] == [1, 2, 3]
        assert "--shard ${{ matrix.shard }}/3 " in text
    else:
        assert made[".vmlab"]["variables"]["KERNELS"] == "6.1.*,5.10*"
        assert made["vmlab-run"]["parallel"] == 3
    assert f" {' '.join(needed())}\n" in text


@pytest.mark.parametrize("service", PLACES)
def test_a_project_in_a_folder_of_its_repository(project, service, monkeypatch):
    folder = project / "a folder"
    shutil.copytree(EXAMPLE / "scenarios", folder / "scenarios")
    (folder / "vmlab.yaml").touch()
    monkeypatch.chdir(folder)
    vmlab("ci", service)
    made = yaml.safe_load((project / PLACES[service]).read_text())
    if service == "github":
        assert made["defaults"]["run"]["working-directory"] == "a folder"
        assert made["jobs"]["run"]["steps"][-1]["with"]["path"] == "a folder/vmlab-out"
    else:
        assert made[".vmlab"]["before_script"][-1] == "cd 'a folder'"
        assert made["vmlab-run"]["artifacts"]["paths"] == ["a folder/shards"]


@pytest.mark.parametrize("service", PLACES)
def test_git_can_fetch_by_https_what_pip_installs(project, service):
    """Debian's git only recommends certificates, and the image has none."""
    text = vmlab("ci", service, "--install", "git+https://example.org/vmlab", "--output", "-")
    installs = [line.split() for line in text.splitlines() if "apt-get install" in line]
    assert installs and all({"git", "ca-certificates"} <= set(words) for words in installs)


def test_the_packages_are_those_of_the_list():
    lines = (ROOT / "packages.txt").read_text().splitlines()
    assert needed() == [line for line in lines if line and not line.startswith("#")]


def named(*words: str) -> dict[str, str]:
    return dict(line.split("=") for line in vmlab("cache", "key", *words).splitlines())


def test_the_names_of_what_is_kept_change_with_what_it_is_made_from(project, monkeypatch):
    usual, other = named(), named("--kernel", "6.1.*")
    assert usual == named() == named("--kernel", "default") and usual.keys() == keys.KINDS.keys()
    assert usual["kernels"] != other["kernels"] and usual["snapshots"] != other["snapshots"]
    monkeypatch.setattr("vmlab.snapshots.qemu_version", lambda program: "QEMU 99")
    newer = named()
    assert newer["kernels"] == usual["kernels"] and newer["snapshots"] != usual["snapshots"]


def test_the_snapshots_name_changes_with_the_debian_packages_that_guests_have(project):
    def scenario(name: str, text: str) -> str:
        (project / "scenarios" / f"{name}.yaml").write_text(text)
        return named()["snapshots"]

    usual = named()["snapshots"]
    one = scenario("one", "name: one\nimage: debian\npackages: [b, a]\n")
    assert one not in (usual, scenario("two", "name: two\nimage: debian\n"))
    (project / "scenarios" / "two.yaml").unlink()
    assert scenario("one", "image: debian\nname: one\npackages: [a, b]\n") == one
    assert scenario("one", "image: debian: {") == scenario("one", "packages: [a]") == usual


@pytest.mark.parametrize(
    ("direct_url", "wanted"),
    [
        (None, "vmlab==1.2"),
        ('{"url": "file:///home/me/vmlab", "dir_info": {"editable": true}}', "vmlab==1.2"),
        ('{"url": "https://a/b.whl", "archive_info": {}}', "vmlab @ https://a/b.whl"),
        (
            '{"url": "https://a/b", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "vmlab @ git+https://a/b@abc",
        ),
    ],
)
def test_ci_installs_what_is_installed_here_if_it_can_reach_that(direct_url, wanted):
    assert requirement("1.2", direct_url)[0] == wanted


def test_ci_installs_the_commit_of_a_clone_that_others_reach(tmp_path):
    """`origin` by https; a clone without, or by another way, is told to be out of reach."""
    local = json.dumps({"url": f"file://{tmp_path}/a%20clone", "dir_info": {"editable": True}})
    clone = tmp_path / "a clone"
    git = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    assert requirement("1.2", local, ci._pushed) == ("vmlab==1.2", clone)
    subprocess.run([*git, "remote", "add", "origin", "/srv/vmlab"], check=True)
    assert requirement("1.2", local, ci._pushed) == ("vmlab==1.2", clone)
    subprocess.run([*git, "remote", "set-url", "origin", "https://a/b.git"], check=True)
    found, unreached = requirement("1.2", local, ci._pushed)
    assert re.fullmatch(r"vmlab @ git\+https://a/b\.git@[0-9a-f]{40}", found) and unreached is None


def test_that_ci_does_not_reach_what_is_installed_is_said(project, tmp_path, monkeypatch):
    monkeypatch.setattr(ci, "_installed", lambda: ("vmlab==0.1.0", Path("/home/me/vmlab")))
    said: list[str] = []
    monkeypatch.setattr(ci.common, "say", said.append)
    ci.ci("github", output=tmp_path / "a.yml")
    assert said and said[0].startswith(
        "this vmlab was installed from /home/me/vmlab, which CI does"
    )
    ci.ci("github", install="vmlab==0.1.0", output=tmp_path / "b.yml")
    assert len(said) == 1


def test_the_example_s_workflow_is_what_the_command_writes(project):
    written = (EXAMPLE / PLACES["github"]).read_text()
    assert vmlab("ci", "github", "--install", "vmlab==0.1.0", "--output", "-") == written


@pytest.fixture
def pipeline(project, tmp_path) -> Machine:
    """The project committed, and what will clone it."""
    subprocess.run(["git", "add", "-A"], cwd=project, check=True)
    me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", *me, "commit", "-q", "-m", "begin"], cwd=project, check=True)
    return Machine(tmp_path / "machine", project)


def all_jobs(machine: Machine, service: str, text: str) -> tuple[list[int], Path]:
    """The jobs' statuses, two shards before the report; and where that left its files."""
    if service == "github":
        statuses = [github(machine, text, "run", shard) for shard in (1, 2)]
        statuses.append(github(machine, text, "report"))
        return statuses, machine.artifacts["vmlab-report"]
    statuses = [gitlab(machine, text, "vmlab-run", index) for index in (1, 2)]
    return [*statuses, gitlab(machine, text, "vmlab-report")], machine.folder / "vmlab-report-1"


@pytest.mark.parametrize("service", PLACES)
@pytest.mark.parametrize("wrong", [False, True])
def test_its_commands_run_where_no_kernel_is_for_it(project, pipeline, service, wrong, monkeypatch):
    """All commands but pip's and apt's; every run is skipped, so no guest is needed."""
    for file in (project / "scenarios").glob("*.yaml"):
        file.write_text(file.read_text() + "skip_if: [{kernel: all, reason: not here}]\n")
    if wrong:
        (project / "scenarios/counts.yaml").write_text("name: counts\n")
    me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", *me, "commit", "-qam", "skip"], cwd=project, check=True)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("VMLAB_DATA", str(project.parent / "data"))
    pipeline.without_pip()
    text = vmlab("ci", service, "--shards", "2", "--kernel", "6.1.*", "--output", "-")
    statuses, uploads = all_jobs(pipeline, service, text)
    if wrong:  # a scenario that cannot be read: every job is red, and none hides it
        assert 0 not in statuses, pipeline.said
        return
    assert statuses == [0, 0, 0], pipeline.said
    assert (uploads / "junit.xml").read_text().count("<skipped") == 4
    assert "not here" in (uploads / "report.html").read_text()
    assert len({*pipeline.keys}) == 3  # the kernels', and each shard's snapshots
    apt = (pipeline.folder / "apt").read_text()
    assert apt.count("update -q") == 3 and " qemu-system-x86" in apt


@pytest.mark.slow
@pytest.mark.guest
@pytest.mark.parametrize("service", PLACES)
def test_its_commands_run_in_a_clean_clone(pipeline, wheel, service, monkeypatch):
    """With the wheel in environments of its own, and real guests; the cache is the usual one."""
    for name in ("VMLAB_CACHE", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)
    words = ("--shards", "2", "--kernel", "6.1.*", "--install", str(wheel), "--output", "-")
    text, usual = vmlab("ci", service, *words), str(Cache.default().root)
    for name in ("$GITHUB_WORKSPACE", "$CI_PROJECT_DIR"):
        text = text.replace(f"{name}/.vmlab-cache", usual)
    statuses, uploads = all_jobs(pipeline, service, text)
    assert statuses == [0, 0, 0], pipeline.said
    junit = (uploads / "junit.xml").read_text()
    assert junit.count("<testcase") == 4 and "<skipped" not in junit and "<failure" not in junit
    assert (uploads / "report.html").stat().st_size > 10_000
    if service == "github":
        assert "4 passed" in (pipeline.folder / "report-0-SUMMARY").read_text()
