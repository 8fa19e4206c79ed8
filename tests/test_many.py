"""Many guests at once."""

import os
from pathlib import Path

import pytest

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.cache import Cache
from vmlab.catalog import Catalog
from vmlab.executor import Pair, each, execute
from vmlab.project import find
from vmlab.runner import Run

GUESTS = 50
MOST_BYTES = 4 << 30


def memory() -> tuple[int, int]:
    """Bytes of all guests of this process (each page counted once among those who share it), and
    how many guests there are."""
    total = guests = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{os.getpid()}\n" not in (path / "status").read_text():
                continue
            rollup = (path / "smaps_rollup").read_text()
        except OSError:
            continue
        guests += 1
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return total * 1024, guests


@pytest.mark.guest
@pytest.mark.slow
def test_fifty_guests_at_once_are_all_judged_right_in_four_gigabytes(tmp_path):
    artifacts = Artifacts(Cache.default(), Catalog.open(Cache.default(), print))
    names = ["zombie-detect", "thirty-seconds", "wrong-kernel", "parameters-rejected"]
    project = find(Path(__file__).parent)
    runner, pairs = lab.prepare(project, artifacts, names, [], None, lab.Options(accel="tcg"))
    assert {run.judgement.verdict for run in execute(runner, pairs, 2, lambda pair: None)} == {
        "passed"
    }
    most, alive = 0, 0
    verdicts = []
    wanted = list(enumerate((pairs * 13)[: 4 * GUESTS]))

    def again(numbered: "tuple[int, Pair]") -> Run:
        number, pair = numbered
        return runner.run(*pair, again=number)

    for run in each(again, wanted, GUESTS, lambda numbered: None, runner.stop):
        verdicts.append(str(run.judgement.verdict))
        found, guests = memory()
        most, alive = max(most, found), max(alive, guests)
    assert verdicts == ["passed"] * 4 * GUESTS
    assert alive >= GUESTS // 2
    print(f"{alive} guests seen at once, {most / 1e6:.0f} MB")
    assert most < MOST_BYTES
    assert memory()[1] == 0
