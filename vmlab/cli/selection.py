"""Which of the matrix `vmlab run` runs, and in which order: shards, and what failed last."""

import json as jsonlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common
from vmlab.errors import UsageError

if TYPE_CHECKING:
    from vmlab.executor import Pair
    from vmlab.project import Project
    from vmlab.shard import Key, Shard

LastFailed = Annotated[
    bool, typer.Option("--last-failed", "--lf", help="Only what did not pass the last time.")
]
FailedFirst = Annotated[
    bool, typer.Option("--failed-first", "--ff", help="What did not pass the last time first.")
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="2/5", help="Only this part of the runs.")
]
ShardTimes = Annotated[
    Path | None,
    typer.Option(help="For parts that take as long: a file of `vmlab history --json`."),
]


@dataclass(frozen=True)
class Selection:
    """What was asked for. Raises UsageError for what contradicts itself."""

    last_failed: bool = False
    failed_first: bool = False
    shard: str | None = None
    times: Path | None = None

    def __post_init__(self) -> None:
        if self.times and not self.shard:
            raise UsageError("--shard-times says how --shard deals: give that too, as 2/5")

    @property
    def part(self) -> "Shard | None":
        from vmlab.shard import parse

        return parse(self.shard) if self.shard else None

    def of(self, pairs: "Sequence[Pair]", project: "Project") -> "list[Pair]":
        """What is run, in its order. The part is dealt first: it is the same on every machine."""
        chosen = self._dealt(pairs)
        if not (self.last_failed or self.failed_first) or not chosen:
            return chosen
        from vmlab.history import choose
        from vmlab.history.store import Store, place

        path = place(project.root)
        last = {}
        if path.exists():
            with Store(path, common.say) as store:
                last = store.last()
        if self.failed_first:
            chosen = choose.failed_first(chosen, last)
        if self.last_failed:
            failed = choose.failed(chosen, last)
            if not failed:
                common.say("nothing of it failed the last time: all is run")
            return failed or chosen
        return chosen

    def _dealt(self, pairs: "Sequence[Pair]") -> "list[Pair]":
        from vmlab import shard

        if (part := self.part) is None:
            return list(pairs)
        dealt = (
            shard.by_time(pairs, part, _times(self.times))
            if self.times
            else shard.by_name(pairs, part)
        )
        common.say(f"shard {part}: {len(dealt)} of {len(pairs)} runs")
        return dealt


def _times(path: Path) -> "dict[Key, float]":
    """Seconds by scenario and kernel. Raises UsageError where the file is none of history."""
    try:
        known = jsonlib.loads(path.read_text())["history"]
        return {
            (one["scenario"], one["kernel"]): float(one["median_s"])
            for one in known
            if one["median_s"] is not None and not one["explored"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        found = f"it has no {error}" if isinstance(error, KeyError) else said.lower()
        raise UsageError(
            f"--shard-times {path}: {found}; name a file that `vmlab history --json` printed, "
            "the same for every shard"
        ) from error
