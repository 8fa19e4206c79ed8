import pytest
import stand_in

from vmlab.arch import ARCHES
from vmlab.artifacts import Artifacts
from vmlab.backend import QemuBackend
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import execute
from vmlab.guest import launch
from vmlab.lab import load
from vmlab.project import Project, Settings
from vmlab.runner import Runner
from vmlab.verdict import Verdict

SCENARIO = "name: {name}\nabout: x\nmemory: {memory}\nsteps:\n  - run: true\n"


RESULTS = (
    "KTAP version 1\n# kernel=5.10.0-32-686\n1..1\n\x1e# begin 1\n"
    "\x1e# uptime=1.0 printk=1 outcome=0\nok 1 - run true\n"
)


class Backend:
    """Boots nothing: leaves in the run directory what it is told to."""

    name = "stand-in"
    dropped: int | None = None  # where the disk was full

    def __init__(self, ended: launch.Ended, results: str = "", console: bytes = b"[ 0.1] hello\n"):
        self.ended, self.results, self.console, self.boots = ended, results, console, 0

    def boot(self, job, stopped):
        self.boots += 1
        job.run.console.write_bytes(self.console)
        if self.results:
            job.run.results.write_text(self.results)
        job.run.transcript.write_bytes(self.console[: self.dropped] + self.results.encode())
        return self.ended

    def forget(self):
        pass


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs two scenarios alike and one with more memory on one kernel, in that order."""
    cache = Cache(tmp_path / "cache")
    catalog = Catalog.open(cache)
    monkeypatch.setattr(Catalog, "obtain", lambda self, kernel: kernel)
    stand_in = tmp_path / "stand-in"
    stand_in.write_text("no kernel, no image")
    monkeypatch.setattr(Catalog, "image", lambda self, kernel: stand_in)
    monkeypatch.setattr(Artifacts, "image", lambda self, arch: stand_in)
    project = Project(tmp_path, Settings())
    (tmp_path / "scenarios").mkdir()
    for name, memory in (("a", "192M"), ("b", "192M"), ("c", "256M")):
        text = SCENARIO.format(name=name, memory=memory)
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(text)

    def run(backend, meanwhile=lambda: None):
        runner = Runner(project, Artifacts(cache, catalog), backend)
        runner.meanwhile = meanwhile
        kernel = next(one for one in catalog.kernels if one.arch == ARCHES["i386"])
        pairs = [(one, kernel) for one in load(project, catalog, [], [])]
        runs = list(execute(runner, pairs, 1, lambda pair: None))
        return [(one.judgement.verdict, one.judgement.reason) for one in runs]

    return run


def test_after_a_failed_boot_others_like_it_are_not_tried_and_say_so(run):
    backend = Backend(launch.Ended("reset", "the guest reset itself"))
    first, second, third = run(backend)
    why = "the guest never came to its first step: the guest reset itself"
    assert first == (Verdict.CRASHED, why)
    assert second == (Verdict.CRASHED, f"not tried: this kernel did not come up before: {why}")
    assert third == first, "another machine is tried"
    assert backend.boots == 2


@pytest.mark.parametrize(
    "backend",
    [
        Backend(launch.Ended("reset", restored=True)),
        Backend(launch.Ended("off"), results="Bail out! unpacking the program: no space\n"),
    ],
    ids=["restored", "its program was bad"],
)
def test_what_says_nothing_of_the_boot_spares_nobody(run, backend):
    assert not [reason for _, reason in run(backend) if "not tried" in reason]
    assert backend.boots == 3


def test_what_only_its_end_needs_is_got_ready_once_while_a_guest_runs(run):
    done = []

    class Polled(Backend):
        def boot(self, job, stopped):
            done.append("begins")
            assert not stopped() and not stopped()
            return super().boot(job, stopped)

    run(Polled(launch.Ended("off", restored=True), RESULTS), lambda: done.append("ready"))
    assert done == ["begins", "ready", "begins", "begins"]


def test_a_lost_qemu_is_broken_and_says_nothing_of_the_next(run):
    backend = Backend(launch.Ended("lost", "QEMU ended with signal 9: no message"))
    reason = "QEMU ended with signal 9: no message"
    assert run(backend) == [(Verdict.BROKEN, reason)] * 3
    assert backend.boots == 3


def test_a_kernel_that_the_host_starved_is_tried_once_more(run, tmp_path):
    text = SCENARIO.format(name="d", memory="192M")
    (tmp_path / "scenarios/d.yaml").write_text(text)
    reason = "the host gave the guest 3 s of CPU time in 600 s"
    backend = Backend(launch.Ended("lost", reason))
    verdicts = run(backend)
    spared = f"not tried: this kernel did not come up before: {reason}"
    assert verdicts == [(Verdict.BROKEN, reason)] * 3 + [(Verdict.BROKEN, spared)]


def test_a_run_of_which_bytes_were_lost_is_the_lab_s_trouble(run):
    backend = Backend(launch.Ended("off", restored=True), RESULTS)
    assert run(backend)[0] == (Verdict.PASSED, "")
    backend.dropped = 5
    verdict, reason = run(backend)[0]
    assert (verdict, "is the disk full?" in reason) == (Verdict.BROKEN, True)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("CONFIG_A=y\nCONFIG_B=m\n", ""),
        ("CONFIG_A=y\n# CONFIG_B is not set\n", "5.10.0-32-686 has no CONFIG_B"),
        ("CONFIG_A=1\nCONFIG_BB=y\n", "5.10.0-32-686 has no CONFIG_A, CONFIG_B"),
        (None, ""),
    ],
)
@pytest.mark.parametrize("place", ["boot/config-5.10.0-32-686", "usr/lib/modules/{}/config"])
def test_a_kernel_without_an_option_is_skipped_with_its_name(
    run, tmp_path, monkeypatch, config, reason, place
):
    monkeypatch.setattr(Catalog, "_tree", lambda self, kernel: tmp_path / "tree")
    if config is not None:
        path = tmp_path / "tree" / place.format("5.10.0-32-686")
        path.parent.mkdir(parents=True)
        path.write_text(config)
    scenario = tmp_path / "scenarios/a.yaml"
    scenario.write_text(f"config: [CONFIG_A, CONFIG_B]\n{scenario.read_text()}")
    verdicts = run(Backend(launch.Ended("off", restored=True), RESULTS))
    wanted = (Verdict.SKIPPED, reason) if reason else (Verdict.PASSED, "")
    assert verdicts[:2] == [wanted, (Verdict.PASSED, "")]


@pytest.mark.parametrize(("fault", "repeats"), [("", True), ("reset", True), ("flood", False)])
def test_a_guest_that_the_lab_ended_is_not_said_to_repeat(
    tmp_path, fake_qemu, monkeypatch, fault, repeats
):
    monkeypatch.setenv("VMLAB_FAKE", fault)
    run = stand_in.run(tmp_path, stand_in.artifacts(tmp_path), QemuBackend(None))
    assert run.token is not None
    assert run.token.how.exact is repeats
