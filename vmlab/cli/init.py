"""`vmlab init`: a project for modules that are there already."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="Where the modules' sources are.")] = Path(),
) -> None:
    """Look at a folder of modules; write vmlab.yaml and a first scenario for them."""
    from vmlab.errors import LabError, UsageError
    from vmlab.init import look, write
    from vmlab.init.tell import tell
    from vmlab.project import FILE

    if not folder.is_dir():
        raise UsageError(f"{folder} is no directory")
    folder = folder.resolve()
    if (folder / FILE).exists():
        typer.echo(f"{folder / FILE} is there already: nothing is written; `vmlab run` runs it")
        return
    found = look(folder)
    try:
        written = write(found)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LabError(f"writing {error.filename}: {reason}") from error
    for line in tell(found, written):
        typer.echo(line)
