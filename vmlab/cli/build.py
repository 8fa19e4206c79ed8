"""`vmlab build`: the project's modules for kernels."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vmlab.cli import common


def build(
    modules: Annotated[list[str] | None, typer.Argument(help="Modules; all without any.")] = None,
    kernel: Annotated[str | None, typer.Option(help="As for `vmlab run`.")] = None,
    build_sandbox: common.BuildSandbox = False,
) -> None:
    """Build modules, show the result and the command that makes it again."""
    from vmlab.build import kbuild, whole
    from vmlab.build.kbuild import ModuleBuildError
    from vmlab.catalog import Unavailable
    from vmlab.errors import UsageError
    from vmlab.scenario.check import unknown

    project, artifacts = common.project(), common.artifacts(build_sandbox)
    names = project.module_names()
    wanted = sorted(modules or names)
    for name in wanted:
        if name not in names:
            raise UsageError(unknown("module", name, names))
    apart = project.settings.build == "apart"
    groups = [wanted] if apart else [[name] for name in wanted]  # of a whole each has its own fate
    failed = False
    expression = project.settings.kernels if kernel is None else kernel
    for one in artifacts.catalog.select(expression):
        built: dict[str, Path] = {}
        told: set[str] = set()
        for group in groups:
            try:
                built |= artifacts.modules(artifacts.catalog.obtain(one), project.folder, group)
            except (Unavailable, ModuleBuildError) as error:
                bad = isinstance(error, ModuleBuildError)
                failed = failed or bad
                if str(error) not in told:
                    told.add(str(error))
                    said = f"failed\n{error}" if bad else f"skipped: {error}"
                    typer.echo(f"{one.id}: {said}", err=bad)
        for name, path in built.items():
            typer.echo(f"{one.id}: {name}: {path}")
        if not built or project.settings.build == "dkms":
            continue
        tree = artifacts.tree(artifacts.catalog.obtain(one))
        by_hand = (
            kbuild.by_hand(tree, project.modules, wanted)
            if apart
            else whole.by_hand(tree, project.folder)
        )
        typer.echo(f"{tree.id}: again by hand: {by_hand}")
    sys.exit(1 if failed else 0)
