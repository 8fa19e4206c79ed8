"""`vmlab survey`: folders of modules, or Debian's -dkms packages, taken as they are."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from vmlab.runner import Run
    from vmlab.survey import Surveyed


def survey(
    places: Annotated[list[str], typer.Argument(help="Folders, or names of -dkms packages.")],
    kernel: Annotated[str | None, typer.Option(help="Kernels, as for `vmlab run`.")] = None,
    scenarios: Annotated[
        Path | None, typer.Option(help="A directory NAME of scenarios more, for folders by name.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Where the folders' copies are.")] = Path(
        "vmlab-survey"
    ),
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Guests at once.")] = 1,
    build_sandbox: common.BuildSandbox = False,
) -> None:
    """Make a project of each as `vmlab init` does, run it, and print one table in Markdown."""
    from vmlab import survey as surveys
    from vmlab.executor import exit_status

    work.mkdir(parents=True, exist_ok=True)
    found: list[Surveyed] = []
    try:
        for folder, lacks in [one for place in places for one in _folders(place, work)]:
            common.say(f"{folder.name}:")
            made = surveys.project(folder, work / surveys.SOURCES, scenarios)
            runs = _run(made.root, kernel, jobs, build_sandbox)
            found.append(surveys.Surveyed(folder.name, runs, lacks))
    finally:
        typer.echo(surveys.table(found), nl=False)
    sys.exit(exit_status([run for one in found for run in one.runs]))


def _folders(place: str, work: Path) -> list[tuple[Path, list[str]]]:
    """A folder itself, or those in a package of Debian's, which is fetched and unpacked; with each
    what its package lacks on this machine.

    What other -dkms packages it depends on is put where it looks for it: beside its project.
    """
    from vmlab import survey as surveys

    if Path(place).is_dir():
        return [(Path(place), [])]
    target = _fetched(place, work / "packages")
    for other in surveys.depends(target):
        for folder in surveys.packages(_fetched(other, work / "packages")):
            surveys.put_beside(folder, work / surveys.SOURCES)
    return [(folder, surveys.lacks(target)) for folder in surveys.packages(target)]


def _fetched(name: str, packages: Path) -> Path:
    """The directory that a package is unpacked in, anew where the archive has a newer one."""
    from vmlab.catalog import unpack
    from vmlab.errors import LabError
    from vmlab.survey import DEPENDS

    target = (packages / name).resolve()
    target.mkdir(parents=True, exist_ok=True)
    words = ["apt-get", "download", "-q", name]
    done = subprocess.run(words, cwd=target, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise LabError(f"{name} is no folder, and `{' '.join(words)}` says: {said}")
    file = max(target.glob("*.deb"), key=lambda path: path.stat().st_mtime)
    shutil.rmtree(target / "usr", ignore_errors=True)  # of an older version
    unpack.package(file, target)
    depends = ["dpkg-deb", "--field", str(file), "Depends"]
    done = subprocess.run(depends, capture_output=True, text=True, check=False)
    (target / DEPENDS).write_text(done.stdout)
    return target


def _run(root: Path, kernel: str | None, jobs: int, build_sandbox: bool) -> "list[Run]":
    from vmlab import executor, lab
    from vmlab.project import find
    from vmlab.report import table

    runner, pairs = lab.prepare(
        find(root), common.artifacts(build_sandbox), [], [], kernel, lab.Options()
    )
    runs: list[Run] = []
    for run in executor.execute(runner, pairs, jobs, lambda pair: None):
        common.say(table.line(run).plain)
        runs.append(run)
    order = {(one.name, which.id): number for number, (one, which) in enumerate(pairs)}
    runs.sort(key=lambda run: order.get((run.scenario, run.kernel), 0))
    return runs
