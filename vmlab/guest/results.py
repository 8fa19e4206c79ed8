"""What the agent says on ttyS1: KTAP, read into results."""

import re
from dataclasses import dataclass

_PLAN = re.compile(r"1\.\.(\d+)")
_KERNEL = re.compile(r"# kernel=(\S+)")
_RESULT = re.compile(r"(ok|not ok) (\d+) - (.*)")
_ABOUT = re.compile(r"# uptime=(\S+) printk=(-?\d+) outcome=(\d+)")


@dataclass(frozen=True)
class StepResult:
    step: str
    passed: bool
    outcome: int  # exit status, 128 + signal, or errno
    uptime: str  # guest seconds
    printk_bytes: int  # printed by the kernel when the step ended
    output: str


@dataclass(frozen=True)
class Results:
    kernel: str | None  # as the guest's uname says it
    steps: tuple[StepResult, ...]
    fault: str | None  # why these results are not whole, None where they are

    @property
    def passed(self) -> bool:
        return self.fault is None and all(step.passed for step in self.steps)


def parse(text: str) -> Results:
    """Reads a whole results port. What is missing, doubled or cut is named in `fault`."""
    lines = text.split("\n")
    tail = lines.pop()
    kernel: str | None = None
    plan: int | None = None
    fault: str | None = None
    steps: list[StepResult] = []
    output: list[str] = []
    about: re.Match[str] | None = None
    for line in lines:
        if line.startswith("# | "):
            output.append(line[4:])
        elif found := _ABOUT.fullmatch(line):
            about = found
        elif found := _KERNEL.fullmatch(line):
            kernel = found[1]
        elif found := _PLAN.fullmatch(line):
            plan = int(found[1])
        elif line.startswith("Bail out! "):
            fault = fault or f"the agent gave up: {line[10:]}"
        elif found := _RESULT.fullmatch(line):
            if about is None or int(found[2]) != len(steps) + 1:
                fault = fault or f"unexpected result line {line!r} after {len(steps)} steps"
                break
            passed = found[1] == "ok"
            steps.append(
                StepResult(found[3], passed, int(about[3]), about[1], int(about[2]),
                           "\n".join(output))
            )  # fmt: skip
            output, about = [], None
        elif line != "KTAP version 1":
            fault = fault or f"line {line[:80]!r} is none of the agent's"
    if tail:
        fault = fault or f"the results end in the middle of the line {tail[:80]!r}"
    elif plan is None:
        fault = fault or "the agent announced no plan"
    elif len(steps) != plan:
        fault = fault or f"the agent announced {plan} steps and reported {len(steps)}"
    return Results(kernel, tuple(steps), fault)
