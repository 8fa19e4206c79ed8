"""The report page without a browser: pieces of a console, the axis, what stands in the page."""

import random
import re
from html.parser import HTMLParser

import pytest
from told_runs import (
    CONSOLE,
    CRASH,
    EACH,
    PLACE,
    crashed,
    record,
    report,
    step,
    told,
    write,
)

from vmlab.report import console
from vmlab.report.axis import axis
from vmlab.report.junit import xml
from vmlab.report.page import html
from vmlab.report.told import of_directory


def pieces(one, text=CONSOLE):
    return [(piece.kind, piece.text, piece.steps) for piece in console.pieces(told(one), text)]


def test_a_console_is_cut_where_steps_began_and_at_what_they_matched():
    lines = [line + "\n" for line in CONSOLE.decode().replace("\r\n", "\n").split("\n")[:-1]]
    assert pieces(crashed()) == [
        ("step", "", (1, 2)), ("text", lines[0], ()), ("match", lines[1], (2,)),
        ("step", "", (3,)), ("crash", "".join(lines[2:5]), ()), ("text", lines[5], ()),
    ]  # fmt: skip


def test_a_step_that_began_within_a_line_is_told_before_it():
    begun = step(1, "run", "x", console=[PLACE["[    1.1"] + 9, len(CONSOLE)])
    found = pieces(record("s", steps=[begun]))
    assert [kind for kind, _, _ in found] == ["text", "step", "text"]
    assert found[2][1].startswith("[    1.100000] ring: ready")


def test_nothing_of_a_console_is_lost_or_doubled_wherever_the_marks_are():
    chance = random.Random(7)
    for _ in range(200):
        matches = [sorted(chance.sample(range(len(CONSOLE) + 1), 2)) for _ in range(5)]
        begun = chance.randrange(len(CONSOLE) + 1)
        one = record("s", steps=[step(1, "console", "x", console=[begun, begun], matches=matches)],
                     crash=CRASH | {"first_line": chance.randrange(9), "last_line": 4})  # fmt: skip
        plain = CONSOLE.replace(b"\r\n", b"\n")
        made = console.pieces(told(one), plain)
        assert "".join(piece.text for piece in made) == plain.decode()


def test_a_huge_console_is_shown_by_its_ends_and_that_is_said():
    text = b"".join(b"[%12.6f] line %d\n" % (n / 1e3, n) for n in range(100_000))
    made = pieces(record("s", steps=[step(1, "console", "x", console=[0, len(text)])]), text)
    assert [kind for kind, _, _ in made] == ["step", "text", "cut", "text"]
    left_out = int(made[2][1].split()[0])
    assert left_out + sum(len(piece[1]) for piece in (made[1], made[3])) == len(text)
    assert made[1][1].endswith("\n") and made[3][1].startswith("[")


def test_an_endless_line_is_cut():
    ((_, text, _),) = pieces(record("s"), b"x" * 90_000)
    assert len(text) < 5_000 and "86000 more characters" in text


def test_the_axis_has_each_step_where_it_was():
    made = axis(told(crashed()), CONSOLE)
    assert made is not None
    span = 2.6 - 1.0
    places = [(bar.number, bar.state, bar.left, bar.width) for bar in made.bars]
    expected = [(1, "passed", 1.0, 1.05), (2, "passed", 1.05, 2.1), (3, "crashed", 2.1, 2.6)]
    assert places == [
        (number, state, pytest.approx((begin - 1.0) / span * 100, abs=0.01),
         pytest.approx((end - begin) / span * 100, abs=0.01))
        for number, state, begin, end in expected
    ]  # fmt: skip
    assert made.crash == pytest.approx((2.5 - 1.0) / span * 100, abs=0.01)
    assert [tick.label for tick in made.ticks] == ["1.0 s", "1.5 s", "2.0 s", "2.5 s"]


@pytest.mark.parametrize(
    "text", [b"", b"no time here\n", b"[    1.000000] once\n", b"[99999999999999.1] x\n"]
)
def test_without_two_times_there_is_no_axis(text):
    assert axis(told(record("s")), text) is None


class Page(HTMLParser):
    """Ids, links and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.ids += [known["id"]] if "id" in known else []
        self.links += [known["href"]] if "href" in known else []

    def handle_data(self, data):
        self.texts.append(data.strip())


@pytest.fixture
def page(tmp_path) -> str:
    return html(report(tmp_path / "20261124-120000-1-1", *EACH))


def test_every_link_leads_into_the_page_itself(page):
    found = Page(page)
    assert len(set(found.ids)) == len(found.ids)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert not re.search(r'(?:src|href)="(?!#)|url\(|@import|https?://', page)


def test_failures_come_first_and_each_verdict_has_a_word_and_a_symbol(page):
    order = re.findall(r'<details class="run (\w+)"', page)
    assert order == ["crashed", "failed", "timeout", "broken", "skipped", "passed"]
    cells = re.findall(r'class="cell (\w+)"[^>]*><span aria-hidden="true">(.)</span> (\w+)', page)
    assert [cell[0] for cell in cells] == [cell[2] for cell in cells]
    assert [cell[0] for cell in cells] == [*order[:4], "passed", "skipped"]  # these by name
    assert len({cell[1] for cell in cells}) == len(order)


def test_a_crash_is_told_with_symbols_source_and_followers(page):
    texts = " ".join(" ".join(Page(page).texts).split())
    for wanted in (
        "BUG: NULL dereference in ring_reset", "ring_reset+0x8/0x1d [ring] (ring.c:24)",
        "ring_clear (ring.h:7, inlined)", "task init (pid 68)", "left_over",
        "panic: fatal (line 6)", "the report is cut", "vmlab replay vm1:resets:x",
        "qemu-system-i386 -m 192", "scenarios/resets.yaml:7",
    ):  # fmt: skip
        assert wanted in texts
    assert '<span class="here"><b>24</b>  <code>\thead = 0;</code></span>' in page


def test_a_crash_without_source_is_told_too(tmp_path):
    bare = {"kind": "panic", "title": "panic: x", "first_line": 1, "last_line": 1,
            "frames": [{"function": "f", "offset": 1, "size": 2}]}  # fmt: skip
    text = html(report(tmp_path, crashed(crash=bare)))
    assert "1 scenario on 1 kernel, told by" in text
    assert "<code>f+0x1/0x2</code>" in text and 'class="source"' not in text


def test_a_run_of_an_older_format_is_shown_without_its_steps(tmp_path):
    old = {key: value for key, value in record("s", "failed", reason="no match").items()
           if key not in ("version", "steps", "crash", "file", "environment")}  # fmt: skip
    text = html(report(tmp_path, old))
    assert "nothing is known of them" in text and "no match" in text


def test_two_guests_have_consoles_axes_and_commands_of_their_own(tmp_path):
    """What one printed is not marked in the other's, and the crash is where it came."""
    taken = [
        step(1, "insmod", "ring", on="a", ended_s=1.2, console=[0, 9], matches=[]),
        step(2, "write", "x", "crashed", on="b", began_s=2.0, ended_s=2.5, console=[30, 60]),
    ]
    one = crashed(steps=taken, guest="b", reason="guest b: NULL")
    folder = write(tmp_path, one, console=b"[    1.000000] guest a is well\n" * 6)
    (folder / "000" / "b").mkdir()
    (folder / "000" / "b" / "console").write_bytes(CONSOLE)
    (folder / "000" / "b" / "argv").write_text("qemu-of-b\n")
    found = of_directory(folder)
    page = html(found)
    consoles = re.findall(r'<pre class="console".*?</pre>', page, re.DOTALL)
    assert ["guest a is well" in one for one in consoles] == [True, False]
    assert ['<mark class="crashed">' in one for one in consoles] == [False, True]
    assert ["c1" in one for one in consoles] == [True, False]
    assert page.count('class="axis"') == 2 and page.count("▲<tspan") == 1
    assert "<b>guest b</b>: crashed at 2.500 s" in page
    texts = " ".join(Page(page).texts)
    assert "command of guest a qemu-system-i386" in texts and "command of guest b qemu-" in texts
    assert "NULL pointer dereference" in xml(found) and "guest a is well" not in xml(found)
