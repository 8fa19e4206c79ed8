"""Builds in a sandbox: a stranger's Makefile sees tools and kernels, writes in one directory.

bubblewrap gives it an empty root with what is named here, no network and no other process. Where
the lab runs as root, the build runs as a user that owns nothing but that directory.
"""

import functools
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmlab.build import process
from vmlab.build.environment import environment
from vmlab.errors import LabError

UID = 65519
"""The last of those that systemd gives to services that have no user of their own."""
HOME = "/tmp"
_TOOLS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache")
_BOUNDS = {"core": 0, "fsize": 4 << 30, "nofile": 4096, "nproc": 4096}
_TRIAL_S = 20


@dataclass(frozen=True)
class Builder:
    """Runs the commands of builds; in a sandbox where it is asked for."""

    sandboxed: bool = False
    readable: tuple[Path, ...] = field(default=())  # besides the host's tools
    limit_s: float = process.LIMIT_S

    def run(
        self, words: Sequence[str], directory: Path, sources: Iterable[Path] = ()
    ) -> process.Done:
        """Runs a command that writes into the directory and reads `sources`.

        Raises LabError where a sandbox is wanted and cannot be had.
        """
        if not self.sandboxed:
            return process.run(words, environment(), self.limit_s)
        check()
        inside = [*command(directory, [*self.readable, *sources], _root()), *words]
        with _Lent(directory):
            env = {"PATH": _PATH, "HOME": HOME, "TMPDIR": "/tmp", "LC_ALL": "C"}
            return process.run(inside, env, self.limit_s)

    def path(self) -> str:
        """Where a command's programs are looked for."""
        return _PATH if self.sandboxed else environment().get("PATH", _PATH)

    def refuse(self, source: Path, files: Iterable[str]) -> None:
        """Raises LabError for a file that leads out of its sources, where a sandbox is wanted."""
        whole = source.resolve()
        for name in files if self.sandboxed else ():
            found = (source / name).resolve()
            if not found.is_relative_to(whole):
                raise LabError(
                    f"building {source} in a sandbox: {name} leads out of it, to {found}; put the "
                    "file itself there, or build without --build-sandbox"
                )


HERE = Builder()
"""Runs them as they are."""


def command(directory: Path, readable: Iterable[Path], root: bool) -> list[str]:
    """What stands before a build's command. Purely made."""
    binds = [word for path in _TOOLS for word in _tool(Path(path))]
    named = (*map(Path, _SETTINGS), *readable)
    binds += _folders((*named, directory))
    for path in named:
        binds += ["--ro-bind-try", str(path), str(path)]
    inner = ["prlimit", *(f"--{name}={most}" for name, most in _BOUNDS.items()), "--"]
    if root:
        inner += [
            "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
            "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--",
        ]  # fmt: skip
    return [
        "bwrap", *_unshared(root), "--die-with-parent", "--new-session",
        "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", *binds,
        "--bind", str(directory), str(directory), "--chdir", str(directory), "--", *inner,
    ]  # fmt: skip


@functools.cache
def check() -> None:
    """Raises LabError where builds cannot run in a sandbox here; they are then not run at all."""
    if shutil.which("bwrap") is None:
        raise LabError(
            "building in a sandbox: bwrap was not found; install bubblewrap, or build without "
            "--build-sandbox, which lets the project's Makefiles do on this machine what you may do"
        )
    words = [*command(Path(HOME), [], _root()), "true"]
    said = "no answer"
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=_TRIAL_S, env=environment()
        )
        said = done.stderr.strip()[-400:]
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise LabError(
            f"building in a sandbox: bwrap cannot make one here: {said}; allow user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1), run the lab where they are allowed, or "
            "build without --build-sandbox, which lets the project's Makefiles do on this machine "
            "what you may do"
        )


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _root() -> bool:
    return os.geteuid() == 0


def _unshared(root: bool) -> list[str]:
    """Root needs no user namespace, and with one it could not become another user."""
    kinds = ["ipc", "pid", "net", "uts", "cgroup-try"]
    return [f"--unshare-{kind}" for kind in (kinds if root else ["user", *kinds])]


def _folders(paths: Iterable[Path]) -> list[str]:
    """What is above them, which bwrap would make for its own user alone."""
    above = {parent for path in paths for parent in path.parents[:-1]} - {Path("/tmp")}
    return [word for one in sorted(above) for word in ("--perms", "0755", "--dir", str(one))]


def _tool(path: Path) -> list[str]:
    """A directory of the host's tools; a link where it is one, as /bin is to usr/bin."""
    if path.is_symlink():
        return ["--symlink", os.readlink(path), str(path)]
    return ["--ro-bind-try", str(path), str(path)]


class _Lent:
    """A directory that is the build's user's meanwhile; afterwards ours, plain files alone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mode = stat.S_IMODE(directory.stat().st_mode)

    def __enter__(self) -> None:
        if _root():
            _own(self._directory, UID)

    def __exit__(self, *error: object) -> None:
        if _root():
            _own(self._directory, os.geteuid())
        self._directory.chmod(self._mode)
        for folder, names, files in os.walk(self._directory):
            for name in (*names, *files):
                _settle(Path(folder, name))


def _own(directory: Path, uid: int) -> None:
    for folder, names, files in os.walk(directory):
        for name in (*names, *files):
            os.lchown(os.path.join(folder, name), uid, uid)
    os.chown(directory, uid, uid)


def _settle(path: Path) -> None:
    """Takes away what is no plain file or directory, and what a plain one may do when it is run as
    another: a link could lead the lab to a file that the build may not read."""
    about = path.lstat()
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        path.unlink()
        return
    path.chmod(about.st_mode & 0o755 | 0o600 | (0o100 if stat.S_ISDIR(about.st_mode) else 0))
