"""Runs a token's run again, and says whether its bytes are the same, or what is not as it was."""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmlab import machines
from vmlab.artifacts import Artifacts
from vmlab.catalog import Kernel, Unavailable, added
from vmlab.determinism import Difference, compare, given
from vmlab.errors import LabError, UsageError, VmlabError
from vmlab.guest import qemu
from vmlab.inputs import MEANING, output_key
from vmlab.lab import Options, load, runner
from vmlab.project import Project
from vmlab.runner import Prepared, Run, Runner
from vmlab.scenario import Expanded
from vmlab.tokens import Token
from vmlab.verdict import Verdict


class InputsDiffer(VmlabError):
    """Not the token's inputs: a run of these shows nothing about that one."""

    exit_status = 1


@dataclass(frozen=True)
class Replayed:
    """A run of a token's inputs."""

    token: Token
    run: Run
    same: bool  # whether console and results are the same to the byte
    why_not: str = ""  # why they need not be
    differing: Sequence[str] = ()  # the inputs that are not the token's

    @property
    def fine(self) -> bool:
        """Whether it showed again what the token's run showed: bytes that can be, and verdict."""
        as_before = self.run.judgement.verdict is self.token.verdict
        return as_before and (self.same or bool(self.why_not))

    @property
    def exit_status(self) -> int:
        """3 where the lab broke: that shows nothing."""
        broken = self.run.judgement.verdict is Verdict.BROKEN is not self.token.verdict
        return 3 if broken else int(not self.fine)


def runner_of(token: Token, project: Project, artifacts: Artifacts) -> Runner:
    """A runner set up as for the token's run."""
    how = token.how
    backend = "virtme" if how.virtme else "qemu"
    return runner(
        project, artifacts, Options(backend, "auto", how.restored, token.seed, how.perturbed)
    )


def prepare(
    token: Token, project: Project, artifacts: Artifacts, file: Path | None = None
) -> tuple[Runner, Prepared]:
    """What a token names, found here. Raises UsageError and Unavailable for what is not here.

    `file` is the scenario's, where it is none of the project's and no run of it is kept here. One
    that is kept says where else its modules and its kernel are.
    """
    found = (record.get("environment", {}) for _, record in _records(token, project))
    where: Mapping[str, str] = next(found, {})
    if (modules := Path(where.get("modules", ""))).is_absolute() and modules.is_dir():
        project = project.of_modules(modules)
    made = runner_of(token, project, artifacts)
    kernel = _kernel(token, artifacts, where.get("kernel"))
    expanded = _expanded(token, project, artifacts, file)
    return made, made.prepare(expanded, kernel, made.directory(expanded, kernel))


def check(token: Token, inputs: Mapping[str, str], qemu: str = "") -> None:
    """Raises InputsDiffer that names each input with another content.

    `qemu` says which one is here, and which one there was.
    """
    differing = token.differing(inputs)
    if "program" in differing and not {"scenario", "sources", "kernel"} & set(differing):
        differing.append("compiler")
    if differing == ["sources"]:
        return  # what they build to is the same
    if differing:
        meaning = {
            **MEANING,
            "compiler": "(these sources, built by another compiler, or by another vmlab)",
            "qemu": MEANING["qemu"] + (f": {qemu}" if qemu else ""),
        }
        lines = "\n".join(f"  {meaning[name]}" for name in differing)
        raise InputsDiffer(
            f"these have another content than when the token was made:\n{lines}\n"
            "go back to what they were, or replay an archive (`vmlab replay TOKEN --export FILE`, "
            "there); --anyway runs all the same"
        )


def again(token: Token, made: Runner, prepared: Prepared) -> Replayed:
    """Runs and compares."""
    run = made.execute(prepared)
    same = token.gave(output_key(qemu.RunDirectory(Path(run.dir))))
    differing = token.differing(prepared.inputs)
    why = "" if same else _why_not(token, run, prepared, made.backend.name)
    return Replayed(token, run, same, why, differing)


def why_inexact(token: Token, machine: qemu.Machine, backend: str) -> str:
    """What its token says of a run whose bytes do not repeat, and why they do not."""
    why = machines.why_inexact(machine, backend, token.how.restored)
    return f"its token says that its bytes do not repeat: {why or 'the lab ended that guest'}"


def _why_not(token: Token, run: Run, prepared: Prepared, backend: str) -> str:
    if not token.how.exact:
        return why_inexact(token, prepared.job.machine, backend)
    if run.token is not None and run.token.how.restored != token.how.restored:
        return "one guest began from a snapshot and the other booted, which shows on the console"
    return ""


def _kernel(token: Token, artifacts: Artifacts, directory: str | None) -> Kernel:
    """That of the catalog, or the one that a bisection built, where that is still there."""
    try:
        (kernel,) = artifacts.catalog.select(token.kernel)
    except UsageError as error:
        with contextlib.suppress(LabError):
            if directory and (built := added.read(Path(directory))).id == token.kernel:
                return built
        raise UsageError(f"the token's kernel is not in the catalog here: {error}") from error
    got = artifacts.catalog.obtain(kernel)
    if got.id != kernel.id:
        raise Unavailable(
            f"the token's kernel {kernel.id} is gone from the archive; replay an exported archive "
            "of this run, which holds it"
        )
    return got


def kept(token: Token, project: Project) -> Iterator[tuple[Path, str]]:
    """The directories of the runs here that gave this token, each with its scenario's file."""
    for directory, record in _records(token, project):
        with contextlib.suppress(KeyError):
            yield directory, record["file"]


def _records(token: Token, project: Project) -> Iterator[tuple[Path, Any]]:
    """The same with what their verdict.json says."""
    for told in sorted(project.output.glob(f"*/{token.scenario}*/verdict.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):  # one that is not whole
            text = told.read_text()
            if str(token) in text and (record := json.loads(text))["token"] == str(token):
                yield told.parent, record


def first_difference(done: Replayed, earlier: Iterable[Path]) -> Difference | None:
    """Between what the guest gave and what one gave before it, where that is still to be had.

    `earlier` are directories that may have it.
    """
    now = given(Path(done.run.dir))
    for directory in earlier:
        if done.token.gave(output_key(qemu.RunDirectory(directory))):
            return compare(2, given(directory), now)
    return None


def _outside(token: Token, project: Project) -> Path | None:
    """The scenario's file as a kept run with this token names it, if it is none of the project's.

    A token holds no path: the file's name alone.
    """
    files = (project.root / file for _, file in kept(token, project))
    own = project.scenario_files()
    return next((file for file in files if file.is_file() and file not in own), None)


def _expanded(token: Token, project: Project, artifacts: Artifacts, file: Path | None) -> Expanded:
    file = file or _outside(token, project)
    if file and not file.is_file():
        raise UsageError(f"there is no scenario file {file}")
    try:
        found = load(project, artifacts.catalog, [str(file or token.scenario)], [])
    except UsageError as error:
        raise UsageError(
            f"the token's scenario cannot be had in {project.root}; is the token of another "
            f"project? (--scenario FILE names a file elsewhere) {error}"
        ) from error
    if found[0].scenario.name != token.scenario:
        raise UsageError(
            f"{file} is scenario {found[0].scenario.name}, and the token is of {token.scenario}"
        )
    for one in found:
        if one.number == token.combination:
            return one
    raise UsageError(
        f"scenario {token.scenario} has {len(found)} combinations of its parameters, and the token "
        f"is of number {token.combination}: it had others when the token was made"
    )
