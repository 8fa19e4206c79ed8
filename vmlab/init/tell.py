"""What `vmlab init` says: what it understood, and what to write next."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from vmlab.init.look import Module, Understood
from vmlab.init.write import Written

_HOW = {"dkms": "as dkms.conf says", "kbuild": "with its Kbuild", "apart": "one by one"}
_SHOWN = 8  # modules or parameters


def tell(found: Understood, written: Written) -> Iterator[str]:
    names = [one.name for one in found.modules]
    yield from _wrapped(
        f"{found.read}: {_count(names, 'module')}, built {_HOW[found.way]}: {_some(names)}"
    )
    if len(found.together) > 1:
        yield "loaded in this order, which is of the symbols that they export and use"
    if sometimes := [one.name for one in found.modules if not one.always]:
        yield from _wrapped(f"only on some kernels: {_some(sometimes)}")
    if apart := [one.name for one in found.apart if one.always]:
        yield from _wrapped(f"loaded one by one, for they do not need one another: {_some(apart)}")
    if stay := [one.name for one in found.modules if one.sources.stays]:
        yield from _wrapped(f"not unloaded, for they have no module_exit: {_some(stay)}")
    for module in found.modules[:_SHOWN]:
        yield from _of(module)
    if any(one.sources.firmware for one in found.modules):
        yield "firmware is put below firmware/, and named in a scenario's `firmware:`"
    yield from (line for note in found.notes for line in _wrapped(note))
    for path in written.files:
        yield f"wrote {_short(path, found)}"
    for path in written.kept:
        yield f"kept {_short(path, found)}, which is there already"
    yield from _next(found)


def _of(module: Module) -> Iterator[str]:
    known = module.sources
    if known.makes:
        yield from _wrapped(f"{module.name} makes {', '.join(known.makes)}")
    if known.parameters:
        names = [one.name for one in known.parameters]
        yield from _wrapped(f"{module.name} has {_count(names, 'parameter')}: {_some(names)}")
    if known.wants:
        wanted = ", ".join(f"{name}=" for name in known.wants)
        yield from _wrapped(
            f"{module.name} wants {wanted}: without, it is skipped; write that to its steps"
        )
    if known.firmware:
        yield from _wrapped(f"{module.name} asks for firmware: {_some(list(known.firmware))}")


def _next(found: Understood) -> Iterator[str]:
    name = "load.yaml" if found.together else "load-each.yaml"
    yield f"next: `vmlab run`; then a scenario that uses the module: a copy of {name} with"
    yield "`run:` and `read:` steps for what it makes, and `console:` for what it prints"


def _count(names: list[str], word: str) -> str:
    return f"{len(names)} {word}{'' if len(names) == 1 else 's'}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 98, subsequent_indent="    ", break_on_hyphens=False)


def _short(path: Path, found: Understood) -> str:
    return str(path.relative_to(found.folder))
