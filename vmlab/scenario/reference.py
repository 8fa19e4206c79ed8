"""The JSON Schema and the reference of scenario files, made from the models."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vmlab.guest import devices
from vmlab.scenario import facts, features
from vmlab.scenario.crashes import Allowed, Wanted
from vmlab.scenario.model import STEPS, ExpectCrash, Scenario, SkipIf, Step

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

_NEEDS = """\
## Needs

Every step takes `needs: [NAME, ...]`, and so does a scenario as a whole. What is needed is looked
for in the guest, once, just before the first step that needs it. A step whose kernel lacks it is
passed over: its line in the results says so, and the run is judged by the other steps. Where no
step is left, or the scenario as a whole needs it, the run is skipped with that reason. A scenario
has needs of its own with `probes`: a shell command for each, which may use its workloads.

    probes:
      bound-threads: '! taskset -p 1 $(pgrep kworker)'
    steps:
      - run: taskset -p 1 $(pgrep -x ksoftirqd/0)
        status: nonzero
        needs: [bound-threads]
"""

_FACTS = """\
## Facts

What differs between kernels by their age alone is a fact: the kernel's own value is put in.
"""

_MACHINE = """\
## Two guests

With `network: pair` there are two guests, a and b, whose network cards are at the ends of one wire.
Each step is done by the guest that its `on: a` or `on: b` names, a without it; steps are done one
after another, and `spawn` begins what goes on while the other guest does something. Both have the
same modules, workloads and devices. What a step captures is known to its own guest. There is one
verdict, which names the guest; the second guest's console and results are in the run's directory
`b`. Where one is to crash (`expect_crash`, on its guest) the other is judged by what it did until
then. A waiting guest's time passes as the host's does, so such a run's bytes do not repeat, and its
token says so.

    network: pair
    devices: [e1000]
    steps:
      - modprobe: e1000
      - modprobe: e1000
        on: b

## Userland

The image `tiny` has busybox and procps's ps. `image: debian` is a Debian root, with `packages:` of
the archive in it and, with `udev: true`, udev: docs/images.md. Without `memory:` such a guest has
as much as its image needs.

## Firmware

`firmware:` lists files below the project's directory `firmware`, by the names that a driver asks
for: `vendor/blob.bin` is `firmware/vendor/blob.bin`. The guest's kernel finds them (since Linux
3.7) in `/lib/firmware`.

## Devices

`devices:` lists what QEMU adds to the machine, in order; one may be listed twice. A kernel that has
a device's driver as a module needs it loaded, by `modprobe`, in the order of this table (a kernel
that lacks it answers ENOENT). A kernel without PCI is skipped, and so is one that loads no firmware
where `firmware:` lists some. A snapshot is of one set of devices; those that QEMU leaves out of it
the kernel finds anew before the first step, and with those that QEMU refuses to freeze each guest
boots. What a device stores is 16 MiB, is
made anew for each guest, begins with the line "vmlab disk N" (N counts the devices from 0), and is
left in the run's directory. All network cards of one guest are on one wire. Where QEMU does a
device's work in its own time ("not promised" below), the guest's idle time passes as the host's
does, so that a busy host is not taken for a device that does not answer: sleeping costs what it
says. A run's bytes may not repeat then, and its token does not promise it. Other options of QEMU
cannot be given: they name files of the host.
"""

_RULES = """\
## References

`{z.pid}` is a value that the step named `as: z` gave: `pid` and each line `key=value` of a spawned
program, also those it prints later; `status` and each line `key=value` of what a `run` printed;
`value` (the whole text) and each line `key=value` of what was read. The guest puts them in just
before a step runs. `{count}` is a parameter of the scenario. `${name}` is left to the shell, and a
brace with a space after it to whoever reads it. `{fact.name}` is a kernel's own (see Facts).

## Patterns

Patterns are Python regular expressions, searched in each line of the console or in a step's whole
output (`^` and `$` match at every line there). Captures are put in literally.

A `console` step looks at what the kernel printed since the last action began (insmod, rmmod,
modprobe, kunit, run, spawn, signal, write) and after the match of a `console` step before it, until
its own window has passed. So what an action prints at once is seen, several `console` steps in a
row assert an order, and a message from before the action is no proof. `no_console` looks at its own
window only.

## Sick kernels

After each step the kernel's health is looked at: what its console says (panics, oopses, warnings,
lockups, stalls, corruption, memory that ran out), which bits of its taint came (a machine check, a
bad page, an oops, a warning, a soft lockup; not those of loading a module), and which kernel
threads are still there although the modules that were loaded are gone. The first of these is the
crash, and the run's verdict. What `allow` names is passed over, wherever it comes.

With a step `expect_crash` the run passes by that crash alone: it must be the first one, of that
kind, with that title, and come since the last action began, no later than `within` says. Its time
is the console's; where that has none (and for what the agent finds) it is the end of the step it
came in, or the beginning, in the step `expect_crash` itself and in one that did not end. Before it
every step must come out as it says. Another crash, none in time, or a guest that hangs is a
failure, which says what was wanted and what was seen. The kinds are those that a console shows, and
three of the lab's own: `taint`, `leaked thread` and `flood`.

    steps:
      - insmod: driver
      - write: /proc/driver/reset 1
      - expect_crash: {kind: NULL dereference, title: driver_reset, within: 5s}

## Verdicts

| verdict | when |
|---|---|
| passed | every step came out as it says, and the kernel is well; or it crashed as wanted |
| failed | a step did not; no crash as expected; what does not build (reason `build`); a flood |
| crashed | the kernel is sick (panic, oops, warning, leaked thread), or the results end early |
| timeout | the steps took longer than `timeout` in guest time, or the run on the host |
| skipped | `skip_if` says why; the kernel lacks what it needs (`config`, `needs`) or is not there |
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
    parts += ["`allow` is a list of kinds, or of:\n", _table(Allowed)]
    parts.append("## Steps\n")
    for step in STEPS:
        parts += [f"### {step.verb}\n", f"{step.__doc__}\n", _table(step)]
        if step is ExpectCrash:
            parts += ["`expect_crash` has:\n", _table(Wanted)]
    return "\n".join([*parts, _MACHINE, _devices(), _needs(), _RULES])


def _needs() -> str:
    shown = [f"| `{name}` | `{_cell(probe)}` |"
             for name, probe in features.FEATURES.items()]  # fmt: skip
    told = [f"| `{{fact.{name}}}` | {one.about} | {_values(one)} | {one.source} |"
            for name, one in facts.FACTS.items()]  # fmt: skip
    heads = ["| need | is met where this succeeds |", "|---|---|"]
    more = ["| reference | what | value | source |", "|---|---|---|---|"]
    return "\n".join([_NEEDS, *heads, *shown, "", _FACTS, *more, *told, ""])


def _values(fact: facts.Fact) -> str:
    """Each value with the release that it holds from."""
    texts = [f"`{_cell(text)}`" for _, text in fact.values]
    since = [".".join(map(str, number)) for number, _ in fact.values]
    later = [f"{text} since {number}" for text, number in zip(texts[1:], since[1:], strict=True)]
    return ", ".join([texts[0], *later])


def _devices() -> str:
    lines = ["| device | what | drivers | snapshot | bytes repeat |", "|---|---|---|---|---|"]
    for one in devices.TABLE:
        drivers = ", ".join(f"`{name}`" for name in one.drivers) or "a module of yours"
        repeat = "yes" if one.exact == "exact" else "not promised"
        snapshot = "found anew" if one.forgotten else "yes" if one.frozen else "no: boots"
        lines.append(f"| `{one.name}` | {one.about} | {drivers} | {snapshot} | {repeat} |")
    return "\n".join(lines) + "\n"


def _table(model: type[BaseModel]) -> str:
    lines = ["| key | default | what |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in Step.model_fields and issubclass(model, Step):
            continue  # every step has it: told once
        key = field.alias or name
        lines.append(f"| `{key}` | {_default(model, name)} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A text as a table's cell, whose end a stroke would be."""
    return text.replace("|", "\\|")


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    shown = _DEFAULTS.get((model.__name__, name), field.default)
    return "" if shown in (None, [], {}) else f"`{shown}`"


_DEFAULTS = {
    ("Scenario", "memory"): "192M",
    ("Scenario", "timeout"): "2m",
    ("Scenario", "udev"): "false",
    ("Spawn", "within"): "10s",
    ("Scenario", "flood"): "16M",
    ("Console", "within"): "1s",
    ("Wanted", "within"): "1s",
}
