"""A text that can be sent to a mailing list as it stands."""

from vmlab.bisect.drive import Result
from vmlab.bisect.evidence import Outcome
from vmlab.bisect.tell import Words, problem, rows, summary

_SUBJECT = 70  # letters, as mails of kernel lists have them at most
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
    lines += ["", *summary(result, words), "", "What failed:", f"  {_seen(result, words)}"]
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


def _table(result: Result, words: Words) -> list[str]:
    return [
        f"  {name:<32} {f'{state} of {runs} failed' if runs else state or 'not run'}"
        for name, _, state, runs, _, _ in rows(result, words)
    ]
