"""What verdict.json says of a run's steps."""

import json
from pathlib import Path

import pytest

from vmlab import story
from vmlab.arch import ARCHES
from vmlab.guest import qemu
from vmlab.guest.results import Results, StepResult
from vmlab.runner import Run
from vmlab.scenario import Known, expand, load
from vmlab.verdict import Judgement, Verdict

CONSOLE = b"[    1.0] early\r\n[    1.1] tick 1\r\n[    1.2] tick 2\r\n[    1.3] done 7\r\n"
AT = {text: CONSOLE.index(text.encode()) for text in ("[    1.1]", "[    1.2]", "[    1.3]")}
STEPS = """
  - run: true
    as: r
  - console: 'tick \\d'
  - console: 'tick \\d'
  - console: 'done {r.status}'
"""


def expanded(tmp_path: Path, steps: str = STEPS):
    path = tmp_path / "case.yaml"
    path.write_text(f"name: case\nabout: x\nsteps:{steps}")
    return expand(load(path, Known(frozenset())))[0]


def result(verb: str, uptime: float, console: tuple[int, int], argument: str = "") -> StepResult:
    return StepResult(verb, argument, "passed", 0, uptime, 1, "said", console, {"r.status": "7"})


def results(placed: bool = True) -> Results:
    whole = (AT["[    1.1]"], len(CONSOLE))
    done = (result("run", 1.05, (whole[0], whole[0]), "true"), *(
        result("console", uptime, whole) for uptime in (1.2, 1.3, 2.5)
    ))  # fmt: skip
    return Results("6.1", done, 4, None, placed)


def test_steps_have_their_times_places_and_matched_lines(tmp_path):
    made = story.steps(expanded(tmp_path), results(), CONSOLE, Judgement(Verdict.PASSED))
    assert [(one["number"], one["line"], one["verb"], one["state"]) for one in made] == [
        (1, 4, "run", "passed"), (2, 6, "console", "passed"), (3, 7, "console", "passed"),
        (4, 8, "console", "passed"),
    ]  # fmt: skip
    assert [(one["began_s"], one["ended_s"]) for one in made] == [
        (None, 1.05), (1.05, 1.2), (1.2, 1.3), (1.3, 2.5),
    ]  # fmt: skip
    assert [[CONSOLE[a:b] for a, b in one["matches"]] for one in made] == [
        [], [b"[    1.1] tick 1\r\n"], [b"[    1.2] tick 2\r\n"], [b"[    1.3] done 7\r\n"],
    ]  # fmt: skip
    assert (made[0]["text"], made[0]["output"], made[0]["console"]) == ("true", "said", [17, 17])


def test_counted_matches_are_all_told(tmp_path):
    steps = "\n  - run: true\n  - console: tick\n    times: 2\n"
    found = Results("6.1", results().steps[:2], 2, None)
    made = story.steps(expanded(tmp_path, steps), found, CONSOLE, Judgement(Verdict.PASSED))
    assert [CONSOLE[a:b][:9] for a, b in made[1]["matches"]] == [b"[    1.1]", b"[    1.2]"]


def test_without_places_nothing_is_said_to_match(tmp_path):
    judged = Judgement(Verdict.BROKEN, "x")
    made = story.steps(expanded(tmp_path), results(placed=False), CONSOLE, judged)
    assert [one["matches"] for one in made] == [[]] * 4
    assert [one["state"] for one in made] == ["not judged"] * 4


@pytest.mark.parametrize(
    ("came", "judged", "states"),
    [
        (4, Judgement(Verdict.FAILED, "x", 2), ["passed", "failed", *["not judged"] * 2]),
        (1, Judgement(Verdict.CRASHED, "x", 2), ["passed", "crashed", *["not reached"] * 2]),
        (0, Judgement(Verdict.CRASHED, "x"), ["not reached"] * 4),
        (0, Judgement(Verdict.TIMEOUT, "x", 1), ["timeout", *["not reached"] * 3]),
    ],
)  # fmt: skip
def test_no_step_is_said_to_have_passed_that_did_not(tmp_path, came, judged, states):
    found = Results("6.1", results().steps[:came], came, "x")
    made = story.steps(expanded(tmp_path), found, CONSOLE, judged)
    assert [one["state"] for one in made] == states


def test_the_step_under_way_has_all_that_came_after_the_one_before(tmp_path):
    found = Results("6.1", results().steps[:1], 2, "x")
    made = story.steps(expanded(tmp_path), found, CONSOLE, Judgement(Verdict.CRASHED, "x", 2))
    assert (made[1]["began_s"], made[1]["ended_s"]) == (1.05, None)
    assert (made[1]["console"], made[2]["console"]) == ([17, len(CONSOLE)], None)


def test_verdict_json_says_its_version_and_holds_what_came(tmp_path):
    made = story.steps(expanded(tmp_path), results(), CONSOLE, Judgement(Verdict.PASSED))
    run = Run("s", "6.1", "i386", "qemu", Judgement(Verdict.PASSED), 1, 1, "d", file="s.yaml",
              steps=made, environment={"cpus": 1})  # fmt: skip
    record = json.loads(json.dumps(run.record()))
    assert (record["version"], record["file"], record["environment"]) == (1, "s.yaml", {"cpus": 1})
    assert record["steps"] == made


@pytest.mark.parametrize(
    ("changed", "backend", "restored", "why"),
    [
        ({}, "qemu", False, None),
        ({"clock": "real"}, "qemu", True, None),
        ({"clock": "real"}, "qemu", False, "on the real clock"),
        ({"devices": ("e1000", "nvme")}, "qemu", False, "QEMU writes no state of nvme"),
        ({"devices": ("e1000",)}, "qemu", False, None),
        ({}, "virtme", False, "virtme-ng boots each guest"),
    ],
)
def test_why_a_guest_booted_is_told_where_it_has_no_snapshot(changed, backend, restored, why):
    machine = qemu.Machine(ARCHES["i386"], **changed)
    told = story.environment(machine, "qemu-system-i386", restored, backend)
    assert told["began"] == ("from a snapshot" if restored else "by a boot")
    assert str(told.get("no_snapshot")).startswith(str(why))
