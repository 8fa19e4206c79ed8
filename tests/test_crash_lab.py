"""The crash table: each scenario crash-* on real kernels, and each of them seen to fail."""

from dataclasses import replace
from pathlib import Path

import pytest
import stand_in

from vmlab import interactive
from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import each, matrix
from vmlab.guest import qemu
from vmlab.guest.launch import RESET, Ended
from vmlab.interactive import KernelSick
from vmlab.lab import Options, load, runner
from vmlab.project import find
from vmlab.runner import Run, read_results
from vmlab.scenario import Expanded
from vmlab.snapshots import Snapshots
from vmlab.verdict import Verdict, judge
from vmlab.virtme import VirtmeBackend

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "scenarios").glob("crash-*.yaml"))
WELL = "crash-no-exit"  # its kernel is not sick
# The thread that wakes up is one that stays, before: what comes first is the same.
ALIKE = ("crash-thread", "crash-thread-woken")
SKIPPED_SHARE = 1 / 5

pytestmark = pytest.mark.guest


def artifacts() -> Artifacts:
    cache = Cache.default()
    return Artifacts(cache, Catalog.open(cache, print))


@pytest.fixture(scope="module")
def table(request) -> list[tuple[Expanded, Run]]:
    """All of them, on all default kernels, as many guests at once as there are cores."""
    jobs = request.config.option.vmlab_jobs or stand_in.share_of_cores()
    project, made = find(ROOT), artifacts()
    lab = runner(project, made, Options())
    scenarios = load(project, made.catalog, ["crash-*"], [])
    pairs = matrix(lab, scenarios, made.catalog.select("default"))

    def run(pair):
        return pair[0], lab.run(*pair)

    return list(each(run, pairs, jobs, lambda pair: None, lab.stop))


def test_there_is_one_for_each_word_of_the_module():
    text = (ROOT / "kmod/crash_lab/main.c").read_text()
    words = {part.split('"')[1] for part in text.split("{ ")[1:] if part.startswith('"')}
    loaded = load(find(ROOT), artifacts().catalog, ["crash-*", "data-race"], [])
    used = {
        word.removeprefix("what=")
        for one in loaded
        for step in one.steps
        for word in step.argument.split()
        if word.startswith("what=")
    }
    assert used == words
    assert len(words) > 20


@pytest.mark.parametrize("name", NAMES)
def test_each_crash_is_told_on_each_kernel(table, name):
    runs = [run for expanded, run in table if expanded.name == name]
    assert len(runs) == len(artifacts().catalog.select("default"))
    for run in runs:
        assert run.judgement.verdict in (Verdict.PASSED, Verdict.SKIPPED), run.judgement
        if run.judgement.verdict is Verdict.SKIPPED:
            assert " has no CONFIG_" in run.judgement.reason


def test_few_are_skipped_for_the_kernel_s_configuration(table):
    skipped = [run for _, run in table if run.judgement.verdict is Verdict.SKIPPED]
    assert len(skipped) <= SKIPPED_SHARE * len(table)


def test_none_passes_by_the_crash_of_another(table):
    """Every guest's console, judged by every other scenario: one pass is right, its own."""
    ran = [(one, run) for one, run in table if run.judgement.verdict is Verdict.PASSED]
    others = list({other.name: other for other, _ in ran}.values())
    wrong = []
    for one, run in ran:
        files = qemu.RunDirectory(Path(run.dir))
        found, console = read_results(files), files.console.read_bytes()
        flooded = Ended("flooded", "the console grew past 64 KiB")
        ended = flooded if one.name == "crash-printk" else Ended("reset", RESET)
        for other in others:
            if other.name in (one.name, WELL) or (other.name, one.name) == ALIKE:
                continue
            judged = judge(other, run.kernel, found, console, ended)
            if judged.verdict is Verdict.PASSED:
                wrong.append(f"{other.name} by {one.name} on {run.kernel}")
    assert not wrong


@pytest.mark.parametrize(
    ("name", "word", "reason"),
    [
        ("crash-bug", "warn", "the kernel crashed otherwise: warning: "),
        ("crash-null-read", "null_write", "in this way, with another title: "),
        ("crash-hung-task", "no_exit", "the kernel did not crash: all steps came to their end"),
        ("crash-panic", "nonsense", "EINVAL (invalid argument), and success was wanted"),
    ],
)
def test_one_that_asks_for_another_crash_fails_and_says_what_it_saw(tmp_path, name, word, reason):
    project, made = find(ROOT), artifacts()
    (expanded,) = load(project, made.catalog, [name], [])
    steps = tuple(
        replace(step, argument=f"crash_lab what={word}") if step.verb == "insmod" else step
        for step in expanded.steps
    )
    lab = runner(replace(project, root=ROOT), made, Options())
    run = lab.run(replace(expanded, steps=steps), made.catalog.select("5.10*686")[0])
    assert run.judgement.verdict is Verdict.FAILED
    assert reason in run.judgement.reason
    if word != "nonsense":
        assert run.judgement.wanted
        assert run.judgement.seen


STEPS = """
  - run: echo 512 > /proc/sys/kernel/tainted
  - run: 'true'
"""


def test_a_taint_that_no_console_tells_of_is_a_crash(tmp_path):
    made = artifacts()
    backend = QemuBackend(Snapshots(made.cache, print))
    judged = stand_in.run(tmp_path, made, backend, 60, STEPS).judgement
    assert (judged.verdict, judged.step) == (Verdict.CRASHED, 1)
    assert judged.reason == "taint: the kernel became tainted: W, a warning"


def test_a_guest_of_a_test_in_python_is_looked_at_after_each_step():
    made = artifacts()
    (kernel,) = made.catalog.select("6.1.0*amd64")
    snapshots = Snapshots(made.cache, print)
    with interactive.boot(find(ROOT), made, kernel, snapshots=snapshots) as guest:
        guest.insmod("crash_lab what=thread")
        with pytest.raises(KernelSick, match="leaked thread: kernel thread crash_lab_left"):
            guest.rmmod("crash_lab")
        guest.allow("warning")
        guest.insmod("crash_lab what=warn")
        guest.rmmod("crash_lab")
        with pytest.raises(KernelSick, match="BUG: kernel BUG in lab_bug") as sick:
            guest.insmod("crash_lab what=bug")
        assert sick.value.finding.step == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crash-thread", "crash-null-read"])
def test_virtme_s_guests_are_looked_at_too(name):
    project, made = find(ROOT), artifacts()
    lab = runner(project, made, Options(backend=VirtmeBackend.name))
    (expanded,) = load(project, made.catalog, [name], [])
    run = lab.run(expanded, made.catalog.select("6.1.0*amd64")[0])
    assert run.judgement.verdict is Verdict.PASSED, run.judgement
