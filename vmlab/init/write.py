"""The files of a first project. What is there already is left as it is."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmlab.init.look import MANY, Module, Understood

_SKIP = re.compile(r"    (?:or_skip|because): .*\n")
_FOLDERS = ("scenarios", "vmlab-scenarios")
_LIST = """\
  # What is there before. Numbers at the end are left out: those of devices go on counting.
  - run: |
      cat > /tmp/look << 'END'
      ls -d /dev/* /proc/[!0-9]* /sys/block/* /sys/class/*/* /sys/bus/*/d*/* /sys/fs/* \\
        /sys/module/* 2> /dev/null | sed 's/[0-9]*$//' | sort -u
      END
      sh /tmp/look > /tmp/before
"""
_APPEARED = """\
  - sleep: 1s
  - run: |
      sh /tmp/look > /tmp/loaded
      echo appeared:
      grep -vxFf /tmp/before /tmp/loaded
"""
_AGAIN = """\
  # The second time is like the first.
  - sleep: 1s
  - run: sh /tmp/look | diff /tmp/loaded -
"""
_GONE = """\
  - sleep: 1s
  - run: sh /tmp/look > /tmp/unloaded
"""
_STILL_GONE = """\
  - sleep: 1s
  - run: sh /tmp/look | diff /tmp/unloaded -
"""
_LEAKS = """\
  # Where the kernel has kmemleak: memory that nothing points to any more, twice seen.
  - run: |
      look=/sys/kernel/debug/kmemleak
      if test -e $look; then
        for n in 1 2; do sleep 10; echo scan > $look; done
        head -n 40 $look
      fi
"""


@dataclass(frozen=True)
class Written:
    """Files that were made, and what was in the way of others."""

    files: tuple[Path, ...]
    kept: tuple[Path, ...]


def write(found: Understood) -> Written:
    """Raises OSError where a folder cannot be written."""
    made, kept = [], []
    for path, text in _texts(found):
        path.parent.mkdir(exist_ok=True)
        try:
            with path.open("x") as file:
                file.write(text)
            made.append(path)
        except FileExistsError:
            kept.append(path)
    return Written(tuple(made), tuple(kept))


def _texts(found: Understood) -> Iterator[tuple[Path, str]]:
    folder = next((one for one in _FOLDERS if not (found.folder / one).exists()), _FOLDERS[-1])
    yield found.folder / "vmlab.yaml", _settings(found, folder)
    if found.kbuild:
        yield found.folder / found.inner / "Kbuild", found.kbuild
    if found.together:
        yield found.folder / folder / "load.yaml", _load(found.together, found.folder)
    if found.apart:
        yield found.folder / folder / "load-each.yaml", _each(found.apart, found.folder)


def _settings(found: Understood, folder: str) -> str:
    names = "".join(f"  - {one.name}\n" for one in found.modules)
    return (
        f"# Made by `vmlab init` from {found.read}; yours to change (docs/any-module.md).\n"
        f"modules: {found.inner}\nbuild: {found.way}\n"
        f"scenarios: {folder}\nworkloads: {folder}/workloads\n"
        f"names: # of the modules that the build leaves, in the order of their loading\n{names}"
    )


def _load(modules: list[Module], folder: Path) -> str:
    names = [one.name for one in modules]
    what = names[0] if len(names) == 1 else f"{len(names)} modules"
    go = [one.name for one in modules if not one.sources.stays]
    up = "".join(f"  - modprobe: {one.name}\n{_or_skip([one])}" for one in modules)
    down = "".join(f"  - rmmod: {name}\n" for name in reversed(go))
    live = "".join(
        f"  - run: grep '^{name.replace('-', '_')} ' /proc/modules\n    output: ' Live '\n"
        for name in names
    )
    listed = "".join(f"  - {name}\n" for name in names)
    return (
        f"name: load\nabout: {what} {_does(len(names), len(go))}\n"
        f"modules:\n{listed}{_firmware(modules, folder)}{_memory(modules)}"
        f"steps:\n{_twice(up, live, down)}"
        f"{_parameters(modules)}"
    )


def _does(count: int, unloaded: int) -> str:
    """What modules do; those that have no exit are not unloaded."""
    s = "s" if count == 1 else ""
    if not unloaded:
        return f"load{s}, and cannot be unloaded"
    who = "" if count == unloaded else f" ({count - unloaded} cannot)"
    return f"load{s}, unload{s}{who} and load{s} again, and the second time is like the first"


def _each(modules: list[Module], folder: Path) -> str:
    names = "".join(f"    - {one.name}\n" for one in modules)
    live = "  - run: grep \"^$(echo {module} | tr - _) \" /proc/modules\n    output: ' Live '\n"
    up, down = f"  - modprobe: '{{module}}'\n{_or_skip(modules)}", "  - rmmod: '{module}'\n"
    return (
        "name: load-each\nabout: each module by itself loads, unloads and loads again, and the "
        f"second time is like the first\nparameters:\n  module:\n{names}modules: ['{{module}}']\n"
        f"{_firmware(modules, folder)}steps:\n{_twice(up, live, down)}{_parameters(modules)}"
    )


def _twice(up: str, live: str, down: str) -> str:
    if not down:
        return f"{_LIST}{up}{live}{_APPEARED}"
    again = _SKIP.sub("", up)  # where it was loaded once, there is no device that it may lack
    return f"{_LIST}{up}{live}{_APPEARED}{down}{_GONE}{again}{_AGAIN}{down}{_STILL_GONE}{_LEAKS}"


def _firmware(modules: list[Module], folder: Path) -> str:
    """The files that they ask for and that the folder has where scenarios take them from."""
    names = sorted({name for one in modules for name in one.sources.firmware})
    there = [name for name in names if (folder / "firmware" / name).is_file()]
    return "".join(["firmware:\n", *(f"  - {name}\n" for name in there)]) if there else ""


def _memory(modules: list[Module]) -> str:
    """Many modules need room: the guest holds their files and what is loaded of them."""
    return "memory: 384M\n" if len(modules) > MANY else ""


def _or_skip(modules: list[Module]) -> str:
    if wants := [f"{name}=" for one in modules for name in one.sources.wants]:
        said = f"it wants {', '.join(wants)} behind its name"
        return f"    or_skip: EINVAL\n    because: {said}\n"
    lack = any(one.sources.may_lack_a_device for one in modules)
    return "    or_skip: ENODEV\n" if lack else ""


def _parameters(modules: list[Module]) -> str:
    """The parameters as comments, for what is written next."""
    lines = []
    for module in modules:
        for one in module.sources.parameters:
            said = f"{module.name} {one.name}= ({one.type})" + (
                f": {one.about}" if one.about else ""
            )
            lines += textwrap.wrap(said, 94, subsequent_indent="    ")
    if not lines:
        return ""
    return "\n# Parameters, as in `- modprobe: NAME parameter=value`:\n" + "".join(
        f"#   {line}\n" for line in lines
    )
