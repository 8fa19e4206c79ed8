"""A second try for modules that kbuild does not build from the top of their folder.

Their Makefiles may count on being where the author calls make, or on what the author's own make
does before it calls the kernel's: a header that a script makes, options that it gives.
"""

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vmlab.build import faulty, kbuild, makefile, rules
from vmlab.build.kbuild import ModuleBuildError
from vmlab.build.place import Place, command, makeflags

NAME = "one-by-one"
"""Of the copy, beside that of the first try."""
_IN_SOURCE = re.compile(r"\.[chS]:\d+(?::\d+)?: (?:fatal )?error: ")
_OWN_LIMIT_S = 300.0  # of an author's make: it may build far more than the modules
_SYMBOLS = "Module.symvers"


def build(
    place: Place, fresh: Callable[[Path], None], lost: Mapping[str, ModuleBuildError]
) -> dict[str, ModuleBuildError]:
    """Builds the folders of lost modules one by one in a copy that `fresh` makes; what some of them
    lack of others is known to them in the next round.

    Returns the modules that are lost still, each with what was said of it. Modules that are there
    already are not taken anew.
    """
    work, before = place.directory / NAME, kbuild.modules(place.directory)
    fresh(work)
    modules = makefile.modules(work)
    tried = _Tries(place, work)
    left = [
        root
        for root in makefile.roots(work)
        if any(one.name in lost and one.folder.is_relative_to(root) for one in modules)
    ]
    said: dict[str, ModuleBuildError] = {}
    while left:
        failed = [root for root in left if not tried.build(root)]
        rest = [root for root in failed if tried.lacks_symbols(root)]
        left = rest if len(failed) < len(left) else []
    made = kbuild.modules(work)
    for one in modules:
        if one.name in lost and one.name not in made:
            said[one.name] = _of(one, [lost[one.name], *tried.said_of(one.folder)], modules)
    for name, path in made.items():
        if name in before:
            path.unlink()
    return said


class _Tries:
    """What was tried in a copy, and what came of it."""

    def __init__(self, place: Place, work: Path) -> None:
        self._place, self._work = place, work
        self.said: dict[Path, list[ModuleBuildError]] = {}
        self._made: dict[Path, ModuleBuildError | None] = {}  # by the author's own make

    def said_of(self, folder: Path) -> list[ModuleBuildError]:
        found = (said for root, said in self.said.items() if folder.is_relative_to(root))
        return next(found, [])

    def lacks_symbols(self, root: Path) -> bool:
        return any("undefined" in line for one in self.said.get(root, ()) for line in one.lines)

    def build(self, root: Path) -> bool:
        """Whether all goes well in a folder, with kbuild or with its author's own make."""
        self.said[root] = []
        if root != Path():  # else it was tried just so
            try:
                words = [*command(self._place.tree, self._work, root), f"-j{os.cpu_count() or 1}"]
                self._place.run(words, self._work / root, self._symbols(), self._work)
                return True
            except ModuleBuildError as error:
                self.said[root] += [error]
        own = rules.calls_more(self._work, root)
        if own is None:
            return False
        if own not in self._made:
            self._made[own] = self._own(own)
        failed = self._made[own]
        if failed:
            self.said[root] += [failed]
        return failed is None

    def _own(self, folder: Path) -> ModuleBuildError | None:
        """Runs the author's make; what is no module may fail in it."""
        builder = self._place.builder
        place = replace(
            self._place, builder=replace(builder, limit_s=min(builder.limit_s, _OWN_LIMIT_S))
        )
        more = {"MAKEFLAGS": f"k {makeflags(self._place, self._work)}", **self._symbols()}
        try:
            place.run(["make"], self._work / folder, more, self._work)
        except ModuleBuildError as error:
            return error
        return None

    def _symbols(self) -> dict[str, str]:
        files = sorted(self._place.directory.rglob(_SYMBOLS))
        return {"KBUILD_EXTRA_SYMBOLS": " ".join(map(str, files))} if files else {}


def _of(
    module: makefile.Made, said: Sequence[ModuleBuildError], modules: Sequence[makefile.Made]
) -> ModuleBuildError:
    """What a module's verdict tells of several failures: the last that names its files, else the
    truest of those that name none's."""
    told = [faulty.modules(one.lines, modules) for one in said]
    both = zip(said, told, strict=True)
    if named := [(one, found[module.name]) for one, found in both if module.name in found]:
        last, words = named[-1]
        return ModuleBuildError(last.kernel, last.by_hand, words, words.splitlines())
    of_nobody = [one for one, found in zip(said, told, strict=True) if not found]
    return functools.reduce(_truer, of_nobody) if of_nobody else said[0]


def _truer(first: ModuleBuildError, second: ModuleBuildError) -> ModuleBuildError:
    """Of two failures the one that is more the author's: the second, where it does not lose a
    source's line."""
    loses = _IN_SOURCE.search(first.said) and not _IN_SOURCE.search(second.said)
    return first if loses or not second.lines else second
