"""The record of a bisection: each run on a line of its own, so that a killed one goes on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmlab.bisect.evidence import Seen
from vmlab.cache import content_key
from vmlab.errors import LabError

VERSION = 1
_DONE = {"done": True}


@dataclass
class Journal:
    """A file below the project's output. What makes one bisection the same as another names it."""

    path: Path
    head: dict[str, object]
    seen: list[Seen] = field(default_factory=list)
    done: bool = False

    @classmethod
    def of(cls, folder: Path, head: dict[str, object]) -> "Journal":
        """The journal of a bisection, with what is in it already. A line cut short counts not."""
        whole = {"version": VERSION, **head}
        name = content_key(json.dumps(whole, sort_keys=True))
        made = cls(folder / f"{name}.jsonl", whole)
        if made.path.exists():
            made._read()
        return made

    def _read(self) -> None:
        for number, record in enumerate(_records(self.path)):
            if number == 0 and record != self.head:
                raise LabError(
                    f"{self.path} is not the journal of this bisection; move it away, or begin "
                    "anew with --fresh"
                )
            if number and record == _DONE:
                self.done = True
            elif number:
                self.seen.append(Seen.read(record))

    @property
    def unfinished(self) -> bool:
        return bool(self.seen) and not self.done

    def begin(self) -> None:
        """Begins anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.seen, self.done = [], False
        self.path.write_text(json.dumps(self.head) + "\n")

    def go_on(self) -> None:
        """What a kill cut short is taken away, so that the next line is one."""
        lines = [json.dumps(one) for one in (self.head, *(run.record() for run in self.seen))]
        beside = self.path.with_suffix(".new")
        beside.write_text("\n".join(lines) + "\n")
        beside.replace(self.path)

    def add(self, seen: Sequence[Seen]) -> None:
        self.seen += seen
        self._append([one.record() for one in seen])

    def finish(self) -> None:
        self.done = True
        self._append([_DONE])

    def _append(self, records: Sequence[object]) -> None:
        with self.path.open("a") as file:
            file.write("".join(json.dumps(one) + "\n" for one in records))


def _records(path: Path) -> Iterator[dict[str, object]]:
    for line in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            return
        if isinstance(record, dict):
            yield record
