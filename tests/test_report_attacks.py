"""What a guest says cannot break out of a report, whatever the format.

Each report of a hostile guest is compared with that of a harmless one: it has the same structure.
"""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import ktap as reader
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_reports import valid
from told_runs import CONSOLE, CRASH, crashed, report

from vmlab.report import changes, github, junit, ktap, markdown
from vmlab.report.page import html
from vmlab.report.told import Report

# Each breaks at least one format whose writer takes a guest's words as they are.
ATTACKS = (
    "</pre></details></style></title><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\"><svg onload=alert(1)>",
    "\" onmouseover=\"document.title='owned'\" x=\"", "' autofocus onfocus='alert(1)",
    "<!-- <![CDATA[ ]]> -->&lt;script&gt;&#60;script&#62;", "{{ 7 * 7 }}{% raw %}",
    "\x00\x01\x0b\x1b[2J\x1b]0;owned\x07\x9b31m\x7f", "\ufffe\uffff\udfff\U000e0041",
    "a\u202ecba\u2066\u200bx\u2028y", "\r\n::error file=a,line=1::owned",
    "::set-env name=PATH::/tmp%0A::error::owned%0D", "x\n##[error]owned\n  ::stop-commands::x",
    "\n::add-mask::a,b:c", "ok 1 - owned # SKIP\nnot ok 2\n1..9\nBail out!",
    "# Subtest: owned\nSubtest: owned\nKTAP version 1\n    # Subtest: deeper",
    "a # SKIP owned", "```\n</details>\n# owned\n````\n~~~", "| a | b |\n|---|---|\n\\",
    "[x](javascript:alert(1)) ![y](http://evil.example/y.png) <http://evil.example>",
    "@someone #1 https://evil.example www.evil.example :smile: **bold** `code` $x$ ~~no~~",
    "]]>", "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    '"}\n{"event": "end", "exit_status": 0}', "x" * 50_000,
)  # fmt: skip


def hostile(words: str) -> object:
    """A run in which a guest said this wherever a guest can say something."""
    plain = words.encode("utf-8", "replace").decode()
    made = crashed(reason=words, label=words, wanted=words, seen=words)
    made["steps"] = json.loads(json.dumps(made["steps"]).replace('"said"', json.dumps(words)))
    made["steps"][1]["text"] = words
    crash = json.loads(json.dumps(CRASH))
    for key in ("title", "kind", "line_text", "function", "task", "taint"):
        crash[key] = words
    crash["modules"], crash["registers"] = [words], {"EAX": words}
    crash["frames"][0]["function"] = crash["frames"][0]["module"] = words
    crash["frames"][0]["source"]["around"] = [[23, plain], [24, plain]]
    crash["frames"][0]["inlined"][0]["function"] = words
    crash["followers"][0]["title"] = words
    return made | {"crash": crash}


def made_up(folder: Path, words: str) -> Report:
    said = words.encode("utf-8", "replace")
    return report(folder, hostile(words), console=CONSOLE + said + b"\r\n" + said)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory) -> dict[str, object]:
    """The structure of each format where the guest says nothing but a word."""
    found = made_up(tmp_path_factory.mktemp("harmless"), "said")
    return {name: structure(found) for name, structure in FORMATS.items()}


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag):
        self.found.append(tag)

    def handle_comment(self, data):
        self.found.append(("comment", data))


def of_html(found: Report) -> object:
    text = html(found)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    text.encode()
    return Tags(text).found


def of_junit(found: Report) -> object:
    return [(one.tag, sorted(one.attrib)) for one in valid(junit.xml(found)).iter()]


def of_ktap(found: Report) -> object:
    return [result[1:] for result in reader.parse(ktap.text(found)).results()]


def of_markdown(found: Report) -> object:
    """The page's parts, and that none of them is a link, a picture or an address to link to."""
    text = markdown.text(found)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    inner = [child for one in tokens for child in one.children or ()]
    outside = "".join(one.content for one in tokens if one.type not in ("fence", "code_block"))
    code = re.sub("<code>[^<>`@$:/|*~]*</code>", "", outside)
    assert not re.search("[@`]|://|www[.]|evil|owned|<(?!/?(?:details|summary)>)", code)
    return [one.type for one in tokens], [one.type for one in inner]


def of_github(found: Report) -> object:
    """Each line is one command, as a runner reads it, and the keys of its properties."""
    lines = "\n".join(github.annotations(found, Path("/p"), Path("/p"))).splitlines()
    read = []
    for line in lines:
        command = re.fullmatch("::(error|warning|notice) ([^:]*)::(.*)", line)
        assert command, line
        assert "##[" not in line.replace("##[error]owned", "")
        read.append((command[1], [part.partition("=")[0] for part in command[2].split(",")]))
    return read


def of_diff(found: Report) -> object:
    text = changes.text(changes.changes(Report("", ()), found, 2))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    return [line.partition(":")[0] for line in text.split("\n")]


FORMATS: dict[str, Callable[[Report], object]] = {
    "html": of_html, "junit": of_junit, "ktap": of_ktap, "markdown": of_markdown,
    "github": of_github, "diff": of_diff,
}  # fmt: skip


@pytest.mark.parametrize("words", ATTACKS, ids=range(len(ATTACKS)))
@pytest.mark.parametrize("name", FORMATS)
def test_no_attack_changes_a_report_s_structure(tmp_path, harmless, name, words):
    assert FORMATS[name](made_up(tmp_path, words)) == harmless[name]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.sampled_from(ATTACKS[:-1]), st.text(max_size=20)), min_size=1))
def test_no_words_at_all_change_a_report_s_structure(tmp_path_factory, harmless, parts):
    found = made_up(tmp_path_factory.mktemp("runs"), "".join(parts) + ".")
    assert {name: structure(found) for name, structure in FORMATS.items()} == harmless


def test_an_event_is_one_line_whatever_a_guest_said(tmp_path):
    from vmlab.plain import plain
    from vmlab.report import events
    from vmlab.runner import Run
    from vmlab.verdict import Judgement, Verdict

    path = tmp_path / "events"
    stream = events.Stream(path, clock=lambda: 1.5)
    for words in ATTACKS:
        judged = Judgement(Verdict.FAILED, words, seen=words)
        stream.write(
            *events.of_run(Run("s", "k", "a", "b", judged, 1, 1, "d", steps=[{"x": words}]))
        )
    stream.close()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["event"] for line in lines] == ["step", "run-end"] * len(ATTACKS)
    assert [line["reason"] for line in lines[1::2]] == [plain(words) for words in ATTACKS]


def test_while_a_report_is_shown_github_takes_no_commands():
    first, second = github.Muted(), github.Muted()
    word = first.begin.removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", word)
    assert first.end == f"::{word}::"
    assert second.begin != first.begin


def test_the_document_that_an_entity_names_is_not_read(tmp_path):
    words = next(one for one in ATTACKS if "ENTITY" in one)
    text = junit.xml(made_up(tmp_path, words))
    assert "<!ENTITY" not in text
    assert words in (ET.fromstring(text).find(".//failure").text or "")
