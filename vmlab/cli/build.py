"""`vmlab build`: the project's modules for kernels."""

import sys
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
    failed = False
    for one in artifacts.catalog.select(kernel or project.settings.kernels):
        try:
            real = artifacts.catalog.obtain(one)
            built = artifacts.modules(real, project.folder, wanted)
        except Unavailable as error:
            typer.echo(f"{one.id}: skipped: {error}")
            continue
        except ModuleBuildError as error:
            typer.echo(f"{one.id}: failed\n{error}", err=True)
            failed = True
            continue
        for name, path in built.items():
            typer.echo(f"{real.id}: {name}: {path}")
        if project.settings.build == "dkms":
            continue
        tree = artifacts.tree(real)
        if project.settings.build == "kbuild":
            words = whole.by_hand(tree, project.folder)
        else:
            words = kbuild.by_hand(tree, project.modules, wanted)
        typer.echo(f"{real.id}: again by hand: {words}")
    sys.exit(1 if failed else 0)
