"""The order in which modules are loaded: each after those whose symbols it uses."""

from collections.abc import Mapping, Sequence


def order(
    names: Sequence[str], exports: Mapping[str, frozenset[str]], words: Mapping[str, frozenset[str]]
) -> list[str]:
    """The names, moved only as far as needed. Of modules that need one another the first is first.

    `exports` and `words` are what each gives others, and all that stands in its sources.
    """
    needs = {
        name: [
            other
            for other in names
            if other != name and (exports[other] - exports[name]) & words[name]
        ]
        for name in names
    }
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
