"""The order in which modules are loaded: each after those whose symbols it uses."""

from collections.abc import Mapping, Sequence

Symbols = Mapping[str, frozenset[str]]


def order(names: Sequence[str], exports: Symbols, words: Symbols) -> list[str]:
    """Those that need others or are needed by how deep they stand on others; then the rest, whose
    sources may not tell what they need.

    `exports` and `words` are what each gives others, and all that stands in its sources. Of modules
    that need one another the first is first. What stands on little is loaded before what stands on
    more, for that may hold what the other wants to change: a plug-in before its user.
    """
    needs = _needs(names, exports, words)
    depths: dict[str, int] = {}
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun:
            return
        begun.add(name)
        for other in needs[name]:
            visit(other)
        depths[name] = 1 + max((depths.get(other, 0) for other in needs[name]), default=0)

    for name in names:
        visit(name)
    tied = linked(names, exports, words)
    return sorted(depths, key=lambda name: (name not in tied, depths[name]))


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
