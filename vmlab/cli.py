"""The command line."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def lab() -> None:
    """A kernel test lab on QEMU."""


def main() -> None:
    app()
