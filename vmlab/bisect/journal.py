"""The record of a bisection: each run on a line of its own, so that a killed one goes on."""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from vmlab.bisect.evidence import Seen
from vmlab.cache import content_key
from vmlab.errors import LabError, UsageError

VERSION = 1
_DONE = {"done": True}


@dataclass
class Journal:
    """A file below the project's output. What makes one bisection the same as another names it."""

    path: Path
    head: dict[str, object]
    seen: list[Seen] = field(default_factory=list)
    done: bool = False
    _lock: TextIO | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, folder: Path, head: dict[str, object], fresh: bool = False) -> "Journal":
        """The journal of a bisection, with what is in it already unless it is begun anew.

        A line cut short counts not. Raises LabError for a file that is another's, or edited.
        """
        made = cls(cls.path_of(folder, head), _whole(head))
        if made.path.exists() and not fresh:
            made._read()
        return made

    @classmethod
    def open(
        cls, folder: Path, head: dict[str, object], title: str, resume: bool, fresh: bool
    ) -> "Journal":
        """To be written to. Raises UsageError where an unfinished one is there and nobody said
        what to do."""
        if resume and fresh:
            raise UsageError("--resume and --fresh contradict each other; give one of them")
        made = cls.of(folder, head, fresh)
        if (resume or made.done) and made.seen:
            made.go_on()
        elif made.seen:
            raise UsageError(
                f"{title}: this bisection was stopped after {len(made.seen)} runs, which "
                f"{made.path} holds: go on with --resume, or begin anew with --fresh"
            )
        else:
            made.begin()
        return made

    @staticmethod
    def path_of(folder: Path, head: Mapping[str, object]) -> Path:
        return folder / f"{content_key(json.dumps(_whole(head), sort_keys=True))}.jsonl"

    def _read(self) -> None:
        self.seen, self.done = [], False
        for number, record in enumerate(_records(self.path)):
            if number and record == _DONE:
                self.done = True
                continue
            try:
                if number:
                    self.seen.append(Seen.read(record))
                elif record != self.head:
                    raise ValueError("it begins with another bisection's words")
            except (KeyError, TypeError, ValueError) as error:
                raise LabError(
                    f"{self.path}, line {number + 1}, is not as this vmlab writes the journal of "
                    f"this bisection ({error}); move it away, or begin anew with --fresh"
                ) from error

    def begin(self) -> None:
        """Begins anew."""
        self._hold()
        self.seen, self.done = [], False
        with self._written():
            self.path.write_text(json.dumps(self.head) + "\n")

    def go_on(self) -> None:
        """What a kill cut short is taken away, so that the next line is one.

        It is read anew: another process may have written until now.
        """
        self._hold()
        self._read()
        self.done = False
        lines = [json.dumps(one) for one in (self.head, *(run.record() for run in self.seen))]
        beside = self.path.with_suffix(".new")
        with self._written():
            beside.write_text("\n".join(lines) + "\n")
            beside.replace(self.path)

    def _hold(self) -> None:
        """Until the process ends no other one writes here. Raises UsageError where one does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = self.path.with_suffix(".lock").open("w")
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UsageError(
                f"this bisection runs already: another process holds {self.path}; wait for it, or "
                "end it and go on here with --resume"
            ) from None

    def add(self, seen: Sequence[Seen]) -> None:
        self.seen += seen
        self._append([one.record() for one in seen])

    def finish(self) -> None:
        self.done = True
        self._append([_DONE])

    def _append(self, records: Sequence[object]) -> None:
        with self._written(), self.path.open("a") as file:
            file.write("".join(json.dumps(one) + "\n" for one in records))

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """Raises LabError where the disk is full, for instance: what stands there is whole."""
        try:
            yield
        except OSError as error:
            raise LabError(
                f"writing the journal {self.path}: {(error.strerror or str(error)).lower()}; mend "
                "that, then go on with --resume"
            ) from error


def _whole(head: Mapping[str, object]) -> dict[str, object]:
    return {"version": VERSION, **head}


def _records(path: Path) -> Iterator[dict[str, object]]:
    for line in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            return
        if isinstance(record, dict):
            yield record
