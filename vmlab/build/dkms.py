"""What a dkms.conf says for one kernel. It is read, not run: see `vmlab.build.shell`."""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vmlab.build.shell import Files, Refused, Shell
from vmlab.build.shell.commands import version_key
from vmlab.errors import UsageError

FILE = "dkms.conf"
_SOURCES = "/usr/src"
_TREE = "/vmlab-dkms"  # stands for the directory that DKMS builds below, until there is one
_TEMPLATE = re.compile(r"^\s*PACKAGE_VERSION=[\"']?(([#@%]{1,2})\w+[#@%]{1,2})", re.MULTILINE)
_CONFIG = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)


class ConfError(UsageError):
    """A dkms.conf that is not read, or says too little."""


@dataclass(frozen=True)
class Target:
    """A kernel as a dkms.conf asks for it."""

    kernel: str  # its release
    machine: str  # as `uname -m` says: x86_64, i686
    headers: Path

    @property
    def build(self) -> str:
        """Where the headers are on an installed system."""
        return f"/lib/modules/{self.kernel}/build"

    def config(self) -> dict[str, str]:
        """The kernel's configuration; options that are off are not in it."""
        path = self.headers / ".config"
        text = path.read_text(errors="replace") if path.is_file() else ""
        return dict(_CONFIG.findall(text))


@dataclass(frozen=True)
class Built:
    """A module that a build leaves: the name of its file without .ko, and its directory."""

    name: str
    location: str


@dataclass(frozen=True)
class Conf:
    """For one kernel. `make` is a command of the shell; paths in it are those of an installed
    system, see `placed`."""

    name: str
    version: str
    built: tuple[Built, ...]
    make: str
    pre_build: str
    patches: tuple[str, ...]
    excluded: str | None  # why the kernel is not for it
    depends: tuple[str, ...] = ()  # other packages that are built before it


@dataclass(frozen=True)
class Listed:
    """A module that a dkms.conf names; `always` is false where that depends on the kernel."""

    name: str
    location: str
    always: bool


def listed(folder: Path) -> list[Listed]:
    """Every module that may be built on some kernel. Raises ConfError."""
    shell = _followed(folder, Shell(Files({".": folder}), _uname("", ""), every=True))
    locations = shell.array("BUILT_MODULE_LOCATION")
    sometimes = {index for name, index in shell.sometimes if name == "BUILT_MODULE_NAME"}
    found = [
        Listed(name, locations.get(index, "").strip("/"), index not in sometimes)
        for index, name in shell.array("BUILT_MODULE_NAME").items()
        if name
    ]
    if not found and (name := shell.value("PACKAGE_NAME")):
        found = [Listed(name, "", True)]
    return found


def depends(folder: Path) -> tuple[str, ...]:
    """The packages that it may need on some kernel. Raises ConfError."""
    return _depends(_followed(folder, Shell(Files({".": folder}), _uname("", ""), every=True)))


def beside(folder: Path, name: str) -> Path | None:
    """The folder of another package, where it is beside this one as in /usr/src: NAME-VERSION."""
    above = folder.resolve().parent
    for path in sorted((*above.glob(f"{glob.escape(name)}-[0-9]*"), above / name), reverse=True):
        if (path / FILE).is_file():
            return path
    return None


def named(folder: Path, text: str, conf: "Conf") -> list[Path]:
    """The folders beside one that a text names as /usr/src/NAME; not itself."""
    above = folder.resolve().parent
    names = dict.fromkeys(re.findall(rf"(?<![\w/.-]){_SOURCES}/([^/\s'\";]+)", text))
    own = (folder.resolve().name, f"{conf.name}-{conf.version}")
    return [above / one for one in names if one not in own and (above / one).is_dir()]


def read(folder: Path, target: Target) -> Conf:
    """What is built for a kernel, and how. Raises ConfError."""
    files = Files(
        {target.build: target.headers, f"/lib/modules/{target.kernel}/source": target.headers,
         str(target.headers): target.headers, ".": folder, **_installed(folder)}
    )  # fmt: skip
    shell = Shell(files, _uname(target.kernel, target.machine))
    given = {
        "kernelver": target.kernel, "kernel_source_dir": str(target.headers),
        "arch": target.machine, "dkms_tree": _TREE, "source_tree": _SOURCES,
    }  # fmt: skip
    for name, value in given.items():
        shell.set(name, value)
    _followed(folder, shell)
    return _conf(shell, target)


def _followed(folder: Path, shell: Shell) -> Shell:
    try:
        shell.follow(_filled((folder / FILE).read_text(errors="replace")))
    except Refused as error:
        raise ConfError(
            f"{FILE}:{error.line}: {error.what}; vmlab reads this file and does not run it, and "
            f"knows settings, conditions and commands that only look; "
            f"`build: kbuild` in vmlab.yaml builds without it"
        ) from error
    return shell


def _filled(text: str) -> str:
    """A template with a version, and with nothing in its other places: its author's install fills
    them in."""
    found = _TEMPLATE.search(text)
    if not found:
        return text
    return re.sub(rf"{found[2]}[A-Z]\w*{found[2]}", "", text.replace(found[1], "0"))


def _conf(shell: Shell, target: Target) -> Conf:
    name, version = shell.value("PACKAGE_NAME") or "", shell.value("PACKAGE_VERSION") or ""
    if not (name and version) or {"/", ".."} & {*name, name, *version, version}:
        raise ConfError(f"{FILE} sets PACKAGE_NAME {name!r} and PACKAGE_VERSION {version!r}")
    locations = shell.array("BUILT_MODULE_LOCATION")
    names = shell.array("BUILT_MODULE_NAME") or {0: name}
    built = tuple(
        Built(one, locations.get(index, "").strip("/")) for index, one in names.items() if one
    )
    return Conf(
        name, version, built, _make(shell, target, name, version), shell.value("PRE_BUILD") or "",
        _patches(shell, target.kernel), _excluded(shell, target), _depends(shell),
    )  # fmt: skip


def _make(shell: Shell, target: Target, name: str, version: str) -> str:
    """The command for a kernel: of those with a MAKE_MATCH that fits the last, else the first."""
    made = f"make -C {target.headers} M={_TREE}/{name}/{version}/build"
    matches = shell.array("MAKE_MATCH")
    plain = [text for index, text in shell.array("MAKE").items() if not matches.get(index)]
    made = plain[0] if plain and plain[0] else made
    for index, text in shell.array("MAKE").items():
        if matches.get(index) and re.search(matches[index], target.kernel):
            made = text
    return re.sub(r"\Amake\b", f"make KERNELRELEASE={target.kernel}", made)


def _patches(shell: Shell, kernel: str) -> tuple[str, ...]:
    matches = shell.array("PATCH_MATCH")
    return tuple(
        name
        for index, name in shell.array("PATCH").items()
        if name and re.search(matches.get(index, ""), kernel)
    )


def _depends(shell: Shell) -> tuple[str, ...]:
    names = [
        name for text in shell.array("BUILD_DEPENDS").values() for name in (text or "").split()
    ]
    return tuple(dict.fromkeys(names))


def _excluded(shell: Shell, target: Target) -> str | None:
    """Why a kernel is none for these modules, in the words of dkms.conf."""
    release = target.kernel.partition("-")[0]
    wanted: Mapping[str, str] = {
        key: shell.value(f"BUILD_EXCLUSIVE_{key}") or ""
        for key in ("KERNEL", "KERNEL_MIN", "KERNEL_MAX", "ARCH", "CONFIG")
    }
    key = version_key
    config = target.config() if wanted["CONFIG"] else {}
    missing = [one for one in wanted["CONFIG"].split() if not _has(one, config)]
    said = f" ({'; '.join(shell.said)})" if shell.said else ""
    tests = {
        "KERNEL": not re.search(wanted["KERNEL"], target.kernel),
        "KERNEL_MIN": bool(wanted["KERNEL_MIN"]) and key(release) < key(wanted["KERNEL_MIN"]),
        "KERNEL_MAX": bool(wanted["KERNEL_MAX"]) and key(release) > key(wanted["KERNEL_MAX"]),
        "ARCH": not re.search(wanted["ARCH"], target.machine),
    }
    for name, fails in tests.items():
        if fails:
            return f"dkms.conf: BUILD_EXCLUSIVE_{name}={wanted[name]}{said}"
    if missing:
        return f"dkms.conf: BUILD_EXCLUSIVE_CONFIG={wanted['CONFIG']}; not so: {' '.join(missing)}"
    return None


def _has(option: str, config: Mapping[str, str]) -> bool:
    name = option.removeprefix("!")
    return (config.get(name) in ("y", "m")) != option.startswith("!")


def _uname(kernel: str, machine: str) -> dict[str, str]:
    return {"-r": kernel, "-m": machine, "-p": machine, "-s": "Linux"}


def _installed(folder: Path) -> dict[str, Path]:
    """Where packages' sources are on an installed system, if this one is among its like."""
    above = folder.resolve().parent
    return {_SOURCES: above} if above.name == "src" else {}


def placed(text: str, tree: Path, target: Target, conf: Conf, folder: Path) -> str:
    """A command with the directories where things really are.

    Its own sources are those that are built, which are a copy.
    """
    work = tree / conf.name / conf.version / "build"
    own = f"{_SOURCES}/{conf.name}-{conf.version}"
    above = folder.resolve().parent
    for name, place in ((own, work), (_SOURCES, above), ("/var/lib/dkms", tree)):
        text = _moved(text, name, str(place))
    real = text.replace(_TREE, str(tree))
    for name in ("build", "source"):
        real = real.replace(f"/lib/modules/{target.kernel}/{name}", str(target.headers))
    return real


def _moved(text: str, before: str, after: str) -> str:
    """With another name for a directory, where it is one of its own and no part of a longer."""
    return re.sub(rf"(?<![\w/.-]){re.escape(before)}(?=/|\b)", lambda _: after, text)


def variables(conf: Conf, tree: Path, target: Target) -> dict[str, str]:
    """What DKMS has in its shell while it runs a command, for the `$` that are left in it."""
    return {
        "kernelver": target.kernel, "kernel_source_dir": str(target.headers),
        "arch": target.machine, "dkms_tree": str(tree), "source_tree": str(tree),
        "module": conf.name, "module_version": conf.version,
        "PACKAGE_NAME": conf.name, "PACKAGE_VERSION": conf.version,
    }  # fmt: skip
