"""What works on a kernel: two scenarios of the lab's own, run there and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab import lab
from vmlab.artifacts import Artifacts
from vmlab.catalog import Kernel
from vmlab.project import Project, Settings
from vmlab.runner import Run, Runner
from vmlab.scenario import Expanded
from vmlab.verdict import Verdict

RUNS = 3
_HERE = Path(__file__).parent
_SLEPT_S = 300.0  # of guest time, in the scenario `features`
_FASTER = 3.0  # than real time, at least, on the virtual clock: a kernel that ticks is slowest


@dataclass(frozen=True)
class Answer:
    """Whether one thing works, and what was seen where it does not."""

    works: bool
    why: str = ""


@dataclass(frozen=True)
class Checked:
    """All answers for one kernel: the lab's own, then what the kernel offers."""

    kernel: Kernel
    answers: Mapping[str, Answer]
    features: Mapping[str, bool]
    asleep_s: float  # of the host's time, for a run that sleeps five minutes

    def works(self, what: str) -> bool:
        return self.answers[what].works

    def record(self) -> dict[str, object]:
        """As it stands in JSON."""
        answers = {name: {"works": one.works, "why": one.why} for name, one in self.answers.items()}
        return {
            "id": self.kernel.id, "release": self.kernel.release, "arch": self.kernel.arch.name,
            "works": answers, "features": dict(self.features),
            "asleep_s": round(self.asleep_s, 3),
        }  # fmt: skip


def check(artifacts: Artifacts, kernel: Kernel, root: Path) -> Checked:
    """Boots a kernel; run directories are left where those of a project in `root` are."""
    places = Settings(modules=str(_HERE / "kmod"), scenarios=str(_HERE / "scenarios"))
    project = Project(root, places)
    runner = lab.runner(project, artifacts, lab.Options())
    known = {one.name: one for one in lab.load(project, artifacts.catalog, [], [])}
    runs = [runner.run(known["features"], kernel, number) for number in range(1, RUNS + 1)]
    found = answers(runs)
    found["modules"] = _modules(runner, known["modules"], kernel)
    return Checked(kernel, found, _features(known["features"], runs[0]), runs[-1].wall_s)


def answers(runs: Sequence[Run]) -> dict[str, Answer]:
    """What the runs of the scenario `features` show of the lab's own needs."""
    last = runs[-1]  # the first may have made the snapshot
    agent = _passed(last)
    if not agent.works:
        none = Answer(False, "the agent did not come up")
        return {"agent": agent, "snapshot": none, "virtual clock": none, "determinism": none}
    return {
        "agent": agent,
        "snapshot": _snapshot(last),
        "virtual clock": _clock(last),
        "determinism": _repeats(runs),
    }


def _passed(run: Run) -> Answer:
    judged = run.judgement
    why = f"{judged.verdict}: {judged.reason}; see {run.dir}"
    return Answer(judged.verdict is Verdict.PASSED, why)


def _snapshot(run: Run) -> Answer:
    began = run.environment.get("began")
    return Answer(began == "from a snapshot", f"began {began}")


def _clock(run: Run) -> Answer:
    return Answer(
        run.guest_s >= _SLEPT_S and run.wall_s * _FASTER < run.guest_s,
        f"{run.guest_s:.0f} s of guest time took {run.wall_s:.0f} s",
    )


def _repeats(runs: Sequence[Run]) -> Answer:
    outputs = {run.token.output if run.token else run.dir for run in runs}
    return Answer(len(outputs) == 1, f"{len(runs)} runs gave {len(outputs)} different outputs")


def _modules(runner: Runner, scenario: Expanded, kernel: Kernel) -> Answer:
    run = runner.run(scenario, kernel)
    seen = run.judgement.seen.strip() if run.judgement.reason == "build" else ""
    answer = _passed(run)
    return Answer(answer.works, f"{answer.why}\n{seen}".strip())


def _features(scenario: Expanded, run: Run) -> dict[str, bool]:
    """What each step of the scenario needed, and whether it was there."""
    asked = zip(scenario.steps, run.steps, strict=False)
    return {
        name: told.get("lacks") != name
        for step, told in asked
        if told["state"] in ("passed", "skipped")
        for name in step.step.needs
    }


def table(checked: Sequence[Checked]) -> str:
    """One column for each kernel; what does not work is explained below."""
    rows = [["", *(one.kernel.id for one in checked)]]
    rows += [["release", *(one.kernel.release for one in checked)]]
    rows += [["architecture", *(one.kernel.arch.name for one in checked)]]
    rows += [["5 min asleep cost", *(f"{one.asleep_s:.1f} s" for one in checked)]]
    for name in checked[0].answers:
        rows.append([name, *(_word(one.works(name)) for one in checked)])
    for name in dict.fromkeys(name for one in checked for name in one.features):
        rows.append([name.replace("-", " "), *(_word(one.features.get(name)) for one in checked)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    return "\n".join([*lines, *_explained(checked)])


def _explained(checked: Sequence[Checked]) -> list[str]:
    return [
        f"{one.kernel.id}: {name}: {answer.why}"
        for one in checked
        for name, answer in one.answers.items()
        if not answer.works
    ]


def _word(works: bool | None) -> str:
    return "-" if works is None else "yes" if works else "no"
