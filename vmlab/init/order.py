"""The order in which modules are loaded: each after those whose symbols it uses."""

from collections.abc import Mapping, Sequence

Symbols = Mapping[str, frozenset[str]]


def order(names: Sequence[str], exports: Symbols, words: Symbols) -> list[str]:
    """The names, moved only as far as needed. Of modules that need one another the first is first.

    `exports` and `words` are what each gives others, and all that stands in its sources.
    """
    needs = _needs(names, exports, words)
    made: list[str] = []
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun:
            return
        begun.add(name)
        for other in needs[name]:
            visit(other)
        made.append(name)

    for name in names:
        visit(name)
    return made


def linked(names: Sequence[str], exports: Symbols, words: Symbols) -> frozenset[str]:
    """Those that need another one, or that another one needs."""
    needs = _needs(names, exports, words)
    return frozenset(one for name in names if needs[name] for one in (name, *needs[name]))


def _needs(names: Sequence[str], exports: Symbols, words: Symbols) -> dict[str, list[str]]:
    return {
        name: [
            other
            for other in names
            if other != name and (exports[other] - exports[name]) & words[name]
        ]
        for name in names
    }
