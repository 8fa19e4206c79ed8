"""A bisection's picture and page: each revision in it, whatever it is called."""

import dataclasses
import itertools
import json
import random
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from simulated import Fake
from told_runs import record

from vmlab.bisect import drive, picture
from vmlab.bisect.engine import Rules
from vmlab.bisect.evidence import Outcome, Seen
from vmlab.bisect.journal import Journal
from vmlab.bisect.mail import mail
from vmlab.bisect.page import report
from vmlab.bisect.plan import Plan
from vmlab.bisect.space import Space, line
from vmlab.bisect.tell import Words
from vmlab.report.page import html

SIZE = 8
EVIL = "<b>\x1b[31m"  # a revision's name is a user's, who may have pulled it from anywhere


def bisected(
    folder: Path,
    names: list[str],
    first: int = 5,
    rate: float = 1.0,
    untestable: tuple[int, ...] = (),
) -> tuple[Plan, drive.Result]:
    drawn, space = random.Random(1), line(names)

    def outcome(name: str, seed: int) -> Outcome:
        at = names.index(name)
        if at in untestable:
            return Outcome.UNTESTABLE
        return Outcome.BAD if at >= first and drawn.random() < rate else Outcome.GOOD

    fake = Fake(outcome)
    journal = Journal.of(folder, {"names": names})
    journal.begin()
    words = Words("storm", "fails", {names[first]: "1.5-1"}, "i386", "name: storm\nabout: x\n")
    return _plan(space, fake, words, folder), drive.bisect(space, fake, Rules(), journal)


def _plan(space: Space, fake: Fake, words: Words, folder: Path) -> Plan:
    return Plan(
        f"storm on i386, {space.names[0]} to {space.names[-1]}", space, fake, words, folder, {}
    )


def named(size: int) -> list[str]:
    return [f"r{at}" for at in range(size)]


def test_the_picture_is_whole_and_holds_every_revision(tmp_path):
    plan, result = bisected(tmp_path, [*named(7), EVIL], untestable=(4,))
    root = ElementTree.fromstring(picture.svg([(plan.title, result)]))
    bars = [one for one in root.iter() if one.get("class") == "chance"]
    assert len(bars) == SIZE
    highest = max(bars, key=lambda one: float(one.get("height") or 0))
    assert bars.index(highest) in (4, 5)
    states = [one.get("class") for one in root.iter() if one.tag.endswith("circle")]
    assert "untestable" in states and "failed" in states and "passed" in states
    assert "\u241b[31m" in "".join(root.itertext())


@pytest.mark.parametrize("size", [2, 8, 60, 700])
@pytest.mark.parametrize("where", ["begin", "middle", "end"])
def test_names_in_the_picture_stand_apart_and_within_it(tmp_path, size, where):
    first = {"begin": 1, "middle": max(1, size // 2), "end": size - 1}[where]
    _, result = bisected(tmp_path, [f"{at:012x}" for at in range(size)], first)
    drawn = picture.drawing("it", result)
    spans = [picture._span(one) for one in drawn.labels]
    assert f"{first:012x}" in [one.text for one in drawn.labels]
    assert all(left >= 0 and right <= drawn.width for left, right in spans)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(spans))
    assert all(bar.width >= 2 and bar.height <= drawn.full for bar in drawn.bars)


def test_the_mail_has_all_that_somebody_needs_who_knows_nothing_of_it(tmp_path):
    plan, result = bisected(tmp_path, named(SIZE), untestable=(4,))
    text = mail(result, plan.words, "commit r5\n\n    the change\n")
    head, _, body = text.partition("\n\n")
    assert head == "Subject: [REGRESSION] storm: why"
    assert "The test storm fails on i386 since r5 (1.5-1)." in body
    assert "one of r4, r5, with probability 99." in body and "      the change\n" in body
    assert "The test:\n\n  name: storm\n  about: x\n" in body and "regzbot" not in body
    tried = {line.split()[0] for line in body.splitlines() if line.startswith("  r")}
    assert {"r0", "r3", "r4", "r5", "r7"} <= tried
    assert "  r4                               untestable" in body
    tracked = mail(result, dataclasses.replace(plan.words, tracked=True))
    assert tracked.endswith("\n#regzbot introduced: r5\n")
    assert all(len(line) <= 79 for line in text.splitlines()[:4])


def test_the_mail_has_what_the_bad_run_wanted_and_saw_and_the_kernel_s_own_words(tmp_path):
    plan, result = bisected(tmp_path, named(SIZE), untestable=(4,))
    folder = tmp_path / "1" / "storm-r5"
    folder.mkdir(parents=True)
    known = record("storm", "crashed", dir=str(folder), step=2, label="rmmod: storm", wanted="all",
                   seen="one\ntwo", crash={"first_line": 2, "last_line": 3})  # fmt: skip
    (folder / "verdict.json").write_text(json.dumps(known))
    (folder / "console").write_text("before\nBUG: at storm\x1b[0m\n end\nafter\n")
    seen = tuple(dataclasses.replace(one, dir=str(folder)) if one.revision == "r5" else one
                 for one in result.seen)  # fmt: skip
    text = mail(dataclasses.replace(result, seen=seen), plan.words)
    failed = text.partition("What failed:\n")[2].partition("\n\nEverything")[0].splitlines()
    assert failed[0] == "  step 2: rmmod: storm"
    assert failed[-6:] == [
        "  wanted: all", "  seen:   one", "          two", "", "  BUG: at storm\u241b[0m", "   end",
    ]  # fmt: skip


def test_the_mail_has_all_errors_of_a_build(tmp_path):
    plan, result = bisected(tmp_path, named(SIZE), untestable=(4,))
    built = Seen("r5", 0, Outcome.BUILD, "error: a", build="error: a\nerror: b")
    text = mail(dataclasses.replace(result, seen=(built,)), plan.words)
    assert "What failed:\n  error: a\n  error: b\n\n" in text


def test_a_mail_of_what_was_not_found_calls_nothing_a_regression(tmp_path):
    plan, result = bisected(tmp_path, named(SIZE), first=0)
    text = mail(result, dataclasses.replace(plan.words, tracked=True))
    assert text.startswith("Subject: storm: bisected, and not found\n")
    assert "the good end, r0, fails already" in text and "regzbot" not in text


@pytest.fixture
def page(tmp_path) -> str:
    """With two runs that are kept, and one whose directory is gone."""
    plan, result = bisected(tmp_path, [*named(5), EVIL, "r6", "r7"], untestable=(4,))
    kept = []
    for revision, kernel in (("r7", "5.10-686"), ("r0", "6.1-686")):
        folder = tmp_path / "20261128-120000-1-1" / f"storm-{revision}"
        folder.mkdir(parents=True)
        (folder / "verdict.json").write_text(
            json.dumps(record("storm", dir=str(folder), kernel=kernel))
        )
        kept.append(Seen(revision, 90, Outcome.BAD, "why", dir=str(folder)))
    gone = Seen("r6", 91, Outcome.BAD, "why", dir=str(tmp_path / "gone"))
    seen = (*result.seen, *kept, gone)
    return html(report([(plan, drive.Result(result.space, result.rules, result.evidence,
                                            result.answer, seen))]))  # fmt: skip


def test_the_page_has_the_answer_the_picture_and_the_runs_that_are_kept(page):
    assert "<h1>1 bisection; runs that are kept: 2 passed</h1>" in page
    assert "first bad: one of r4, &lt;b&gt;\u241b[31m" in page
    assert {"failed", "passed", "untestable"} == set(re.findall(r'<circle class="(\w+)"', page))
    assert len(re.findall(r"<g><title>.*?: \d+\.\d\d%", page)) == SIZE
    assert page.count('<details class="run') == 2 and "1 scenario on 2 revisions, told" in page
    heads = re.findall(r'<th scope="col">(\S+ at r\d)</th>', page)
    assert heads == ["6.1-686 at r0", "5.10-686 at r7"]  # in the order of the range
    assert "everything tried" in page and "last good: r3" in page


def test_nothing_that_a_revision_is_called_gets_into_the_page_as_it_is(page):
    assert "<b>" not in re.sub(r"<b>\w*</b>", "", page) and "\x1b" not in page
