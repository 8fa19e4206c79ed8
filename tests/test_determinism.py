from dataclasses import replace
from pathlib import Path

import pytest

from vmlab.arch import ARCHES
from vmlab.catalog import Kernel
from vmlab.cli.determinism import _line
from vmlab.determinism import Outcome, compare, verify
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict

RESULTS = b"KTAP version 1\n# uptime=3.500000 printk=1 outcome=0\nok 1 - run x\n"
CONSOLE = b"[    1.000000] one\n[    2.000000] two\nno time\n"
FILES = {"console": CONSOLE, "results": RESULTS}


@pytest.mark.parametrize(
    ("name", "content", "line", "guest_s", "other"),
    [
        ("console", CONSOLE.replace(b"two", b"three"), 2, 2.0, "[    2.000000] three"),
        ("console", CONSOLE.replace(b"no time", b"time"), 3, 2.0, "time"),
        ("console", CONSOLE[:-8], 3, 2.0, "(the end)"),
        ("results", RESULTS.replace(b"run x", b"run y"), 3, 3.5, "ok 1 - run y"),
        ("results", RESULTS.replace(b"KTAP", b"TAP"), 1, None, "TAP version 1"),
    ],
)
def test_the_first_difference_has_its_place_and_time(name, content, line, guest_s, other):
    found = compare(7, FILES, FILES | {name: content})
    assert (found.run, found.file, found.line, found.guest_s) == (7, name, line, guest_s)
    assert found.other == other
    assert compare(7, FILES, dict(FILES)) is None


class Runner:
    """Gives each run the files it is told to; one that has none is a run without a guest."""

    verdict = Verdict.FAILED

    def __init__(self, directory: Path, *runs: bytes | None) -> None:
        self.directory, self.runs = directory, list(runs)

    def run(self, expanded, kernel, number) -> Run:
        console = self.runs[number - 1]
        folder = self.directory / str(number)
        folder.mkdir()
        judgement = Judgement(self.verdict, "said so")
        run = Run("x", kernel.id, "i386", "qemu", judgement, 1.0, 1.0, str(folder))
        if console is None:
            return run
        (folder / "console").write_bytes(console)
        return replace(run, token="a guest ran")


KERNEL = Kernel("6.1.0-50-686", ARCHES["i386"], True, (), ())


def outcome(tmp_path: Path, *runs: bytes | None) -> tuple[Outcome, int]:
    remade: list[int] = []
    begun = []
    runner = Runner(tmp_path, *runs)
    found = verify(runner, None, KERNEL, len(runs), lambda: remade.append(1), begun.append)
    assert begun == list(range(1, len(begun) + 1)) != []
    return found, len(remade)


def test_runs_that_are_alike_are_counted_and_the_snapshot_is_made_anew(tmp_path):
    found, remade = outcome(tmp_path, *[b"same"] * 4)
    assert (found.identical, found.fine, remade) == (4, True, 1)
    assert _line("x", found) == "6.1.0-50-686: x: 4 of 4 identical"


def test_one_that_differs_is_shown_beside_the_first(tmp_path):
    found, _ = outcome(tmp_path, b"[ 1.5] a", b"[ 1.5] a", b"[ 1.5] b", b"[ 1.5] c")
    assert (found.identical, found.fine) == (2, False)
    assert _line("x", found).splitlines() == [
        "6.1.0-50-686: x: 2 of 4 identical; first difference in run 3, console line 1, "
        "1.500000 s of guest time:",
        "  run 1:  [ 1.5] a",
        "  run 3: [ 1.5] b",
    ]


def test_runs_without_a_guest_are_no_proof(tmp_path):
    found, _ = outcome(tmp_path, b"a", None, b"a")
    assert not found.fine
    assert _line("x", found).endswith("1 of 3 identical; said so")


def test_what_is_skipped_on_a_kernel_counts_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, "verdict", Verdict.SKIPPED)
    found, _ = outcome(tmp_path, None, None)
    assert (found.fine, found.runs) == (True, 0)
    assert _line("x", found) == "6.1.0-50-686: x: skipped: said so"
