"""What steps need of a kernel, its age's facts, and runs where something is lacking."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from vmlab import lab, lacking, machines, selfcheck
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog, kconfig
from vmlab.guest.launch import Ended
from vmlab.guest.results import MARK, Results, StepResult, parse
from vmlab.project import Project, Settings
from vmlab.scenario import Known, ScenarioError, expand, facts, features, load
from vmlab.verdict import Verdict, judge

HEAD = "name: case\nabout: x\n"
KERNEL = "2.6.8"


def loaded(tmp_path: Path, text: str):
    path = tmp_path / "case.yaml"
    path.write_text(HEAD + text)
    return load(path, Known(workloads=frozenset({"leader"})))


def expanded(tmp_path: Path, text: str):
    return expand(loaded(tmp_path, text))[0]


def result(verb: str = "run", output: str = "", lacks: str = "", outcome: int = 0) -> StepResult:
    state = "failed" if outcome else "passed"
    return StepResult(verb, "", state, outcome, 1.0, 1, output, (0, 0), {}, lacks=lacks)


def judged(tmp_path, text, *found):
    one = expanded(tmp_path, text)
    console = b"Linux version 2.6.8\n"
    return judge(one, KERNEL, Results(KERNEL, found, len(found), None), console, Ended("off"))


TWO = "steps:\n  - run: 'true'\n  - run: 'true'\n    output: x\n    needs: [tracefs]\n"
ALL = "needs: [tracefs]\nsteps:\n  - run: 'true'\n    output: x\n"


def test_a_step_brings_what_shows_whether_its_needs_are_met(tmp_path):
    one = expanded(
        tmp_path,
        "needs: [sysfs]\nprobes: {lists: leader --try}\nsteps:\n"
        "  - run: 'true'\n    status: 3\n    needs: [lists, tracefs]\n  - sleep: 1s\n",
    )
    assert one.program() == ["run\t3?sysfs,lists,tracefs\t-\t0\ttrue", "sleep\t0?sysfs\t-\t1000\t"]
    assert one.probes() == {
        "need-lists": b"leader --try\n",
        "need-sysfs": f"{features.FEATURES['sysfs']}\n".encode(),
        "need-tracefs": f"{features.FEATURES['tracefs']}\n".encode(),
    }


def test_a_step_whose_kernel_lacks_it_is_passed_over_and_said(tmp_path):
    found = judged(tmp_path, TWO, result(), result(lacks="tracefs"))
    assert found.verdict is Verdict.PASSED
    assert found.reason == "1 step skipped: the kernel has no tracefs"


def test_where_it_is_there_the_step_is_judged(tmp_path):
    assert judged(tmp_path, TWO, result(), result(output="x")).reason == ""
    assert judged(tmp_path, TWO, result(), result(output="y")).verdict is Verdict.FAILED


def test_other_steps_are_judged_all_the_same(tmp_path):
    found = judged(tmp_path, TWO, result(outcome=1), result(lacks="tracefs"))
    assert (found.verdict, found.step) == (Verdict.FAILED, 1)


def test_a_guest_cannot_excuse_a_step_that_asked_for_nothing(tmp_path):
    found = judged(tmp_path, TWO, result(), result(output="y", lacks="sysfs"))
    assert (found.verdict, found.step) == (Verdict.FAILED, 2)


@pytest.mark.parametrize("text", [ALL, "steps:\n  - {run: 'true', needs: [tracefs]}\n"])
def test_where_no_step_is_left_the_run_is_skipped(tmp_path, text):
    found = judged(tmp_path, text, result(lacks="tracefs"))
    assert (found.verdict, found.reason) == (Verdict.SKIPPED, "the kernel has no tracefs")


def test_a_crash_that_was_not_tried_is_skipped_and_no_failure(tmp_path):
    text = "needs: [smp]\nsteps:\n  - run: 'true'\n  - expect_crash: {kind: BUG}\n"
    lost = [result(lacks="smp"), result("expect_crash", lacks="smp")]
    assert judged(tmp_path, text, *lost).verdict is Verdict.SKIPPED
    assert judged(tmp_path, text, result(), result("expect_crash")).verdict is Verdict.FAILED


def test_the_results_say_what_a_step_lacked():
    text = (
        "KTAP version 1\n# kernel=2.6.8\n1..1\n"
        f"{MARK}# begin 1 at=1.5\n# lacks pid-namespaces\n"
        f"{MARK}# uptime=2.5 printk=1 outcome=0\nok 1 - run true\n"
    )
    (step,) = parse(text).steps
    assert (step.lacks, step.state) == ("pid-namespaces", "passed")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("needs: [tracefz]\nsteps:\n  - run: x\n", 3,
         "unknown need 'tracefz'; the nearest is 'tracefs'"),
        ("steps:\n  - run: x\n    needs: [list]\nprobes: {lists: x}\n", 5,
         "unknown need 'list'; the nearest is 'lists'"),
        ("steps:\n  - console: '{fact.zombie}'\n", 4,
         "unknown fact 'zombie'; the nearest is 'zombie_state'"),
        ("steps:\n  - run: x\n    as: fact\n", 5,
         "name 'fact' is taken: {fact.NAME} is a kernel's own"),
    ],
)  # fmt: skip
def test_needs_and_facts_that_nothing_knows_are_said(tmp_path, text, line, message):
    with pytest.raises(ScenarioError) as caught:
        loaded(tmp_path, text)
    assert [(one.line, one.message) for one in caught.value.problems] == [(line, message)]


SOFT = "CONFIG_SOFTLOCKUP_DETECTOR"


@pytest.mark.parametrize(
    ("number", "have", "wanted", "missing"),
    [
        ((6, 1), "CONFIG_SOFTLOCKUP_DETECTOR", SOFT, []),
        # What soft and hard lockups have in common is not the one of soft lockups.
        ((4, 13), "CONFIG_LOCKUP_DETECTOR", SOFT, [SOFT]),
        ((4, 12, 14), "CONFIG_LOCKUP_DETECTOR", SOFT, []),
        ((4, 12, 14), "CONFIG_HARDLOCKUP_DETECTOR", SOFT, ["CONFIG_LOCKUP_DETECTOR"]),
        ((2, 6, 36), "CONFIG_LOCKUP_DETECTOR", SOFT, []),
        ((2, 6, 35), "CONFIG_DETECT_SOFTLOCKUP", SOFT, []),
        ((2, 6, 8), "CONFIG_SLAB", SOFT, ["CONFIG_DETECT_SOFTLOCKUP"]),
        ((2, 6, 8), "CONFIG_SLAB", "CONFIG_SLUB|CONFIG_SLAB", []),
        ((2, 6, 8), "", "CONFIG_SLUB|CONFIG_SLAB", ["CONFIG_SLUB or CONFIG_SLAB"]),
    ],
)
def test_an_option_counts_by_the_name_that_it_has_there(number, have, wanted, missing):
    assert kconfig.missing(have.split(), [wanted], number) == missing


@pytest.mark.parametrize("text", ["CONFIG_A|", "CONFIG_A|B", "CONFIG_A | CONFIG_B", "A"])
def test_what_is_no_option_is_refused(tmp_path, text):
    with pytest.raises(ScenarioError, match="is no option; write it as in CONFIG_DETECT_HUNG_TASK"):
        loaded(tmp_path, f"config: ['{text}']\nsteps:\n  - run: x\n")


def test_two_options_of_which_one_is_enough(tmp_path):
    one = expanded(tmp_path, "config: [CONFIG_A|CONFIG_B, CONFIG_C]\nsteps:\n  - run: x\n")
    assert one.scenario.config == ["CONFIG_A|CONFIG_B", "CONFIG_C"]


@pytest.mark.parametrize(
    ("release", "zombie", "parent"),
    [
        ("2.6.8", "8", "events/0"), ("2.6.9", "16", "events/0"), ("2.6.11.3", "16", "kthread"),
        ("2.6.20", "16", "kthread"), ("2.6.32.2", "16", "kthreadd"), ("3.14.79", "16", "kthreadd"),
        ("3.19.8", "32", "kthreadd"), ("4.4.155", "32", "kthreadd"),
        ("6.1.0-50-686", "32", "kthreadd"), ("10.0", "32", "kthreadd"),
    ],
)  # fmt: skip
def test_facts_of_an_era(release, zombie, parent):
    said = facts.put_in("{fact.zombie_state} {fact.thread_parent} {z.pid}", release)
    assert said == f"{zombie} {parent} {{z.pid}}"


def test_facts_are_put_into_patterns_and_commands(tmp_path):
    text = "steps:\n  - run: echo {fact.zombie_state}\n    output: '^{fact.zombie_state}$'\n"
    one = expanded(tmp_path, text).on("2.6.8")
    assert one.program() == ["run\t0\t-\t0\techo 8"]
    assert one.steps[0].text("output") == "^8$"


@pytest.mark.parametrize(
    ("release", "text", "said"),
    [
        ("2.6.9", "image: debian\n", "2.6.9 is before Linux 3.2: Debian's C library"),
        ("3.2.0-4-686", "image: debian\n", None),
        ("3.2.0-4-686", "firmware: [a.bin]\n", "3.2.0-4-686 is before Linux 3.7: older"),
        ("3.7", "firmware: [a.bin]\n", None),
        ("2.6.8", "", None),
    ],
)  # fmt: skip
def test_what_a_kernel_is_too_old_for_is_not_tried(tmp_path, release, text, said):
    path = tmp_path / "case.yaml"
    path.write_text(f"{HEAD}{text}steps:\n  - sleep: 1s\n")
    wanted = load(path, Known(firmware=frozenset({"a.bin"}))).scenario
    found = machines.too_old(SimpleNamespace(release=release), wanted)
    assert (found or "").startswith(said or "") and (found is None) == (said is None)


def test_every_feature_is_looked_for_by_kernels_check():
    path = Path(selfcheck.__file__).parent / "scenarios/features.yaml"
    steps = yaml.safe_load(path.read_text())["steps"]
    assert [name for step in steps for name in step.get("needs", [])] == list(features.FEATURES)


def test_why_nothing_was_judged_names_each_need_once(tmp_path):
    one = expanded(tmp_path, TWO)
    both = Results(KERNEL, (result(), result(lacks="tracefs")), 2, None)
    assert not lacking.all_of_it(one, both)
    assert lacking.all_of_it(one, replace(both, steps=())) is False


@pytest.mark.guest
def test_in_a_guest_a_need_that_is_not_met_keeps_its_step_from_running(tmp_path):
    """The first step lacks it, the second has it, the third is a run as it always is."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/case.yaml").write_text(
        f"{HEAD}probes:\n  never: echo asked > /tmp/asked; false\n  ever: test -e /proc/version\n"
        "steps:\n  - {run: touch /tmp/ran, needs: [ever, never]}\n"
        "  - {run: 'echo {fact.zombie_state}', output: '^32$', needs: [ever]}\n"
        "  - {run: 'cat /tmp/asked; test ! -e /tmp/ran', output: asked}\n"
    )
    (tmp_path / "scenarios/all.yaml").write_text(
        "name: all\nabout: x\nneeds: [never]\nprobes: {never: 'false'}\n"
        "steps:\n  - run: 'false'\n  - console: never\n"
    )
    cache = Cache.default()
    artifacts = Artifacts(cache, Catalog.open(cache))
    project = Project(tmp_path, Settings())
    runner, pairs = lab.prepare(project, artifacts, [], [], "6.1*686", lab.Options())
    runs = {one.name: runner.run(one, kernel) for one, kernel in pairs}
    case, skipped = runs["case"].judgement, runs["all"].judgement
    assert (case.verdict, case.reason) == (
        Verdict.PASSED, "1 step skipped: the kernel has no never",
    )  # fmt: skip
    assert (skipped.verdict, skipped.reason) == (Verdict.SKIPPED, "the kernel has no never")
    told = json.loads((Path(runs["case"].dir) / "verdict.json").read_text())["steps"]
    assert [step["state"] for step in told] == ["skipped", "passed", "passed"]
