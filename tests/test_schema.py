import itertools
import re
from pathlib import Path

import pytest

from vmlab.scenario import Known, ScenarioError, expand, load, reference
from vmlab.scenario.values import duration_ms, errno_number, memory_mib

KNOWN = Known(
    frozenset({"kthread_monitor"}),
    frozenset({"zombie"}),
    lambda text: "no kernel is meant" if text == "7.0" else None,
)
HEAD = "name: case\nabout: a case\n"


def problems(tmp_path: Path, text: str | bytes) -> list[tuple[int, int, str]]:
    path = tmp_path / "case.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ScenarioError) as caught:
        load(path, KNOWN)
    for line in str(caught.value).split("\n"):
        assert line.startswith(f"{path}:")
    return [(one.line, one.column, one.message) for one in caught.value.problems]


def steps(text: str) -> str:
    return f"{HEAD}modules: [kthread_monitor]\nsteps:\n{text}"


def crashes(wanted: str) -> str:
    return f"{HEAD}steps:\n  - expect_crash: {wanted}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the file is empty"),
        ("- a list\n", 1, 1, "a scenario begins with name:"),
        (HEAD + "\tsteps: []\n", 3, 1, "a tab begins this"),
        (HEAD + "steps: [\n", 4, 1, "expected the node content"),
        (
            HEAD + "name: case\nsteps:\n  - sleep: 1s\n",
            3,
            1,
            "'name' is here twice, first in line 1",
        ),
        (b"name: \xff\n", 1, 1, "byte 0xff is no UTF-8"),
        (HEAD + "steps: []\n", 3, 8, "at least 1 item"),
        (HEAD + "stepz:\n  - sleep: 1s\n", 3, 1, "unknown key 'stepz'; the nearest is 'steps'"),
        (HEAD + "steps:\n  - sleep: 5\n", 4, 12, "'5' is no duration"),
        (HEAD + "steps:\n  - sleep: 0s\n", 4, 12, "not between"),
        (HEAD + "memory: 8M\nsteps:\n  - sleep: 1s\n", 3, 9, "memory '8M' is not between"),
        (HEAD + "cpus: two\nsteps:\n  - sleep: 1s\n", 3, 7, "valid integer"),
        (HEAD + "clock: fast\nsteps:\n  - sleep: 1s\n", 3, 8, "'virtual' or 'real'"),
        (HEAD + "kernels: '7.0'\nsteps:\n  - sleep: 1s\n", 3, 10, "no kernel is meant"),
        (HEAD + "workloads: [zombi]\nsteps:\n  - sleep: 1s\n", 3, 13, "the nearest is 'zombie'"),
        (HEAD + "modules: [other]\nsteps:\n  - sleep: 1s\n", 3, 11, "unknown module 'other'"),
        (HEAD + "parameters:\n  n: []\nsteps:\n  - sleep: 1s\n", 4, 6, "'n' has no value"),
        (steps("  - just text\n"), 5, 5, "a step is a verb"),
        (steps("  - insmood: x\n"), 5, 5, "unknown step 'insmood'; the nearest is 'insmod'"),
        (steps("  - insmod: kthread_monitr\n"), 5, 13, "unknown module 'kthread_monitr'"),
        (steps("  - run: x\n    spawn: y\n"), 6, 5, "one verb, and this has run and spawn"),
        (steps("  - run: x\n    staus: 1\n"), 6, 5, "unknown key 'staus'; the nearest is 'status'"),
        (steps("  - run: x\n    status: 256\n"), 6, 13, "no exit status"),
        (steps("  - rmmod: x\n    errno: EWHAT\n"), 6, 12, "'EWHAT' is no errno"),
        (steps("  - console: '('\n"), 5, 14, "pattern '(': missing )"),
        (steps("  - run: x\n    output: '['\n"), 6, 13, "unterminated character set"),
        (steps("  - run: echo {z.pid}\n"), 5, 10, "no step before this is named 'z'"),
        (steps("  - run: echo {count}\n"), 5, 10, "{count} is no parameter"),
        (
            steps("  - run: a\n    as: r\n  - run: b\n    as: r\n"),
            8,
            9,
            "taken by the step in line 5",
        ),
        (steps("  - run: a\n    as: R2\n"), 6, 9, "'R2' is no name"),
        (steps("  - no_console: x\n"), 5, 5, "key 'for' is missing"),
        (steps("  - run: ''\n"), 5, 10, "nothing is written here"),
        (crashes("{kind: NUL dereference}"), 4, 26, "the nearest is 'NULL dereference'"),
        (crashes("{kind: [BUG, zzz]}"), 4, 32, "unknown kind of crash 'zzz'; there are BUG, "),
        (crashes("{title: x}"), 4, 19, "key 'kind' is missing"),
        (crashes("{kind: BUG, titel: x}"), 4, 31, "unknown key 'titel'; the nearest is 'title'"),
        (crashes("{kind: BUG, title: '('}"), 4, 38, "pattern '(': missing )"),
        (crashes("{kind: BUG, title: '{z.pid}'}"), 4, 38, "no step before this is named 'z'"),
        (crashes("{kind: BUG, within: 5}"), 4, 39, "'5' is no duration"),
        (crashes("{kind: BUG}\n  - sleep: 1s"), 4, 5, "in the last step: none runs after it"),
        (HEAD + "allow: [warnin]\nsteps:\n  - sleep: 1s\n", 3, 9, "the nearest is 'warning'"),
        (HEAD + "allow: [{}]\nsteps:\n  - sleep: 1s\n", 3, 9, "a kind, a title or both"),
        (HEAD + "allow: [{title: '('}]\nsteps:\n  - sleep: 1s\n", 3, 17, "pattern '(': missing )"),
        (HEAD + "allow: [{knd: BUG}]\nsteps:\n  - sleep: 1s\n", 3, 10, "the nearest is 'kind'"),
        (HEAD + "config: [HUNG]\nsteps:\n  - sleep: 1s\n", 3, 10, "'HUNG' is no option"),
        (HEAD + "flood: 16\nsteps:\n  - sleep: 1s\n", 3, 8, "'16' is no size"),
        (HEAD + "skip_if:\n  - {kernl: x}\nsteps:\n  - sleep: 1s\n", 4, 6, "nearest is 'kernel'"),
    ],
    ids=itertools.count(),
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, line, column, message):
    found = problems(tmp_path, text)
    assert [one for one in found if one[:2] == (line, column) and message in one[2]], found


def test_all_problems_are_said_at_once(tmp_path):
    text = "name: other\ncpu: 1\nsteps:\n  - insmod: nothing\n  - sleep: x\n  - console: '('\n"
    found = problems(tmp_path, text)
    assert [one[0] for one in found] == [1, 2, 4, 5, 6]


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(ScenarioError, match=r"case\.yaml:1:1: .* no such file"):
        load(tmp_path / "case.yaml", KNOWN)


def test_the_name_must_be_the_file_s(tmp_path):
    found = problems(tmp_path, "name: other\nabout: x\nsteps:\n  - sleep: 1s\n")
    assert found == [(1, 7, "name 'other' and the file's name 'case' must agree")]


def loaded(tmp_path: Path, text: str):
    path = tmp_path / "case.yaml"
    path.write_text(text)
    return load(path, KNOWN)


def test_words_that_yaml_takes_for_something_else_stay_text(tmp_path):
    one = loaded(tmp_path, HEAD + "steps:\n  - run: true\n  - read: on\n  - write: 010\n")
    assert [step.argument for step in one.scenario.steps] == ["true", "on", "010"]


def test_steps_become_lines_for_the_agent(tmp_path):
    text = steps(
        "  - spawn: zombie --count 2\n    as: z\n"
        "  - insmod: kthread_monitor comm=a\n    errno: EINVAL\n"
        "  - run: |\n      a\n      b\n    status: nonzero\n"
        "  - sleep: 1.5s\n"
        "  - console: '{z.pid}\\d{3}'\n    within: 5s\n"
        "  - no_console: x\n    for: 200ms\n"
    )
    (one,) = expand(loaded(tmp_path, text))
    assert one.program() == [
        "spawn\t0\tz\t10000\tzombie --count 2",
        "insmod\t22\t-\t0\tkthread_monitor comm=a",
        "run\tnonzero\t-\t0\ta\\nb\\n",
        "sleep\t0\t-\t1500\t",
        "console\t0\t-\t5000\t{z.pid}\\\\d{3}",
        "no_console\t0\t-\t200\tx",
    ]
    assert [step.line for step in one.steps] == [5, 7, 9, 13, 14, 16]


def test_a_crash_that_is_wanted_has_kinds_and_a_title_with_parameters(tmp_path):
    head = f"{HEAD}parameters:\n  what: [bug]\nallow: [taint, {{title: hello}}]\nflood: 64K\n"
    wanted = "{kind: [BUG, panic], title: 'in {what}_', within: 5s}"
    one = expand(loaded(tmp_path, f"{head}steps:\n  - expect_crash: {wanted}\n"))[0]
    assert one.program() == ["expect_crash\t0\t-\t5000\tBUG or panic: in bug_"]
    assert one.steps[0].text("title") == "in bug_"
    taint, hello = one.scenario.allow
    assert (taint.kind, taint.title, hello.kind, hello.title) == ("taint", None, None, "hello")
    assert one.scenario.flood == 64 << 10


def test_each_combination_of_parameters_is_a_run(tmp_path):
    text = HEAD + "parameters:\n  n: [1, 2]\n  way: [a]\nsteps:\n  - run: x {n} {way} ${n} {z }\n"
    runs = expand(loaded(tmp_path, text))
    assert [run.name for run in runs] == ["case(n=1,way=a)", "case(n=2,way=a)"]
    assert runs[1].steps[0].argument == "x 2 a ${n} {z }"


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5000), ("1.5s", 1500), ("20ms", 20), ("2m", 120_000)]
)
def test_durations(text, expected):
    assert duration_ms(text) == expected


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-1s", "0ms", "25h", "1e3s", "1441m"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="duration"):
        duration_ms(text)


@pytest.mark.parametrize(("text", "expected"), [("192M", 192), ("1G", 1024)])
def test_memory(text, expected):
    assert memory_mib(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("EINVAL", "22"), ("EAGAIN", "11"), ("any", "any")])
def test_errno(text, expected):
    assert errno_number(text) == expected


def test_the_committed_schema_is_the_models_own():
    assert reference.COMMITTED.read_text() == reference.schema_text(), "run: vmlab schema"


def test_the_committed_reference_is_the_models_own():
    page = Path(__file__).parent.parent / "docs" / "scenarios.md"
    assert page.read_text() == reference.markdown(), "run: vmlab schema --docs > docs/scenarios.md"


def test_the_shipped_files_are_valid_by_the_committed_schema():
    """Every key that a shipped file uses is in the schema."""
    import yaml

    properties = reference.schema()["properties"]
    files = sorted((Path(__file__).parent.parent / "scenarios").glob("*.yaml"))
    assert len(files) >= 16
    for path in files:
        assert set(yaml.safe_load(path.read_text())) <= set(properties), path


def test_a_stroke_does_not_end_a_table_s_cell():
    (row,) = [line for line in reference.markdown().split("\n") if line.startswith("| `config` ")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
