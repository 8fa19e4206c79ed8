import json

import pytest

import vmlab.lab  # noqa: F401 - imported here, it is the same module inside
from vmlab.artifacts import Artifacts
from vmlab.catalog import Catalog

PASSES = """\
name: passes
about: says hello
steps:
  - write: /dev/kmsg hello world
  - console: hello
"""
FAILS = """\
name: fails
about: looks for what is not there
steps:
  - write: /dev/kmsg hello world
  - console: hello wurld
"""


@pytest.fixture
def project(pytester, fake_qemu, monkeypatch):
    """A project whose guests are the stand-in's; kernels and images are not made for it."""
    monkeypatch.setenv("VMLAB_FAKE_RELEASE", "6.1.0-50-686")
    pytester.makefile(".yaml", vmlab="")
    folder = pytester.mkdir("scenarios")
    (folder / "passes.yaml").write_text(PASSES)
    (folder / "fails.yaml").write_text(FAILS)
    (folder / "later.yaml").write_text(PASSES.replace("passes", "later") + "tags: [slow]\n")
    monkeypatch.setattr(Catalog, "obtain", lambda self, kernel: kernel)
    stand_in = pytester.makefile(".bin", stand_in="no kernel, no image")
    monkeypatch.setattr(Catalog, "image", lambda self, kernel: stand_in)
    monkeypatch.setattr(Artifacts, "image", lambda self, arch: stand_in)
    return pytester


def run(project, *arguments):
    return project.runpytest_inprocess("--vmlab-kernel", "6.1.0-50-686", *arguments)


def test_each_file_and_kernel_is_an_item_and_plain_ones_only(project):
    result = run(project, "--collect-only", "-q")
    result.stdout.fnmatch_lines(
        [
            "scenarios/fails.yaml::fails?6.1.0-50-686?",
            "scenarios/passes.yaml::passes?6.1.0-50-686?",
        ]
    )
    assert "later" not in result.stdout.str()
    run(project, "--collect-only", "-q", "--vmlab-all").stdout.fnmatch_lines(["*later.yaml*"])


@pytest.mark.parametrize(
    "argument",
    [
        "{root}/scenarios/later.yaml",
        "scenarios/later.yaml",
        "./scenarios/../scenarios/later.yaml",
        "scenarios/later.yaml::later[6.1.0-50-686]",
    ],
    ids=["absolute", "relative", "roundabout", "one item"],
)
def test_a_file_that_is_named_is_collected_whatever_its_tags(project, argument):
    argument = argument.format(root=project.path)
    result = run(project, "--collect-only", "-q", argument)
    result.stdout.fnmatch_lines(["*later.yaml::later?6.1.0-50-686?"])


def test_a_file_that_another_s_name_begins_with_is_not_named(project):
    (project.path / "scenarios/later.yaml.d").mkdir()
    result = run(
        project, "--collect-only", "-q", "scenarios", f"{project.path}/scenarios/later.yaml.d"
    )
    assert "later.yaml::" not in result.stdout.str()


def test_a_verdict_is_an_outcome_and_a_failure_shows_step_line_and_console(project):
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*fails on 6.1.0-50-686 (i386)*",
            "*step 2, line 5: console: hello wurld*",
            "*wanted: hello wurld*",
            "*seen: *hello world*",
            "*console's end*",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert "def runtest" not in result.stdout.str()


def test_a_name_and_the_word_for_all_select(project):
    run(project, "-k", "passes").assert_outcomes(passed=1, deselected=1)
    project.makepyfile(test_other="def test_other(): pass")
    run(project, "-k", "scenario").assert_outcomes(passed=1, failed=1, deselected=1)
    run(project, "-m", "scenario", "-k", "not fails").assert_outcomes(passed=1, deselected=2)


def test_a_skip_has_its_reason_and_can_be_made_a_failure(project):
    path = project.path / "scenarios/passes.yaml"
    skip = "skip_if:\n  - {kernel: '6.*', reason: not there yet}\n"
    path.write_text(PASSES.replace("steps:", skip + "steps:"))
    result = run(project, "-k", "passes", "-rs")
    result.assert_outcomes(skipped=1, deselected=1)
    result.stdout.fnmatch_lines(["*not there yet*"])
    run(project, "-k", "passes", "--vmlab-strict-skips").assert_outcomes(failed=1, deselected=1)


def test_a_file_that_is_wrong_is_an_error_with_its_place(project):
    (project.path / "scenarios/passes.yaml").write_text(PASSES.replace("about", "abuot"))
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*passes.yaml:2:1: unknown key 'abuot'; the nearest is 'about'*"])
    assert "Traceback" not in result.stdout.str()


def test_settings_that_are_wrong_are_an_error_once_and_not_an_empty_run(project):
    (project.path / "vmlab.yaml").write_text("kernel: newest\n")
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*vmlab.yaml:1:1: kernel: *"])
    assert "Traceback" not in result.stdout.str()


def test_provenance_goes_into_junit_output(project):
    run(project, "--junitxml", "out.xml", "-k", "passes")
    text = (project.path / "out.xml").read_text()
    assert '<property name="verdict" value="passed"' in text
    assert '<property name="kernel" value="6.1.0-50-686"' in text


def test_a_run_leaves_console_results_verdict_and_command(project):
    run(project, "-k", "fails")
    (directory,) = (project.path / "vmlab-out").glob("*/fails-*")
    verdict = json.loads((directory / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["step"], verdict["line"]) == ("failed", 2, 5)
    assert "hello world" in (directory / "console").read_text()
    assert "qemu-system-i386" in (directory / "argv").read_text()
    assert (directory / "results").read_text().startswith("KTAP version 1")


def test_what_takes_long_is_said_while_tests_run(project, monkeypatch, capfd):
    image = Artifacts.image

    def building(self, arch):
        self.catalog.say("building it")
        return image(self, arch)

    monkeypatch.setattr(Artifacts, "image", building)
    run(project, "-k", "passes").assert_outcomes(passed=1, deselected=1)
    assert "\nbuilding it\n" in capfd.readouterr().err


WORKERS = """\
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.catalog import Catalog
from vmlab.guest import confine

Catalog.obtain = lambda self, kernel: kernel
Catalog.image = Artifacts.image = lambda self, wanted: Path(__file__)
confine.root = lambda: False
"""


def test_workers_of_xdist_run_each_item_once_and_tell_of_it(project):
    project.makeconftest(WORKERS)  # they are processes of their own
    for number in range(6):
        text = PASSES.replace("passes", f"more-{number}")
        (project.path / f"scenarios/more-{number}.yaml").write_text(text)
    result = project.runpytest_subprocess("--vmlab-kernel", "6.1.0-50-686", "-n", "2", "-rA")
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(["*fails on 6.1.0-50-686 (i386)*", "*console's end*"])
    runs = sorted(path.name for path in (project.path / "vmlab-out").glob("*/*"))
    assert runs == sorted(f"{name}-6.1.0-50-686" for name in (
        "fails", "passes", *(f"more-{number}" for number in range(6))
    ))  # fmt: skip
