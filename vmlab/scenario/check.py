"""What types cannot say of a scenario: names, patterns and references that mean something."""

import difflib
import re
from collections.abc import Iterable, Iterator

from vmlab.guest.devices import BY_NAME, CARDS
from vmlab.scenario import facts, features
from vmlab.scenario import references as refs
from vmlab.scenario.known import Known
from vmlab.scenario.model import BY_VERB, ExpectCrash, Scenario
from vmlab.scenario.positions import Document, Problem

PATTERNS = ("console", "no_console", "output", "no_output", "title")


def meaning(scenario: Scenario, document: Document, known: Known, stem: str) -> Iterator[Problem]:
    """Problems of a scenario that is well-formed."""
    if scenario.name != stem:
        at = document.place(("name",))
        yield Problem(*at, f"name {scenario.name!r} and the file's name {stem!r} must agree")
    for name, values in scenario.parameters.items():
        if not values:
            yield Problem(*document.place(("parameters", name)), f"parameter {name!r} has no value")
    for number, step in enumerate(scenario.steps[:-1]):
        if isinstance(step, ExpectCrash):
            at = document.place(("steps", number, step.verb), key=True)
            yield Problem(*at, "a crash is expected in the last step: none runs after it")
    yield from _needs(scenario, document)
    for number, name in enumerate(scenario.devices):
        if BY_NAME[name].once and name in scenario.devices[:number]:
            at = document.place(("devices", number))
            yield Problem(*at, f"a machine has one {name} at most")
    yield from _pair(scenario, document)
    for key in ("packages", "udev") if scenario.image != "debian" else ():
        if getattr(scenario, key):
            at = document.place((key,), key=True)
            yield Problem(*at, f"{key} are of the image `debian`; write image: debian")
    expressions = [(("skip_if", n, "kernel"), one.kernel) for n, one in enumerate(scenario.skip_if)]
    if scenario.kernels is not None:
        expressions.append((("kernels",), scenario.kernels))  # type: ignore[arg-type]
    for path, expression in expressions:
        problem = known.kernel_problem(expression)
        if problem:
            yield Problem(*document.place(path), problem)


def _needs(scenario: Scenario, document: Document) -> Iterator[Problem]:
    """Needs that nothing shows."""
    known = {**features.FEATURES, **scenario.probes}
    wanted = [(("needs", n), name) for n, name in enumerate(scenario.needs)]
    for number, step in enumerate(scenario.steps):
        wanted += [(("steps", number, "needs", n), name) for n, name in enumerate(step.needs)]  # type: ignore[misc]
    for path, name in wanted:
        if name not in known:
            yield Problem(*document.place(path), unknown("need", name, known))


def _pair(scenario: Scenario, document: Document) -> Iterator[Problem]:
    """What two guests need, and what one must not say."""
    if scenario.network == "pair":
        at = document.place(("network",))
        if not set(scenario.devices) & set(CARDS):
            yield Problem(*at, f"a pair needs a network card among devices: {', '.join(CARDS)}")
        if scenario.cpus > 1:
            yield Problem(*document.place(("cpus",)), "the guests of a pair have one processor")
        yield from _of_the_other(scenario, document)
        return
    for number, step in enumerate(scenario.steps):
        if step.on:
            place = document.place(("steps", number, "on"), key=True)
            yield Problem(*place, "only a scenario with network: pair has guests a and b")


def _of_the_other(scenario: Scenario, document: Document) -> Iterator[Problem]:
    """References to what a step of the other guest gave."""
    givers: dict[str, str] = {}
    written = _list(document.content.get("steps"))
    for number, (step, raw) in enumerate(zip(scenario.steps, written, strict=True)):
        own = step.on or "a"
        for path, text in _texts(raw) if isinstance(raw, dict) else ():
            for name, _ in refs.found(text):
                if givers.get(name, own) != own:
                    place = document.place(("steps", number, *path))
                    said = f"step {name!r} is done by guest {givers[name]}, and this one by {own}"
                    yield Problem(*place, f"{said}: what one gave is not known to the other")
        if step.capture:
            givers[step.capture] = own


def names(document: Document, known: Known) -> Iterator[Problem]:
    """Modules and workloads that the project does not have, also in malformed files."""
    yield from _listed("module", "modules", known.modules, document)
    yield from _listed("workload", "workloads", known.workloads, document)
    yield from _listed("firmware file", "firmware", known.firmware, document)
    listed = document.content.get("modules")
    for number, step in enumerate(_list(document.content.get("steps"))):
        text = step.get("insmod") if isinstance(step, dict) else None
        if not isinstance(text, str) or not text.strip():
            continue
        name = text.split()[0].partition("@")[0]
        place = document.place(("steps", number, "insmod"))
        if set(_meant(name, document)) - set(known.modules):
            yield Problem(*place, unknown("module", name, known.modules))
        elif name not in _list(listed):
            yield Problem(*place, f"module {name!r} is not in the scenario's `modules:`")


def _listed(what: str, key: str, known: Iterable[str], document: Document) -> Iterator[Problem]:
    for number, listed in enumerate(_list(document.content.get(key))):
        for name in _meant(listed, document) if isinstance(listed, str) else ():
            if name not in known:
                yield Problem(*document.place((key, number)), unknown(what, name, known))


def _meant(text: str, document: Document) -> list[str]:
    """A name that is a parameter's: each of its values."""
    parameters = document.content.get("parameters")
    found = [name for name, key in refs.found(text) if key is None]
    values = parameters.get(found[0]) if found and isinstance(parameters, dict) else None
    meant = [refs.with_parameters(text, {found[0]: str(one)}) for one in _list(values)]
    return meant or [text]


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that the project does not have."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    others = f"there are {', '.join(sorted(known))}" if known else "the project has none"
    return f"unknown {what} {name!r}; " + (f"the nearest is {near[0]!r}" if near else others)


def references(document: Document) -> Iterator[Problem]:
    """Patterns that are none, and references that nothing makes, also in malformed files."""
    content = document.content
    for number, entry in enumerate(_list(content.get("allow"))):
        title = entry.get("title") if isinstance(entry, dict) else None
        if isinstance(title, str):
            place = document.place(("allow", number, "title"))
            yield from _pattern(title, title, place)
    parameters = content.get("parameters")
    made: dict[str, int] = {}
    words = set(parameters) if isinstance(parameters, dict) else set()
    steps = content.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if not isinstance(step, dict):
            continue
        for path, text in _texts(step):
            place = document.place(("steps", number, *path))
            yield from _text(path[-1], text, place, words, made)
        name = step.get("as")
        if isinstance(name, str):
            place = document.place(("steps", number, "as"))
            if name == facts.NAME:
                yield Problem(*place, f"name {name!r} is taken: {{fact.NAME}} is a kernel's own")
            elif name in made:
                yield Problem(*place, f"name {name!r} is taken by the step in line {made[name]}")
            made.setdefault(name, document.place(("steps", number))[0])


def _texts(step: dict[str, object], *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """A step's texts, also those one level down, with their keys."""
    for key, value in step.items():
        if isinstance(value, str):
            yield (*path, key), value
        elif isinstance(value, dict) and not path:
            yield from _texts(value, key)


def _pattern(text: str, tried: str, place: tuple[int, int]) -> Iterator[Problem]:
    try:
        re.compile(tried)
    except re.error as error:
        yield Problem(*place, f"pattern {text!r}: {error}")


def _text(
    key: str, text: str, place: tuple[int, int], parameters: set[str], made: dict[str, int]
) -> Iterator[Problem]:
    if key in PATTERNS:
        yield from _pattern(text, refs.stand_in(text), place)
    if key in PATTERNS or key in BY_VERB:
        for name, inner in refs.found(text):
            yield from _reference(name, inner, place, parameters, made)


def _reference(
    name: str, key: str | None, place: tuple[int, int], parameters: set[str], made: dict[str, int]
) -> Iterator[Problem]:
    if key is None and name not in parameters:
        near = difflib.get_close_matches(name, [*parameters, *made], n=1, cutoff=0.5)
        hint = f"the nearest is {near[0]!r}" if near else "write a brace with a space"
        yield Problem(*place, f"{{{name}}} is no parameter of this scenario; {hint}")
    elif name == facts.NAME and key is not None:
        if key not in facts.FACTS:
            yield Problem(*place, unknown("fact", key, facts.FACTS))
    elif key is not None and name not in made:
        near = difflib.get_close_matches(name, made, n=1, cutoff=0.5)
        hint = f"; the nearest is {near[0]!r}" if near else "; give a step `as: " + name + "`"
        yield Problem(*place, f"{{{name}.{key}}}: no step before this is named {name!r}{hint}")
