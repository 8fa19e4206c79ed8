"""Many runs at once, each in a guest of its own; what is finished is told as it comes."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from vmlab.catalog import Kernel
from vmlab.runner import Run, Runner
from vmlab.scenario import Expanded
from vmlab.verdict import Verdict

LOOK_S = 0.3
"""How often the main thread wakes while guests run, seconds.

A thread that starts a process may take Ctrl-C's signal, which then wakes nobody: it is seen when
the main thread runs again. (Linux: copy_process looks for signals of the whole process.)
"""
Pair = tuple[Expanded, Kernel]
T = TypeVar("T")
R = TypeVar("R")


def matrix(runner: Runner, scenarios: Sequence[Expanded], kernels: Sequence[Kernel]) -> list[Pair]:
    """Which scenario runs on which kernel; kernels inner, so that while one is built for and warmed
    up, others run."""
    return [
        (expanded, kernel)
        for expanded in scenarios
        for kernel in kernels
        if wants(runner, expanded, kernel)
    ]


def wants(runner: Runner, expanded: Expanded, kernel: Kernel) -> bool:
    """Whether the scenario's `kernels:` has this one."""
    expression = expanded.scenario.kernels
    return expression is None or kernel in runner.catalog.select(expression)


def execute(
    runner: Runner, pairs: Sequence[Pair], jobs: int, begun: Callable[[Pair], None]
) -> Iterator[Run]:
    """Runs the pairs, `jobs` guests at a time, see `each`."""
    return each(lambda pair: runner.run(*pair), pairs, jobs, begun, runner.stop)


def each(
    run: Callable[[T], R],
    tasks: Iterable[T],
    jobs: int,
    begun: Callable[[T], None],
    stop: Callable[[], None],
) -> Iterator[R]:
    """Yields each result as it comes, `jobs` at a time; `begun` hears of each start.

    When the caller leaves early, what waits is dropped, and `stop` ends what runs.
    """
    with ThreadPoolExecutor(jobs) as pool:
        waiting = iter(tasks)
        running: set[Future[R]] = set()
        try:
            while True:
                for task in itertools.islice(waiting, jobs - len(running)):
                    running.add(pool.submit(run, task))
                    begun(task)
                if not running:
                    return
                done, running = wait(running, LOOK_S, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BaseException:
            stop()
            raise


def exit_status(runs: Sequence[Run]) -> int:
    """0 where all passed, were skipped or are known to fail; 1 where something failed, or passed
    that must not; 3 where the lab broke."""
    verdicts = {run.judgement.verdict for run in runs if not run.held}
    if any(run.held and run.held.counts for run in runs):
        return 1
    if verdicts <= {Verdict.PASSED, Verdict.SKIPPED}:
        return 0
    return 1 if verdicts - {Verdict.PASSED, Verdict.SKIPPED, Verdict.BROKEN} else 3
