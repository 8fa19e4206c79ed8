"""Devices, firmware, two guests and the Debian image on real kernels."""

import json
from pathlib import Path

import pytest

from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.lab import Options, load, runner
from vmlab.project import Project, find
from vmlab.runner import Run
from vmlab.verdict import Verdict

ROOT = Path(__file__).parent.parent
KERNEL = "6.1.0-*-amd64"
HEAD = "name: case\nabout: a case\nnetwork: pair\ndevices: [e1000]\nmodules: [crash_lab]\n"

pytestmark = pytest.mark.guest


def run(project: Project, name: str, kernel: str = KERNEL) -> Run:
    cache = Cache.default()
    artifacts = Artifacts(cache, Catalog.open(cache, print))
    lab = runner(project, artifacts, Options())
    (expanded,) = load(project, artifacts.catalog, [name], [])
    return lab.run(expanded, artifacts.catalog.select(kernel)[0])


def case(folder: Path, steps: str) -> Run:
    """A scenario of two guests, with the modules of the lab's own project."""
    settings = find(ROOT).settings.model_copy(update={"modules": str(ROOT / "kmod")})
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "case.yaml").write_text(f"{HEAD}steps:\n{steps}")
    return run(Project(folder, settings), "case")


@pytest.mark.parametrize(
    "name",
    [
        "edu-device", "firmware", "usb-storage",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("virtio-rng", "e1000-wire")),
    ],
)  # fmt: skip
def test_a_device_is_driven(name):
    found = run(find(ROOT), name)
    assert found.judgement.verdict is Verdict.PASSED, found.judgement
    assert found.environment["began"] == "from a snapshot"


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [KERNEL, "6.1.0-*-686"])
def test_a_debian_guest_runs_its_programs_and_udev(kernel):
    found = run(find(ROOT), "debian-udev", kernel)
    assert found.judgement.verdict is Verdict.PASSED, found.judgement
    assert found.environment["began"] == "from a snapshot"
    assert found.token and not found.token.how.exact  # edu's factorial is in the host's time


def test_two_guests_talk_over_their_wire():
    found = run(find(ROOT), "pair-ping")
    assert found.judgement.verdict is Verdict.PASSED, found.judgement
    assert "".join(str(step["on"]) for step in found.steps) == "ababab" + "ab"
    consoles = [Path(found.dir) / name for name in ("console", "b/console")]
    assert all("NIC Link is Up" in path.read_text() for path in consoles)
    assert found.token and not found.token.how.exact
    steps = json.loads((Path(found.dir) / "verdict.json").read_text())["steps"]
    assert {step["on"] for step in steps} == {"a", "b"}
    assert {step["state"] for step in steps} == {"passed"}


def test_what_fails_in_the_second_guest_is_its_own(tmp_path):
    found = case(tmp_path, "  - run: true\n  - run: false\n    on: b\n  - run: true\n")
    assert found.judgement.verdict is Verdict.FAILED
    assert found.judgement.reason == "guest b: exit status 1, and success was wanted"
    assert (found.judgement.step, found.judgement.label) == (2, "run: false")
    assert [step["state"] for step in found.steps] == ["passed", "failed", "not judged"]


def test_a_guest_whose_other_one_crashes_does_not_wait_for_it(tmp_path):
    found = case(tmp_path, "  - insmod: crash_lab what=panic\n    on: b\n  - run: true\n")
    assert found.judgement.verdict is Verdict.CRASHED
    assert found.judgement.reason.startswith("guest b: ")
    assert found.judgement.crash and found.judgement.crash.kind == "panic"
    assert found.wall_s < 100  # not the two minutes that steps may take
