"""Reports in the formats of others: each is read by something that is not ours."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import ktap as reader
import pytest
from markdown_it import MarkdownIt
from told_runs import CONSOLE, EACH, crashed, record, report, told

from vmlab.report import clean, events, github, junit, ktap, markdown
from vmlab.report.formats import FORMATS
from vmlab.report.page import html
from vmlab.report.told import Report, Step, of_directory
from vmlab.runner import Run
from vmlab.verdict import Judgement, Verdict

XSD = Path(__file__).parent / "data" / "junit.xsd"


@pytest.fixture
def each(tmp_path):
    return report(tmp_path / "20261124-120000-1-1", *EACH)


def valid(text: str) -> ET.Element:
    """The document, checked against the schema where lxml is there."""
    etree = pytest.importorskip("lxml.etree", reason="lxml checks the schema: pip install lxml")
    schema = etree.XMLSchema(etree.parse(str(XSD)))
    schema.assertValid(etree.fromstring(text.encode()))
    return ET.fromstring(text)


def test_junit_is_valid_and_counts_each_verdict_once(each):
    root = valid(junit.xml(each))
    suite = root[0]
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "3", "errors": "1", "skipped": "1"}
    kinds = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert kinds == {
        "loads": [], "modern": ["skipped"], "resets": ["failure", "system-out"],
        "counts": ["failure", "system-out"], "waits": ["failure", "system-out"],
        "odd": ["error", "system-out"],
    }  # fmt: skip


def test_junit_says_where_a_crash_was_and_how_to_see_it_again(each):
    failure = next(ET.fromstring(junit.xml(each)).iter("failure"))
    found = {case.get("name"): case for case in ET.fromstring(junit.xml(each)).iter("testcase")}
    failure = found["resets"][0]
    assert failure.get("message") == "BUG: NULL dereference in ring_reset"
    assert failure.get("type") == "crashed"
    assert failure.text.splitlines()[:3] == [
        "step 3, scenarios/resets.yaml:7: write: /sys/reset 1",
        "stack:",
        "  ring_reset+0x8/0x1d [ring] (ring.c:24)",
    ]
    assert "again: vmlab replay vm1:resets:x" in failure.text
    assert "Kernel panic - not syncing" in found["resets"][1].text


def test_the_schema_refuses_what_readers_do_not_know(each):
    etree = pytest.importorskip("lxml.etree", reason="lxml checks the schema: pip install lxml")
    text = junit.xml(each)
    for right, wrong in (("system-out>", "out>"), ('time="1.250"', 'took="1"'),
                         ('failures="3"', 'failures="x"')):  # fmt: skip
        broken = text.replace(right, wrong)
        assert broken != text
        with pytest.raises(etree.DocumentInvalid):
            valid(broken)


def test_ktap_is_read_by_the_kernel_s_rules(each):
    whole = reader.parse(ktap.text(each))
    (kernel,) = whole.subtests
    assert (kernel.name, kernel.ok) == ("6.1-686", False)
    assert {one.name: (one.ok, one.directive) for one in kernel.subtests} == {
        "loads": (True, ""), "modern": (True, "SKIP"), "resets": (False, ""),
        "counts": (False, ""), "waits": (False, "TIMEOUT"), "odd": (False, "ERROR"),
    }  # fmt: skip
    crash = next(one for one in kernel.subtests if one.name == "resets")
    assert [(one.name, one.ok, one.directive) for one in crash.subtests] == [
        ("insmod: ring", True, ""), ("console: ready", True, ""),
        ("write: /sys/reset 1", False, ""), ("rmmod: ring", True, "SKIP"),
    ]  # fmt: skip
    assert crash.subtests[0].diagnostics == ["    # | said"]
    assert any("ring_reset+0x8/0x1d [ring] (ring.c:24)" in line for line in crash.diagnostics)


@pytest.mark.parametrize(
    "wrong",
    [
        "1..1\nok 1 a\n", "KTAP version 1\n1..2\nok 1 a\n", "KTAP version 1\n1..1\nok 2 a\n",
        "KTAP version 1\n1..1\nok 1 a\nok 2 b\n", "KTAP version 1\n1..1\n# Subtest: x\nok 1 a\n",
        "KTAP version 1\n1..1\nrubbish\nok 1 a\n", "KTAP version 1\n1..1\nok 1 a # TIMEOUT\n",
        "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: b\n  1..1\n  ok 1 c\nok 1 a\n",
    ],
)  # fmt: skip
def test_the_reader_of_ktap_is_strict(wrong):
    with pytest.raises(ValueError):
        reader.parse(wrong)


def test_markdown_has_the_matrix_worst_first_and_folds_failures(each):
    text = markdown.text(each)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    cells = [one.content for one in tokens if one.type == "inline"]
    assert cells[0] == "vmlab: 1 crashed, 1 failed, 1 timeout, 1 broken, 1 skipped, 1 passed"
    assert cells[1:5] == ["scenario", "<code>6.1-686</code>", "<code>resets</code>",
                          "\U0001f4a5 crashed 1.2 s"]  # fmt: skip
    fences = [one.content for one in tokens if one.type == "fence"]
    assert len(fences) == 4
    assert "ring_reset+0x8/0x1d [ring] (ring.c:24)" in fences[0]


def test_markdown_stays_below_what_github_takes(tmp_path):
    long = [crashed(f"s{number}", seen="x\n" * 40_000) for number in range(60)]
    text = markdown.text(report(tmp_path, *long))
    assert len(text) < 1_000_000
    told = text.count("<details>")
    assert 0 < told < 60
    assert f"{60 - told} more went wrong" in text


def annotations(found, root="/p", workspace="/p") -> list[str]:
    return list(github.annotations(found, Path(root), Path(workspace)))


def test_github_is_told_file_and_line_of_the_yaml_step(each):
    lines = annotations(each)
    assert lines[0] == (
        "::error file=scenarios/resets.yaml,line=7,title=crashed%3A resets on 6.1-686::"
        "step 3: write: /sys/reset 1: BUG: NULL dereference in ring_reset%0A"
        "again: vmlab replay vm1:resets:x"
    )
    assert [line.partition(" ")[0] for line in lines] == ["::error"] * 3 + ["::warning"]
    inner = annotations(each, "/p/sub/project", "/p")
    assert inner[0].startswith("::error file=sub/project/scenarios/resets.yaml,line=7,")


def test_github_s_limit_of_annotations_is_said(tmp_path):
    for number, more in ((11, "1 more run"), (13, "3 more runs")):
        failed = [record(f"s{n}", "failed") for n in range(number)]
        lines = annotations(report(tmp_path / str(number), *failed))
        assert len(lines) == 11
        assert lines[-1] == f"::notice::{more} went wrong; the report tells of all"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\r\nb\tc", "a\nb\tc"), ("\x1b[2J\x00", "\u241b[2J\u2400"), ("x\ry", "x\u240dy"),
        ("\x7f\x9b", "\u2421<U+009B>"), ("a\u202eb", "a<U+202E>b"), ("\ud800", "<U+D800>"),
        ("\ufffe", "<U+FFFE>"), ("\U000e0041", "<U+E0041>"), ("gr\u00fc\u4e2d", "gr\u00fc\u4e2d"),
    ],
)  # fmt: skip
def test_what_is_not_seen_is_made_visible(text, seen):
    assert clean.visible(text) == seen


def test_long_lines_are_cut_and_it_is_said():
    assert clean.short("abcdef\nab", 3) == "abc\u2026 (3 more characters)\nab"


def test_a_run_directory_is_read_with_its_files_and_no_others(tmp_path):
    folder = tmp_path / "20261124-120000-1-1"
    found = report(folder, crashed(), record("loads"))
    assert [run.scenario for run in found.runs] == ["loads", "resets"]
    assert found.runs[1].content("console") == CONSOLE
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folder / "000" / "console").unlink()
    (folder / "000" / "console").symlink_to(secret)
    assert of_directory(folder).runs[1].content("console") == b""


def test_runs_of_one_kind_are_cases_of_their_own(tmp_path):
    root = valid(junit.xml(report(tmp_path, record("s"), record("s", "failed"))))
    assert [case.get("name") for case in root.iter("testcase")] == ["s", "s (2)"]
    assert "failed" in markdown.text(report(tmp_path / "b", record("s", "failed"), record("s")))


def test_a_report_of_nothing_is_one_too():
    nothing = Report("", [])
    assert len(valid(junit.xml(nothing))) == 0
    assert reader.parse(ktap.text(nothing)).subtests == []
    assert "nothing was run" in markdown.text(nothing)
    assert "<title>nothing was run: vmlab </title>" in html(nothing)


def test_only_a_crashed_run_is_told_by_its_crash():
    failed = told({**crashed(reason="another crash was wanted"), "verdict": "failed"})
    assert failed.headline == "another crash was wanted"
    assert told(crashed()).headline == "BUG: NULL dereference in ring_reset"
    assert told({**crashed(reason="r\nmore"), "crash": None}).headline == "r"


def test_the_docs_name_every_key_and_event():
    run = Run("s", "6.1", "i386", "qemu", Judgement(Verdict.PASSED), 1, 1, "d")
    events_ = [events.start([("s", "k")]), events.run_start("s", "k"), *events.of_run(run),
               events.end([run], 0)]  # fmt: skip
    keys = {key for one in (run.record(), *events_) for key in one}
    words = {str(one["event"]) for one in events_} | {"step", *Step.model_fields, *FORMATS}
    docs = (Path(__file__).parent.parent / "docs" / "reports.md").read_text()
    named = set(re.findall(r"`(?:--)?([\w-]+)(?: FILE)?`", docs))
    assert (keys | words) - named == set()
