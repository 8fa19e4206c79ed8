"""A tester without kernels: revisions that say what they are told to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vmlab.bisect.drive import Heard, Task
from vmlab.bisect.evidence import Outcome, Seen
from vmlab.catalog.progress import Say


@dataclass
class Fake:
    """A tester whose revisions say what a function says of them."""

    outcome: Callable[[str, int], Outcome]
    build: str = ""
    ran: list[tuple[str, int]] = field(default_factory=list)
    dies_after: int | None = None
    places: int = 1

    def ahead(self, revision: str) -> None: ...

    def finish(self, say: Say) -> None: ...

    def together(self, wanted: Sequence[Task], heard: Heard) -> None:
        """Those that are asked for later end first."""
        for one in reversed(wanted):
            self.run(*one, heard)

    def run(
        self, revision: str, seeds: Sequence[int], heard: Heard = lambda one: None
    ) -> list[Seen]:
        made = []
        for seed in seeds:
            if self.dies_after is not None and len(self.ran) >= self.dies_after:
                raise KeyboardInterrupt
            self.ran.append((revision, seed))
            outcome = self.outcome(revision, seed)
            build = f"{revision}: {self.build}" if self.build == "own" else self.build
            classes = {Outcome.BUILD: build, Outcome.BOOT: "it does not come up"}
            made.append(
                Seen(revision, seed, outcome, "why", "", "", 1.0,
                     classes.get(outcome, ""), seed)
            )  # fmt: skip
            heard(made[-1])
        return made
