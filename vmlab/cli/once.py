"""Options that take one value, given twice: the parser would take the last and say nothing."""

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption


class Once(TyperCommand):
    """A command that refuses such."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        left = super().parse_args(ctx, list(args))
        if not ctx.resilient_parsing:  # a shell that completes a line
            self._look(ctx, args)
        return left

    def _look(self, ctx: Any, args: list[str]) -> None:
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(given).items():
            if times == 1 or not isinstance(option, TyperOption):
                continue
            if not (option.multiple or option.is_flag or option.count):
                several = "; write several with commas between" if option.name == "kernel" else ""
                ctx.fail(f"{option.opts[0]} was given {times} times, and takes one value{several}")


def each_once(app: typer.Typer) -> None:
    """Makes all commands of an application, and of those below it, such ones."""
    for command in app.registered_commands:
        command.cls = Once
    for group in app.registered_groups:
        if group.typer_instance:
            each_once(group.typer_instance)
