"""The stream of events of `vmlab run --jsonl`: one JSON object a line, while runs go on.

docs/reports.md documents it. Keys may be added; one that changes its meaning raises VERSION.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from vmlab.errors import LabError
from vmlab.runner import Run

VERSION = 1

Event = dict[str, object]


def start(runs: Sequence[tuple[str, str]]) -> Event:
    """What is to be done: pairs of scenario and kernel."""
    planned = [{"scenario": scenario, "kernel": kernel} for scenario, kernel in runs]
    return {"event": "start", "version": VERSION, "runs": planned}


def run_start(scenario: str, kernel: str) -> Event:
    return {"event": "run-start", "scenario": scenario, "kernel": kernel}


def of_run(run: Run) -> list[Event]:
    """A finished run: its steps, then the run as in verdict.json, without the steps."""
    record = run.record()
    head = {"scenario": run.scenario, "kernel": run.kernel}
    steps: list[Event] = [{"event": "step", **head, **step} for step in run.steps]
    rest = {key: value for key, value in record.items() if key not in ("steps", "version")}
    return [*steps, {"event": "run-end", **rest}]


def end(runs: Sequence[Run], status: int | None) -> Event:
    """The last event; `status` is that of the command, None where it was stopped."""
    verdicts = [str(run.judgement.verdict) for run in runs]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    return {"event": "end", "counts": counts, "exit_status": status}


class Stream:
    """Writes events to a file as they come, each with the host's time. Raises LabError."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error

    def write(self, *events: Mapping[str, object]) -> None:
        try:
            for event in events:
                line = {"time": round(self._clock(), 3), **event}
                self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        self._file.close()

    def _failed(self, error: OSError) -> LabError:
        return LabError(f"writing events to {self._path}: {(error.strerror or str(error)).lower()}")
