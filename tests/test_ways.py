"""Cold or from a snapshot: the same verdicts, for the same reasons."""

import pytest
import stand_in

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import execute
from vmlab.project import Project, Settings

SCENARIOS = {
    "passes": "  - run: sleep 40\n  - write: /dev/kmsg hello\n  - console: hello\n",
    "fails": "  - run: exit 3\n",
    "crashes": "  - run: 'true'\n  - write: /proc/sysrq-trigger c\n",
    "too-long": "  - sleep: 10m\n",
}
WANTED = {
    "passes": ("passed", "", None),
    "fails": ("failed", "exit status 3, and success was wanted", 1),
    "crashes": ("crashed", "panic: kernel panic: sysrq triggered crash", 2),
    "too-long": (
        "timeout", "the steps took longer than the scenario's timeout of guest time", 1,
    ),
}  # fmt: skip


@pytest.mark.guest
@pytest.mark.parametrize("snapshot", [False, True], ids=["cold", "snapshot"])
def test_both_ways_give_the_same_verdicts(tmp_path, snapshot):
    project = Project(tmp_path, Settings())
    (tmp_path / "scenarios").mkdir()
    for name, steps in SCENARIOS.items():
        text = f"name: {name}\nabout: x\nsteps:\n{steps}"
        (tmp_path / "scenarios" / f"{name}.yaml").write_text(text)
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    options = lab.Options(accel="tcg", snapshot=snapshot)
    runner, pairs = lab.prepare(project, artifacts, [], [], "5.10.0-32-686", options)
    runs = list(execute(runner, pairs, stand_in.share_of_cores(), lambda pair: None))
    found = {
        run.scenario: (str(run.judgement.verdict), run.judgement.reason, run.judgement.step)
        for run in runs
    }
    assert found == WANTED
    assert {run.token.how.restored for run in runs} == {snapshot}
