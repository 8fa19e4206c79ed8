"""A text that can be sent to a mailing list as it stands."""

from collections.abc import Iterator
from pathlib import Path

from vmlab.bisect.drive import Result
from vmlab.bisect.evidence import Outcome
from vmlab.bisect.tell import Words, problem, rows, summary
from vmlab.report import clean, told

_SUBJECT = 70  # letters, as mails of kernel lists have them at most
_LOG = 80  # lines of a crash
_BAD = (Outcome.BAD, Outcome.BUILD, Outcome.BOOT)


def mail(result: Result, words: Words, message: str = "") -> str:
    """`message` is the first bad commit's own. Where nothing was found the text says that."""
    why = problem(result)
    first = _first(result)
    named = words.named(first)
    on = f" on {words.on}" if words.on else ""
    lines = [f"Subject: {_subject(result, words)}"[: len("Subject: ") + _SUBJECT], ""]
    if why:
        lines += [f"The test {words.scenario} was bisected{on}; {why}."]
    else:
        lines += [f"The test {words.scenario} fails{on} since {named}."]
    lines += ["", *summary(result, words), "", "What failed:"]
    lines += [f"  {line}".rstrip() for line in failed(result) or [_seen(result, words)]]
    lines += ["", "Everything tried:", *_table(result, words)]
    for head, text in (("The commit:", message), ("The test:", words.test)):
        if text:
            lines += ["", head, "", *(f"  {line}".rstrip() for line in text.strip().splitlines())]
    if words.tracked and not why:
        lines += ["", f"#regzbot introduced: {first}"]
    return "\n".join([*lines, ""])


def _first(result: Result) -> str:
    """The first bad one, or the bad end where none was found."""
    return result.space.names[result.answer.first[-1] if result.answer.first else -1]


def _subject(result: Result, words: Words) -> str:
    """Only what is found is a regression."""
    if problem(result):
        return f"{words.scenario}: bisected, and not found"
    return f"[REGRESSION] {words.scenario}: {_seen(result, words)}"


def _seen(result: Result, words: Words) -> str:
    """What the first bad one's runs said, or its build."""
    first = _first(result)
    reasons = [one.reason for one in result.seen if one.revision == first and one.outcome in _BAD]
    return next((one for one in reasons if one), words.looked_for)


def failed(result: Result) -> list[str]:
    """What the first bad one's run wanted and saw, with the kernel's own words of a crash; or all
    errors of its build. Nothing where its directory is gone."""
    first = _first(result)
    for one in result.seen:
        if one.revision != first or one.outcome not in _BAD:
            continue
        if one.outcome is Outcome.BUILD and one.build:
            return one.build.splitlines()
        if one.dir and (Path(one.dir) / told.VERDICT).is_file():
            (run,) = told.of_directory(Path(one.dir)).runs
            return list(_of_run(run))
    return []


def _of_run(run: told.Told) -> Iterator[str]:
    if run.step is not None:
        yield f"step {run.step}: {run.label}"
    for name, text in (("", run.reason), ("wanted: ", run.wanted), ("seen:   ", run.seen)):
        more = "\n" + " " * len(name)
        yield from clean.visible(name + text.replace("\n", more)).splitlines() if text else ()
    if run.crash and run.place:
        console = run.content("console").decode(errors="replace").splitlines()
        log = console[run.crash.first_line - 1 : run.crash.last_line][:_LOG]
        yield from ("", *(clean.line(line) for line in log))


def _table(result: Result, words: Words) -> list[str]:
    return [
        f"  {name:<32} {f'{state} of {runs} failed' if runs else state or 'not run'}"
        for name, _, state, runs, _, _ in rows(result, words)
    ]
