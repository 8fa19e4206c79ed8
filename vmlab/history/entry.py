"""One run as history keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vmlab.cache import content_key
from vmlab.runner import Run
from vmlab.verdict import Verdict

Origin = Literal["run", "pytest", "explore", "merge"]
BAD = (Verdict.FAILED, Verdict.CRASHED, Verdict.TIMEOUT)
COUNTED = (Verdict.PASSED, *BAD)
"""The verdicts that say something of kernel or module."""
_LONGEST_REASON = 500


@dataclass(frozen=True)
class Entry:
    """The field's names are the columns' names."""

    uid: str  # of the run: what is kept twice is kept once
    at: float  # seconds since 1970 at its end
    scenario: str
    kernel: str
    arch: str
    backend: str
    verdict: Verdict
    reason: str
    step: int | None
    wall_s: float
    guest_s: float
    seed: int | None  # None where no guest ran
    explored: bool  # its seed shifted it in time as well
    inputs: str  # all that it was made from but the sources' text, in one hash; empty: no guest
    token: str
    origin: Origin

    @property
    def place(self) -> tuple[str, str, bool]:
        """What is counted together: scenario, kernel, whether it was explored."""
        return self.scenario, self.kernel, self.explored

    @property
    def bad(self) -> bool:
        return self.verdict in BAD


def of_run(run: Run, at: float, host: str, origin: Origin) -> Entry:
    """The entry of a run that ended at a time on a machine of that name."""
    token = run.token
    return Entry(
        content_key(host, run.dir, run.scenario, run.kernel, str(token)), at, run.scenario,
        run.kernel, run.arch, run.backend, run.judgement.verdict,
        run.judgement.reason[:_LONGEST_REASON], run.judgement.step, run.wall_s, run.guest_s,
        token.seed if token else None, bool(token and token.how.perturbed),
        inputs_key(run.inputs), str(token) if token else "", origin,
    )  # fmt: skip


def inputs_key(inputs: Mapping[str, str]) -> str:
    """One short hash of a run's inputs; what they build to decides, not the sources' text."""
    parts = [f"{name}={value}" for name, value in inputs.items() if name != "sources"]
    return content_key(*sorted(parts))[:16] if parts else ""
