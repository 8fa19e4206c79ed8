"""`vmlab worker`: gives this machine's processors to a cluster."""

import os
from typing import Annotated

import typer

from vmlab.cli import common


def worker(
    address: Annotated[str, typer.Argument(help="The scheduler's: tcp://HOST:PORT, or tls://.")],
    name: Annotated[
        str | None, typer.Option(help="Told in results; of machine and process without.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Guests at once; 0: one a core.")
    ] = 0,
) -> None:
    """Take guests from a cluster's scheduler, until it is stopped."""
    from vmlab.cluster import worker as serving

    serving.serve(address, name or serving.default_name(), jobs or os.cpu_count() or 1, common.say)
