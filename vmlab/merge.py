"""Results of several commands made into one: nothing is lost, and nothing is counted twice."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmlab import about
from vmlab.about import About
from vmlab.errors import LabError, UsageError
from vmlab.report import told
from vmlab.report.told import Told
from vmlab.runner import file_name


@dataclass(frozen=True)
class Part:
    """One command's directory."""

    path: Path
    about: About
    runs: Sequence[Told]


@dataclass(frozen=True)
class Merged:
    """Which run comes from where, and what is wrong with the whole."""

    about: About
    runs: Mapping[str, Path]  # directories by their names in the merged one
    twice: int  # runs that were there several times, the same to the byte; one of each is taken
    differing: Sequence[tuple[str, str]] = ()  # scenario and kernel of runs that are not the same
    missing: Sequence[str] = field(default=())  # what was to be run, and is nowhere


def read(path: Path) -> Part:
    """Raises UsageError where it is no command's directory, or does not say of which project."""
    known = about.of_directory(path)
    if not any(path.glob(f"*/{told.VERDICT}")):
        return Part(path, known, [])  # a shard may be empty
    return Part(path, known, told.of_directory(path).runs)


def merged(parts: Sequence[Part]) -> Merged:
    """Raises UsageError where they are of several projects."""
    _one_project(parts)
    runs: dict[str, Path] = {}
    kept: dict[tuple[str, str], list[Told]] = {}
    twice, differing = 0, []
    for run in (run for part in parts for run in part.runs):
        others = kept.setdefault(run.key, [])
        if any(_same(run, other) for other in others):
            twice += 1
            continue
        if any(run.place and other.place and _ones(run, other) for other in others):
            differing.append(run.key)
        others.append(run)
        assert run.place
        runs[_name(run.place.name, runs)] = run.place
    wanted = dict.fromkeys(pair for part in parts for pair in part.about.wanted)
    asked = [{f"{name} on {kernel}" for name, kernel in part.about.wanted} for part in parts]
    ran = {one for part, all_ in zip(parts, asked, strict=True) for one in all_ - _lost(part)}
    lost = sorted({one for all_ in asked for one in all_} - ran, key=told.natural)
    first = parts[0].about
    whole = About(project=first.project, identity=first.identity, wanted=list(wanted))
    return Merged(whole, runs, twice, list(dict.fromkeys(differing)), [*_shards(parts), *lost])


def write(found: Merged, directory: Path) -> None:
    """Copies the runs' directories; the verdict comes last, so a run that is cut off is none."""
    try:
        found.about.write(directory)
        for name, path in found.runs.items():
            target = directory / name
            leave = shutil.ignore_patterns(told.VERDICT)
            shutil.copytree(path, target, symlinks=True, ignore=leave)
            shutil.copy2(path / told.VERDICT, target / told.VERDICT)
    except (OSError, shutil.Error) as error:
        raise LabError(f"merging into {directory}: {error}") from error


def _one_project(parts: Sequence[Part]) -> None:
    if len({part.about.identity for part in parts}) < 2:
        return
    lines = [f"  {part.path}: {_of_project(part.about)}" for part in parts]
    raise UsageError(
        "these are results of different projects, or of one whose settings or scenarios changed "
        "in between; merge those of one alone:\n" + "\n".join(lines)
    )


def _of_project(known: About) -> str:
    return f"{known.project} ({known.identity})"


def _same(one: Told, other: Told) -> bool:
    """Whether it is one run in two places: told alike, and with the same bytes."""
    left, right = (run.model_dump(exclude={"dir"}) for run in (one, other))
    return left == right and _same_bytes(one, other)


def _same_bytes(one: Told, other: Told) -> bool:
    return all(one.content(name) == other.content(name) for name in ("console", "results"))


def _ones(one: Told, other: Told) -> bool:
    """Whether both ran the same inputs with the same seed, so that they should agree."""
    same = one.inputs == other.inputs and one.seed == other.seed and bool(one.inputs)
    return same and not (one.token == other.token and _same_bytes(one, other))


def _name(name: str, taken: Mapping[str, Path]) -> str:
    numbers = (f"{name}~{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbers) if one not in taken)


def _lost(part: Part) -> set[str]:
    """What was to be run and was not. (Another kernel, the nearest, may have run instead of one
    that is gone: its directory has the name of that one.)"""
    ran = {run.place.name for run in part.runs if run.place}
    return {
        f"{scenario} on {kernel}"
        for scenario, kernel in part.about.wanted
        if f"{file_name(scenario)}-{kernel}" not in ran
    }


def _shards(parts: Sequence[Part]) -> list[str]:
    """The shards that are nowhere, where these are shards."""
    known = [part.about.shard for part in parts if part.about.shard]
    wanted = {(number, of) for _, of in known for number in range(1, of + 1)}
    return [f"shard {number}/{of}" for number, of in sorted(wanted - set(known))]
