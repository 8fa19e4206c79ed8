"""One run's worth of a scenario: a combination of its parameters, made into a program."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmlab.guest import program
from vmlab.plain import plain
from vmlab.scenario import facts, features
from vmlab.scenario.load import Loaded
from vmlab.scenario.model import Await, Rmmod, Scenario, Step
from vmlab.scenario.references import with_parameters


@dataclass(frozen=True)
class RunStep:
    """A step with its parameters put in; captures are still references."""

    step: Step
    line: int  # in the YAML file
    argument: str

    @property
    def verb(self) -> str:
        return self.step.verb

    def text(self, key: str) -> str | None:
        """An option's text with the parameters put in."""
        return self.texts.get(key)

    @property
    def label(self) -> str:
        """The step in one line, for people."""
        first = self.argument.partition("\n")[0]
        return f"{self.verb}: {first}" if first else self.verb

    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expanded:
    """A scenario with one value for each parameter."""

    path: Path
    scenario: Scenario
    values: Mapping[str, str]
    steps: tuple[RunStep, ...]
    number: int = 0  # of the combination of values
    text: str = ""  # of its file, when that was read

    @property
    def name(self) -> str:
        """The scenario's name, with the parameters where there are any: `storm(count=2)`."""
        inner = plain(",".join(f"{key}={value}" for key, value in self.values.items()))
        return f"{self.scenario.name}({inner})" if inner else self.scenario.name

    @property
    def paired(self) -> bool:
        """Whether it is of two guests."""
        return self.scenario.network == "pair"

    def of_guest(self, role: str) -> "Expanded":
        """What one of two guests does: it waits while the other does a step."""
        steps = tuple(
            one if (one.step.on or "a") == role else _awaited(number, one)
            for number, one in enumerate(self.steps, start=1)
        )
        return replace(self, steps=steps)

    def program(self) -> list[str]:
        """The steps as the agent reads them."""
        return [
            program.step(
                one.verb, one.argument, self._expect(one), one.step.capture or "-", one.step.ms
            )
            for one in self.steps
        ]

    def on(self, release: str) -> "Expanded":
        """The same with a kernel's facts put in."""
        return replace(self, steps=tuple(_with_facts(one, release) for one in self.steps))

    def _expect(self, one: RunStep) -> str:
        needs = [*self.scenario.needs, *one.step.needs]
        return "?".join([one.step.expect, *([",".join(needs)] if needs else [])])

    def probes(self) -> dict[str, bytes]:
        """The scripts that show in the guest whether what steps need is there, by file name."""
        wanted = {name for one in self.steps for name in one.step.needs}
        known = {**features.FEATURES, **self.scenario.probes}
        return {
            program.need(name): f"{known[name]}\n".encode()
            for name in sorted({*wanted, *self.scenario.needs})
        }

    @property
    def modules(self) -> list[str]:
        """The modules that it needs."""
        return [with_parameters(name, self.values) for name in self.scenario.modules]

    @property
    def other_modules(self) -> list[str]:
        """Modules that a step wants as built for another kernel (NAME@other)."""
        words = (one.argument.split()[0] for one in self.steps if one.verb == "insmod")
        return sorted({word.partition("@")[0] for word in words if word.endswith("@other")})

    def commands(self) -> Iterator[str]:
        """The text of all that the guest's shell runs."""
        return (one.argument for one in self.steps if one.verb in ("run", "spawn"))


def _awaited(number: int, other: RunStep) -> RunStep:
    text = f"step {number}: {other.verb}"
    return RunStep(Await(await_=text, on=other.step.on), other.line, text)


def expand(loaded: Loaded) -> list[Expanded]:
    """Every combination of the scenario's parameters, in the order they are written."""
    names = list(loaded.scenario.parameters)
    combinations = itertools.product(*loaded.scenario.parameters.values())
    return [
        _one(loaded, dict(zip(names, values, strict=True)), number)
        for number, values in enumerate(combinations)
    ]


def _one(loaded: Loaded, values: Mapping[str, str], number: int) -> Expanded:
    steps = tuple(
        RunStep(
            step,
            line,
            _argument(step, values),
            {key: with_parameters(text, values) for key, text in step.patterns().items()},
        )
        for step, line in zip(loaded.scenario.steps, loaded.lines, strict=True)
    )
    return Expanded(loaded.path, loaded.scenario, values, steps, number, loaded.text)


def _with_facts(one: RunStep, release: str) -> RunStep:
    texts = {key: facts.put_in(text, release) for key, text in one.texts.items()}
    return replace(one, argument=facts.put_in(one.argument, release), texts=texts)


def _argument(step: Step, values: Mapping[str, str]) -> str:
    """A loaded module has the kernel's name for it: a dash in a file's name is an underscore."""
    text = with_parameters(step.argument, values)
    return text.replace("-", "_") if isinstance(step, Rmmod) else text
