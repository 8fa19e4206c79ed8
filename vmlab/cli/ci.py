"""`vmlab ci`: a workflow for GitHub or GitLab."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common
from vmlab.errors import LabError, UsageError

if TYPE_CHECKING:
    from vmlab.catalog import Catalog
    from vmlab.ci.workflow import Service
    from vmlab.project import Project

STDOUT = Path("-")


def ci(
    service: Annotated[str, typer.Argument(help="github or gitlab.")],
    kernel: Annotated[
        str | None, typer.Option(help="As for `vmlab run`; the project's own without.")
    ] = None,
    shards: Annotated[int, typer.Option(min=1, max=64, help="Jobs that share the runs.")] = 4,
    install: Annotated[
        str | None,
        typer.Option(
            help="What pip installs vmlab from; without, what it was installed from here."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Another file; - is standard output.")] = None,
) -> None:
    """Write a CI workflow that runs the project's scenarios; files that are there stay."""
    from vmlab.ci.workflow import SERVICES, Wish, text

    if service not in SERVICES:
        raise UsageError(f"unknown service {service!r}; there are {', '.join(SERVICES)}")
    project, catalog = common.project(), common.catalog()
    root = repository(project.root)
    source, unreached = (install, None) if install else _installed()
    wanted = project.settings.kernels if kernel is None else kernel
    wish = Wish(
        wanted, shards, source, _packages(),
        project.root.relative_to(root).as_posix(), keys(project, catalog, wanted),
    )  # fmt: skip
    content = text(SERVICES[service], wish)
    if output == STDOUT:
        typer.echo(content, nl=False)
        return
    _write(output or root / SERVICES[service].place, content, SERVICES[service])
    typer.echo(f"pip installs {source} there; --install says another place")
    if unreached:
        common.say(
            f"this vmlab was installed from {unreached}, which CI does not reach: where no package "
            f"index has {source}, say --install git+https://... or a wheel's address"
        )


def keys(project: "Project", catalog: "Catalog", expression: str) -> dict[str, str]:
    """The names of what CI keeps, for a project and the kernels of an expression."""
    from vmlab.arch import ARCHES
    from vmlab.ci import keys
    from vmlab.guest.emulator import host
    from vmlab.snapshots import qemu_version

    chosen = catalog.select(expression)
    qemu = " ".join(qemu_version(host(arch).program) for arch in ARCHES.values())
    return {
        "kernels": keys.kernels(catalog, chosen),
        "snapshots": keys.snapshots(
            catalog, chosen, qemu, keys.debian_roots(project.scenario_files())
        ),
    }


def repository(folder: Path) -> Path:
    """The root of the git repository that a folder is in, else the folder itself."""
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)


def _write(path: Path, content: str, service: "Service") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already, and stays; {service.hint}") from error
    except OSError as error:
        raise LabError(f"writing {path}: {(error.strerror or str(error)).lower()}") from error
    typer.echo(f"wrote {path}")


def _installed() -> tuple[str, Path | None]:
    from importlib.metadata import distribution

    from vmlab.ci.workflow import requirement

    here = distribution("vmlab")
    return requirement(here.version, here.read_text("direct_url.json"), _pushed)


def _pushed(folder: Path) -> tuple[str, str] | None:
    """Where a clone was cloned from, and its commit, if that is to be reached by https."""
    address = _git(folder, "remote", "get-url", "origin")
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    return (address, commit) if address.startswith("https://") and commit else None


def _git(folder: Path, *words: str) -> str:
    import subprocess

    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _packages() -> list[str]:
    """The Debian packages that the lab needs: the list comes with it."""
    from vmlab.packages import needed

    return needed()
