"""`vmlab schema`: what a scenario file may say, for editors and for people."""

from typing import Annotated

import typer


def schema(
    docs: Annotated[bool, typer.Option("--docs", help="Print the reference instead.")] = False,
) -> None:
    """Print the JSON Schema of scenario files."""
    from vmlab.scenario import reference

    typer.echo(reference.markdown() if docs else reference.schema_text(), nl=False)
