"""Where i386 and x86_64 of one version differ."""

import pytest

from vmlab.report import arches
from vmlab.report.told import Step, Told
from vmlab.verdict import Verdict

LINE = "[    {0}.5] Task List::Process PID = {0},::PPID = 7,::State = {1} ::Zombie=ZOMBIE\r\n"


def told(arch: str, kernel: str, *steps: Step, place=None, **more) -> Told:
    fields = {"scenario": "zombie", "verdict": Verdict.PASSED, **more}
    return Told(kernel=kernel, arch=arch, steps=list(steps), place=place, **fields)


def both(*, left: list[Step], right: list[Step], **more) -> arches.Pair:
    return arches.Pair(
        told("i386", "6.1.0-50-686", *left), told("x86_64", "6.1.0-50-amd64", *right, **more)
    )


def step(number: int = 1, state: str = "passed", **more) -> Step:
    return Step(number=number, verb="run", text="ps", state=state, **{"outcome": 0, **more})


@pytest.mark.parametrize(
    ("kernel", "version"),
    [
        ("6.1.0-50-686", "6.1.0-50"), ("6.1.0-50-686-pae", "6.1.0-50"),
        ("6.1.0-50-amd64", "6.1.0-50"), ("report-i386", "report"), ("report-x86_64", "report"),
        ("4.15.0-20-generic", "4.15.0-20"), ("2.6.8", "2.6.8"),
    ],
)  # fmt: skip
def test_twins_are_told_by_their_names_without_the_architecture(kernel, version):
    assert arches.version(kernel) == version


def test_only_what_has_a_twin_is_compared():
    runs = [
        told("i386", "6.1.0-50-686"), told("x86_64", "6.12.1-amd64"),
        told("x86_64", "6.1.0-50-amd64"), told("x86_64", "6.1.0-50-amd64", scenario="other"),
    ]  # fmt: skip
    (pair,) = arches.pairs(runs)
    assert (pair.i386.kernel, pair.x86_64.kernel) == ("6.1.0-50-686", "6.1.0-50-amd64")
    assert arches.text(runs) == "1 pair compared, 0 differ"
    assert arches.text(runs[1:2]).endswith("is there for i386 and for x86_64: 6.12.1-amd64")


def test_a_verdict_a_result_and_an_output_that_differ_are_told_with_both_sides():
    pair = both(
        left=[step(), step(2, output="a 5\nb\n"), step(3)],
        right=[step(state="failed", outcome=3), step(2, output="a 7\nc\n"), step(3)],
        verdict=Verdict.FAILED, reason="exit status 3",
    )  # fmt: skip
    assert [(one.what, one.i386, one.x86_64) for one in arches.differences(pair)] == [
        ("verdict", "passed", "failed: exit status 3"),
        ("step 1, run: ps", "passed, outcome 0", "failed, outcome 3"),
        ("step 2, run: ps: output", "b", "c"),
    ]
    said = arches.text(pair.runs).splitlines()
    assert said[0] == "zombie on 6.1.0-50-686 and 6.1.0-50-amd64:"
    assert said[1:4] == ["  verdict", "    i386:   passed", "    x86_64: failed: exit status 3"]
    assert said[-1] == "1 pair compared, 1 differ"


@pytest.mark.parametrize(("other", "differ"), [("Zombie=ZOMBIE", 0), ("Zombie=NO", 1)])
def test_lines_of_the_console_differ_by_their_words_not_by_pids_and_times(tmp_path, other, differ):
    places = [tmp_path / name for name in arches.NAMES]
    texts = [LINE.format(3, 32), LINE.format(41, 32).replace("Zombie=ZOMBIE", other)]
    runs = []
    for arch, kernel, place, text in zip(
        arches.NAMES, ("6.1-686", "6.1-amd64"), places, texts, strict=True
    ):
        place.mkdir()
        (place / "console").write_text(text)
        runs.append(told(arch, kernel, step(matches=[(0, len(text))]), place=place))
    assert arches.text(runs).endswith(f"1 pair compared, {differ} differ")
