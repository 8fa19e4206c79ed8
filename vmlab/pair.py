"""Two guests on one wire: booted together, judged apart, told as one run."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from vmlab import machines, story
from vmlab.backend import Backend, Job, PairBackend
from vmlab.errors import LabError
from vmlab.guest import launch, program, qemu
from vmlab.guest.results import Results
from vmlab.scenario import Expanded
from vmlab.verdict import Judgement, Verdict, waited

ROLES: tuple[qemu.Role, ...] = ("a", "b")
PEER = "b"
"""The directory, in the run's own, of the second guest."""
GRACE_S = 2.0
"""How long a guest may go on after the other one is lost, host seconds."""
_LOST = launch.Ended("lost", "the other guest was lost")
"""The end of one that was let go, or not begun, for no fault of its own and none of the lab's."""


@dataclass(frozen=True)
class Told:
    """What came of one guest."""

    expanded: Expanded  # as this guest has it
    ended: launch.Ended | None  # None: it was not tried
    judgement: Judgement
    found: Results
    steps: Sequence[story.Step]
    role: qemu.Role = ""  # of two guests, whose this is


def told(
    expanded: Expanded,
    ended: launch.Ended | None,
    judgement: Judgement,
    found: Results,
    console: bytes,
) -> Told:
    """The same with its steps."""
    steps = story.steps(expanded, found, console, judgement)
    return Told(expanded, ended, judgement, found, steps)


def peer(job: Job, expanded: Expanded, content: Mapping[str, bytes]) -> Job:
    """The second guest of a pair whose first one this is; its entropy is of another seed."""
    run = qemu.RunDirectory(job.run.path / PEER)
    run.path.mkdir(exist_ok=True)
    machine = replace(job.machine, role="b", seed=(job.machine.seed + 1) % (1 << 32))
    steps = expanded.of_guest(machine.role).program()
    run.program.write_bytes(program.archive(steps, content))
    limit = expanded.scenario.timeout
    run.mode.write_text(program.mode(limit, machine.seed, machines.option(machine)))
    return replace(job, machine=machine, run=run)


def boot(backend: Backend, jobs: Sequence[Job], stopped: Callable[[], bool]) -> list[launch.Ended]:
    """Boots both; one whose other is lost is ended soon. Raises LabError where it cannot."""
    if not isinstance(backend, PairBackend):
        raise LabError("two guests on one wire run where the lab runs, with --backend qemu")
    for job in jobs:
        if failed := backend.ready(job, stopped):
            return [failed if one is job else _LOST for one in jobs]
    with _wires() as wires, ThreadPoolExecutor(len(jobs)) as pool:
        watch = _Watch(stopped)
        wired = [replace(job, wire=wire) for job, wire in zip(jobs, wires, strict=True)]
        return list(pool.map(lambda job: watch.over(backend, job), wired))


def both(
    backend: Backend,
    expanded: Expanded,
    jobs: Sequence[Job],
    stopped: Callable[[], bool],
    one: Callable[[Expanded, Job, launch.Ended], Told],
) -> Told:
    """Boots both and tells them as one run; `one` judges each as if it were alone."""
    ends = boot(backend, jobs, stopped)
    ways = [expanded.of_guest(role) for role in ROLES]
    made = [one(*each) for each in zip(ways, jobs, ends, strict=True)]
    made = [_let_go(*each) for each in zip(made, reversed(made), jobs, strict=True)]
    number = decided(made)
    return replace(made[number], judgement=judged(made), steps=steps(made), role=ROLES[number])


def _let_go(guest: Told, other: Told, job: Job) -> Told:
    """A guest that waited for one that was to crash, and did, was ended for no fault of its own."""
    wanted = other.judgement.verdict is Verdict.PASSED and other.judgement.crash
    if not (wanted and _let_go_by(guest.ended)):
        return guest
    assert guest.ended
    console = job.run.console.read_bytes() if job.run.console.exists() else b""
    judgement = waited(guest.expanded, guest.found, console, guest.ended)
    if judgement is None:
        return guest
    return told(guest.expanded, guest.ended, judgement, guest.found, console)


class _Watch:
    """Ends a guest that waits for one that is gone."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._lost: float | None = None

    def over(self, backend: Backend, job: Job) -> launch.Ended:
        try:
            ended = backend.boot(job, self._over)
        except BaseException:
            self._lost = time.monotonic()
            raise
        if ended.how != "off" and self._lost is None:
            self._lost = time.monotonic()
        elif (ended.how, ended.detail) == ("lost", launch.STOPPED) and not self._stopped():
            return replace(ended, detail=_LOST.detail)
        return ended

    def _over(self) -> bool:
        gone = self._lost is not None and time.monotonic() > self._lost + GRACE_S
        return gone or self._stopped()


def _let_go_by(ended: launch.Ended | None) -> bool:
    """Whether a guest was ended because the other one was lost."""
    return bool(ended and (ended.how, ended.detail) == (_LOST.how, _LOST.detail))


@contextlib.contextmanager
def _wires() -> Iterator[list[qemu.Wire]]:
    """Each guest's ends of two connections."""
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(2)]
        ends = [[stack.enter_context(end) for end in pair] for pair in pairs]
        network, port = ends
        yield [qemu.Wire(network[n].fileno(), port[n].fileno()) for n in range(2)]


def decided(guests: Sequence[Told]) -> int:
    """Which one tells: what went wrong itself before what only waited for that."""
    wrong = [
        (_secondary(guest), guest.judgement.step or len(guest.steps) + 1, number)
        for number, guest in enumerate(guests)
        if guest.judgement.verdict is not Verdict.PASSED
    ]
    return min(wrong)[2] if wrong else 0


def judged(guests: Sequence[Told]) -> Judgement:
    """One verdict of two."""
    number = decided(guests)
    found = guests[number].judgement
    if found.verdict is Verdict.PASSED:
        return found
    return replace(found, reason=f"guest {ROLES[number]}: {found.reason}")


def _secondary(guest: Told) -> int:
    """How little a verdict says of its own guest.

    What fails beside a guest that the lab has lost is no evidence, but for a crash.
    """
    judgement = guest.judgement
    if judgement.crash or judgement.verdict is Verdict.CRASHED:
        return 0
    if judgement.verdict is Verdict.BROKEN:
        return 4 if _let_go_by(guest.ended) else 1
    step = judgement.step
    waited = step is not None and guest.expanded.steps[step - 1].verb == "await"
    return 3 if waited else 2


def steps(guests: Sequence[Told]) -> list[story.Step]:
    """Each step as its own guest has it, which `on` names; places are of that guest's console."""
    owners = [int(step.verb == "await") for step in guests[0].expanded.steps]
    return [
        {**guests[owner].steps[number], "on": ROLES[owner]} for number, owner in enumerate(owners)
    ]
