"""Git: a revision's files in the lab's own directory; nothing is written into the repository."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmlab.build.environment import environment
from vmlab.errors import LabError, UsageError

_TREE, _INDEX, _AT = "tree", "index", "commit"


def repository(path: Path) -> Path:
    """The git directory of a clone, a linked worktree or a bare repository.

    Raises UsageError where there is none.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is no directory; git: takes a repository on this machine")
    done = _ran(["-C", str(path), "rev-parse", "--absolute-git-dir"])
    if done.returncode:
        raise UsageError(f"{path} is no git repository: {_said(done)}")
    return Path(done.stdout.strip()).resolve()


def commit(repository: Path, revision: str) -> str:
    """The full name of a commit. Raises UsageError where there is no such revision."""
    words = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    done = _ran(["--git-dir", str(repository), *words])
    if done.returncode:
        raise UsageError(
            f"git:{repository}: there is no revision {revision!r}; `git -C {repository} tag` lists "
            "tags, and what another repository has must be fetched into this one first"
        )
    return done.stdout.strip()


def tree(place: Path) -> Path:
    return place / _TREE


def check_out(repository: Path, commit: str, place: Path) -> None:
    """Makes `tree(place)` the commit's files; what does not differ keeps its time.

    The index is the lab's own and stands in `place`, so that the repository's own is not touched.
    A check-out that was killed is begun anew.
    """
    at = place / _AT
    if at.is_file() and at.read_text() == commit and tree(place).is_dir():
        return
    if not at.is_file():
        shutil.rmtree(tree(place), ignore_errors=True)
        (place / _INDEX).unlink(missing_ok=True)
    at.unlink(missing_ok=True)
    tree(place).mkdir(exist_ok=True)
    (place / f"{_INDEX}.lock").unlink(missing_ok=True)
    words = ["--git-dir", str(repository), "--work-tree", str(tree(place)), *_OWN]
    done = _ran([*words, "read-tree", "--reset", "-u", commit], _index(place), tree(place))
    if done.returncode:
        raise LabError(f"checking out {commit[:12]} of {repository}: {_said(done)}")
    at.write_text(commit)


# What the repository's own settings would change of the files, or run. A file that a kernel has
# a link to has another ctime, and git would write it anew, upon which make compiles everything.
_OWN = (
    "-c", "core.trustctime=false",
    "-c", "core.autocrlf=false", "-c", "core.sparseCheckout=false", "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null", "-c", "core.bare=false",
)  # fmt: skip


def _index(place: Path) -> dict[str, str]:
    return {"GIT_INDEX_FILE": str(place / _INDEX), "GIT_OPTIONAL_LOCKS": "0"}


def _ran(
    words: Sequence[str], more: Mapping[str, str] | None = None, where: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, errors="replace", check=False,
            env=environment(**(more or {})), cwd=where, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise LabError("git was not found: `apt-get install git`") from error


def _said(done: "subprocess.CompletedProcess[str]") -> str:
    return " ".join(done.stderr.split()).removeprefix("fatal: ")[-400:]
