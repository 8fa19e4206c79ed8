"""The JSON Schema and the reference of scenario files, made from the models."""

import json
from pathlib import Path
from typing import Any

from vmlab.scenario.model import STEPS, Scenario, SkipIf, Step

COMMITTED = Path(__file__).with_name("schema.json")

_HEAD = """\
# Scenarios

A scenario is a YAML file: what is done in a guest and what must be seen. `vmlab run NAME` runs it,
`pytest -k NAME` too. This page is made by `vmlab schema --docs`; editors complete scenario files
with the schema that `vmlab schema` prints (`vmlab/scenario/schema.json`).

    name: hello
    about: the module says hello when it is loaded
    modules: [hello]
    steps:
      - insmod: hello who=world
      - console: 'hello, world'

Every time is guest time. On the virtual clock, which is the default, waiting costs next to nothing.
"""

_RULES = """\
## References

`{z.pid}` is a value that the step named `as: z` gave: `pid` and each line `key=value` of a spawned
program, also those it prints later; `status` and each line `key=value` of what a `run` printed;
`value` (the whole text) and each line `key=value` of what was read. The guest puts them in just
before a step runs. `{count}` is a parameter of the scenario. `${name}` is left to the shell, and a
brace with a space after it to whoever reads it.

## Patterns

Patterns are Python regular expressions, searched in each line of the console or in a step's whole
output (`^` and `$` match at every line there). Captures are put in literally.

A `console` step looks at what the kernel printed since the last action began (insmod, rmmod,
modprobe, run, spawn, signal, write) and after the match of a `console` step before it, until its
own window has passed. So what an action prints at once is seen, several `console` steps in a row
assert an order, and a message from before the action is no proof. `no_console` looks at its own
window only.

## Verdicts

| verdict | when |
|---|---|
| passed | every step came out as it says, and the console shows no trouble |
| failed | a step did not; what does not build (reason `build`); a flooded console (16 MiB) |
| crashed | the console shows a panic, oops, warning, lockup or stall, or the results end early |
| timeout | the steps took longer than `timeout` in guest time, or the run on the host |
| skipped | `skip_if` says why, or the kernel is not to be had |
| broken | the lab itself failed; never counts for or against a kernel |
"""


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file."""
    made = Scenario.model_json_schema(by_alias=True)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return made


def schema_text() -> str:
    return json.dumps(schema(), indent=1) + "\n"


def markdown() -> str:
    """The reference as a page."""
    parts = [_HEAD, "## Keys\n", _table(Scenario), "`skip_if` is a list of:\n", _table(SkipIf)]
    parts.append("## Steps\n")
    for step in STEPS:
        parts += [f"### {step.verb}\n", f"{step.__doc__}\n", _table(step)]
    return "\n".join([*parts, _RULES])


def _table(model: "type[Scenario] | type[SkipIf] | type[Step]") -> str:
    lines = ["| key | default | what |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        key = field.alias or name
        lines.append(f"| `{key}` | {_default(model, name)} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def _default(model: "type[Scenario] | type[SkipIf] | type[Step]", name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    shown = _DEFAULTS.get((model.__name__, name), field.default)
    return "" if shown in (None, [], {}) else f"`{shown}`"


_DEFAULTS = {
    ("Scenario", "memory"): "192M",
    ("Scenario", "timeout"): "2m",
    ("Spawn", "within"): "10s",
    ("Console", "within"): "1s",
}
