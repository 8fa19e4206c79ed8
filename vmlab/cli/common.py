"""What several commands begin with."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vmlab.artifacts import Artifacts
    from vmlab.catalog import Catalog
    from vmlab.project import Project

BUILD_SANDBOX = "VMLAB_BUILD_SANDBOX"
BuildSandbox = Annotated[
    bool, typer.Option("--build-sandbox", help="Build modules and workloads with bubblewrap.")
]


Cluster = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Run guests on the workers of this Dask scheduler."),
]
FETCH_DEBUG = "Fetch Debian's debug package of a kernel that crashed (0.7 to 1.2 GB each)."


def say(line: str) -> None:
    """Progress, apart from the output; a guest's words in it move no cursor."""
    from vmlab.plain import plain

    print(plain(line), file=sys.stderr, flush=True)


def write(file: Path, text: str) -> None:
    """Raises LabError where that fails; what was found is shown before."""
    from vmlab.errors import LabError

    try:
        file.write_text(text)
    except OSError as error:
        raise LabError(f"writing {file}: {(error.strerror or str(error)).lower()}") from error


def catalog() -> "Catalog":
    from vmlab.cache import Cache
    from vmlab.catalog import Catalog

    return Catalog.open(Cache.default(), say)


def artifacts(sandboxed: bool = False) -> "Artifacts":
    """Builds run in a sandbox where that is asked for, here or by BUILD_SANDBOX."""
    from vmlab.artifacts import Artifacts

    wanted = sandboxed or os.environ.get(BUILD_SANDBOX, "0") not in ("", "0")
    made = catalog()
    return Artifacts(made.cache, made, wanted)


def project() -> "Project":
    from vmlab.project import find

    return find(Path.cwd())


def here() -> "Project":
    """The project that this directory is in, else an empty one: a place for run directories."""
    from vmlab.project import Project, Settings, find, root_of

    return find(Path.cwd()) if root_of(Path.cwd()) else Project(Path.cwd(), Settings())
