"""A kernel's configuration: a base, fragments on it, and whether the tree's kconfig took them."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vmlab.arch import Arch
from vmlab.cache import content_key
from vmlab.catalog import kconfig
from vmlab.catalog.progress import Say
from vmlab.errors import UsageError
from vmlab.sources.make import Make

FRAGMENTS = Path(__file__).parent / "fragments"
_LINE = re.compile(r"^(?:CONFIG_(\w+)=(.*)|# CONFIG_(\w+) is not set)$", re.MULTILINE)
_RANGE = re.compile(r"# (?:(\d+)\.(\d+))?-(?:(\d+)\.(\d+))?: ")
_SHOWN = 20


class ConfigError(UsageError):
    """What was asked for is not in the configuration that kconfig made, or it cannot boot."""


@dataclass(frozen=True)
class Wish:
    """A configuration that is asked for: a whole one to begin from, and what is to be changed."""

    name: str  # "tiny", "distro" or the file's name, and the fragments'
    base: str  # kconfig's text; for `tiny` only what differs from nothing
    fragments: str
    bare: bool  # whether all that the base does not name is left out
    strict: bool  # whether all of the base must be there in the end
    lenient: bool = False  # what was dropped is said and is no error

    @property
    def key(self) -> str:
        return content_key(self.base, self.fragments, str(self.bare), str(self.lenient))


def fragment(name: str, number: tuple[int, ...]) -> str:
    """The text of a fragment that travels with the lab, for a kernel's numbers, or of a file.

    Raises UsageError where there is neither.
    """
    path = fragment_file(name)
    text = path.read_text(errors="replace").rstrip("\n") + "\n"
    return _fitting(text, number) if path.parent == FRAGMENTS else text


def fragment_file(name: str) -> Path:
    """Raises UsageError where there is none of that name, nor such a file."""
    shipped = FRAGMENTS / f"{name}.config"
    path = shipped if shipped.is_file() else Path(name).expanduser()
    if not path.is_file():
        raise UsageError(
            f"there is no fragment {name!r}: it is a file, or one of "
            f"{', '.join(shipped_fragments())}"
        )
    return path


def _fitting(text: str, number: tuple[int, ...]) -> str:
    """What follows a comment `# 5.7-5.10: why`, up to the next comment, is for such kernels.

    Either end may be left out.
    """
    kept, fits = [], True
    for line in text.splitlines(keepends=True):
        if line.startswith("# ") and not line.startswith("# CONFIG_"):
            found = _RANGE.match(line)
            fits = found is None or _within(found, number)
        if fits:
            kept.append(line)
    return "".join(kept)


def _within(found: re.Match[str], number: tuple[int, ...]) -> bool:
    first, last = (
        tuple(map(int, one)) if one[0] else () for one in (found.group(1, 2), found.group(3, 4))
    )
    return first <= number and (not last or number[:2] <= last)


def shipped_fragments() -> list[str]:
    return sorted(path.stem for path in FRAGMENTS.glob("*.config"))


def options(text: str) -> dict[str, str]:
    """What a configuration or fragment asks for, n included; of two lines the last counts."""
    return {found[1] or found[3]: found[2] or "n" for found in _LINE.finditer(text)}


def configure(make: Make, wish: Wish, number: tuple[int, ...], say: Say) -> Mapping[str, str]:
    """Writes `.config` in make's directory; returns the options that are set.

    One that is as it was keeps its time. Raises ConfigError for what was asked for and is not
    there, and for a kernel that could not boot in a guest.
    """
    config = make.out / ".config"
    before = config.with_name(".config.before")
    if config.is_file():
        shutil.copy2(config, before)
    _made(make, wish, config)
    if before.is_file() and before.read_bytes() == config.read_bytes():
        shutil.copystat(before, config)
    found = kconfig.read(config)
    _check(make.tree, make.arch, wish, found, say)
    if wrong := kconfig.problems(found, number):
        lines = "\n".join(f"  {one}" for one in wrong)
        raise ConfigError(f"a kernel configured as {wish.name} cannot boot in a guest:\n{lines}")
    return found


def _made(make: Make, wish: Wish, config: Path) -> None:
    what = f"the configuration {wish.name}"
    if wish.bare:
        asked = make.out / "wanted.config"
        asked.write_text(f"{wish.base}\n{wish.fragments}")
        make.run(what, "allnoconfig", f"KCONFIG_ALLCONFIG={asked}")
    else:
        config.write_text(f"{wish.base}\n{wish.fragments}")
        make.run(what, "olddefconfig")


def _check(tree: Path, arch: Arch, wish: Wish, found: Mapping[str, str], say: Say) -> None:
    """A fragment's options must be there, and those of a base that is the user's own."""
    first = lost(options(wish.fragments), found)
    base = lost(
        {k: v for k, v in options(wish.base).items() if k not in options(wish.fragments)}, found
    )
    if not first and not base:
        return
    from vmlab.sources.dependencies import Dependencies

    known = Dependencies.of(tree, arch)
    if not wish.strict:
        base = {}
    lines = [f"  {known.why(name, value, found)}" for name, value in {**first, **base}.items()]
    if not lines:
        return
    head = f"{wish.name}: the tree's kconfig dropped what was asked for:"
    shown = lines[:_SHOWN] + ([f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])
    if not wish.lenient:
        raise ConfigError("\n".join([head, *(lines if first else shown)]))
    say("\n".join([head, *shown]))


def lost(asked: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Of what was asked for, what is otherwise."""
    return {name: value for name, value in asked.items() if found.get(name, "n") != value}
