"""What changed between two results of the same scenarios. Pure, but for the words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vmlab.report import clean
from vmlab.report.told import WORST_FIRST, Report, Told, natural
from vmlab.verdict import Verdict

Key = tuple[str, str]
Kind = Literal[
    "newly failing", "broken", "fails differently", "slower", "faster", "fixed", "gone", "new",
    "other",
]  # fmt: skip
_SAYS_BAD = (Verdict.FAILED, Verdict.CRASHED, Verdict.TIMEOUT)
_LEAST_S = {"guest": 0.1, "host": 1.0}  # a difference below that is noise


@dataclass(frozen=True)
class Change:
    """What became of one scenario on one kernel; `before` or `after` is None where it is not in
    that result."""

    kind: Kind
    before: Told | None
    after: Told | None
    detail: str = ""

    @property
    def key(self) -> Key:
        one = self.after or self.before
        return one.key if one else ("", "")


@dataclass(frozen=True)
class Changes:
    found: Sequence[Change]
    same: int  # runs of which there is nothing to say

    def of(self, kind: Kind) -> list[Change]:
        return [change for change in self.found if change.kind == kind]

    @property
    def exit_status(self) -> int:
        """1 where something is newly failing, 3 where the lab broke that did not before."""
        return 1 if self.of("newly failing") else 3 if self.of("broken") else 0


def changes(before: Report, after: Report, times: float) -> Changes:
    """Compares; slower is what takes `times` as long as it did, faster the reverse."""
    old, new = _by_key(before.runs), _by_key(after.runs)
    keys = sorted(dict.fromkeys([*old, *new]), key=lambda key: tuple(map(natural, key)))
    found = [
        change for key in keys if (change := _change(old.get(key), new.get(key), times)) is not None
    ]
    return Changes(found, len(keys) - len(found))


def _by_key(runs: Sequence[Told]) -> dict[Key, Told]:
    """One run for each scenario and kernel: of several, the one with the worst verdict."""
    chosen: dict[Key, Told] = {}
    for run in sorted(runs, key=lambda run: WORST_FIRST.index(run.verdict)):
        chosen.setdefault(run.key, run)
    return chosen


def _change(before: Told | None, after: Told | None, times: float) -> Change | None:
    if after is None:
        return Change("gone", before, None)
    bad = after.verdict in _SAYS_BAD
    if before is None:
        return Change("newly failing" if bad else "new", None, after)
    if bad and before.verdict not in _SAYS_BAD:
        return Change("newly failing", before, after)
    if after.verdict is Verdict.BROKEN and before.verdict is not Verdict.BROKEN:
        return Change("broken", before, after)
    if bad and _trouble(before) != _trouble(after):
        return Change("fails differently", before, after)
    if after.verdict is Verdict.PASSED and before.verdict in (*_SAYS_BAD, Verdict.BROKEN):
        return Change("fixed", before, after)
    if before.verdict is not after.verdict:
        return Change("other", before, after)
    return _pace(before, after, times) if after.verdict is Verdict.PASSED else None


def _trouble(run: Told) -> tuple[object, ...]:
    return run.verdict, run.step, run.crash.title if run.crash else ""


def _pace(before: Told, after: Told, times: float) -> Change | None:
    for clock, was, now in (
        ("guest", before.guest_s, after.guest_s), ("host", before.wall_s, after.wall_s),
    ):  # fmt: skip
        detail = f"{was:.2f} s of {clock} time, and now {now:.2f} s"
        if abs(now - was) < _LEAST_S[clock]:
            continue
        if now > was * times:
            return Change("slower", before, after, detail)
        if was > now * times:
            return Change("faster", before, after, detail)
    return None


_ORDER: Mapping[Kind, str] = {
    "newly failing": "newly failing", "broken": "broken now (the lab's own trouble)",
    "fails differently": "failing in another way", "slower": "slower", "fixed": "fixed",
    "faster": "faster", "new": "new", "gone": "gone", "other": "told otherwise",
}  # fmt: skip


def text(found: Changes) -> str:
    """The changes, the worst first."""
    lines = [line for kind, title in _ORDER.items() for line in _group(found, kind, title)]
    return "\n".join([*lines, f"{found.same} unchanged"])


def _group(found: Changes, kind: Kind, title: str) -> Iterator[str]:
    some = found.of(kind)
    if some:
        yield f"{title} ({len(some)}):"
    for change in some:
        yield f"  {clean.line(' on '.join(change.key))}: {_words(change)}"


def _words(change: Change) -> str:
    before, after = change.before, change.after
    was = before.verdict if before else "not there"
    now = after.verdict if after else "not there"
    if change.kind in ("slower", "faster"):
        return change.detail
    if change.kind == "fails differently" and before and after:
        return f"was {was}{_why(before)}, now {now}{_why(after)}"
    return f"was {was}, now {now}" + (_why(after) if after and not after.fine else "")


def _why(run: Told) -> str:
    at = f" in step {run.step}" if run.step is not None else ""
    return f"{at} ({clean.line(clean.short(run.headline, 200))})" if run.headline else at


def record(found: Changes) -> dict[str, object]:
    """The changes for JSON."""
    return {
        "changes": [
            {
                "kind": change.kind, "scenario": change.key[0], "kernel": change.key[1],
                "before": str(change.before.verdict) if change.before else None,
                "after": str(change.after.verdict) if change.after else None,
                "detail": change.detail,
            }
            for change in found.found
        ],
        "same": found.same,
    }  # fmt: skip
