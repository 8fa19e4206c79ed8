"""Many runs at once, each in a guest of its own; what is finished is told as it comes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from vmlab.catalog import Kernel
from vmlab.runner import Run, Runner
from vmlab.scenario import Expanded
from vmlab.verdict import Verdict

Pair = tuple[Expanded, Kernel]


def matrix(runner: Runner, scenarios: Sequence[Expanded], kernels: Sequence[Kernel]) -> list[Pair]:
    """Which scenario runs on which kernel; kernels outer, so that each is built for once."""
    return [
        (expanded, kernel)
        for kernel in kernels
        for expanded in scenarios
        if wants(runner, expanded, kernel)
    ]


def wants(runner: Runner, expanded: Expanded, kernel: Kernel) -> bool:
    """Whether the scenario's `kernels:` has this one."""
    expression = expanded.scenario.kernels
    return expression is None or kernel in runner.catalog.select(expression)


def execute(
    runner: Runner, pairs: Sequence[Pair], jobs: int, begun: Callable[[Pair], None]
) -> Iterator[Run]:
    """Yields each run as it ends, `jobs` guests at a time; `begun` hears of each start.

    When the caller leaves early, what waits is dropped; guests end with their supervisor.
    """
    with ThreadPoolExecutor(jobs) as pool:
        waiting = iter(pairs)
        running: set[Future[Run]] = set()
        try:
            while True:
                for pair in _next(waiting, jobs - len(running)):
                    begun(pair)
                    running.add(pool.submit(runner.run, *pair))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            runner.stop()


def _next(pairs: Iterator[Pair], count: int) -> Iterator[Pair]:
    for _ in range(count):
        pair = next(pairs, None)
        if pair is None:
            return
        yield pair


def exit_status(runs: Sequence[Run]) -> int:
    """0 where all passed or were skipped; 1 where something failed; 3 where the lab broke."""
    verdicts = {run.judgement.verdict for run in runs}
    if verdicts <= {Verdict.PASSED, Verdict.SKIPPED}:
        return 0
    return 1 if verdicts - {Verdict.PASSED, Verdict.SKIPPED, Verdict.BROKEN} else 3
