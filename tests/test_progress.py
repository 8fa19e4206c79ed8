"""Where a long command stands, on a terminal and in a log."""

import io

import pytest
from rich.console import Console

from vmlab.cli.progress import EVERY_S, Progress


@pytest.mark.parametrize("terminal", [True, False])
def test_a_log_is_told_now_and_then_and_a_terminal_all_the_while(terminal):
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, force_terminal=terminal, width=40)
    with Progress(console, lambda: now[0]) as progress:
        for number in range(4):
            progress.update(f"[b]run {number} of many, in a line that is longer than the terminal")
            now[0] += EVERY_S * 0.6
    shown = [number for number in range(4) if f"[b]run {number}" in out.getvalue()]
    assert (3 in shown) if terminal else (shown == [2])
    assert terminal or out.getvalue().count("\n") == 1
