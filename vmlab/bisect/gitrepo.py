"""A git repository that is only read: its range of commits, their words, their files."""

import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab import untar
from vmlab.errors import LabError, UsageError, VmlabError

LARGEST = 4000  # commits whose descent is followed; of longer ranges the first parents are


class NoFolder(VmlabError):
    """A commit is not old or not new enough to have the modules where they are today, or has links
    in them that lead elsewhere."""


@dataclass(frozen=True)
class Repository:
    """`path` is in its work tree, which is never changed: neither files nor refs nor index."""

    path: Path

    def git(self, *words: str) -> bytes:
        """Raises LabError with git's own words."""
        done = subprocess.run(
            ["git", "-C", str(self.path), *words], capture_output=True, check=False
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise LabError(f"git {' '.join(words)} in {self.path}: {said}")
        return done.stdout

    def text(self, *words: str) -> str:
        return self.git(*words).decode(errors="replace").strip()

    @property
    def top(self) -> Path:
        return Path(self.text("rev-parse", "--show-toplevel"))

    def commit(self, revision: str) -> str:
        """The whole hash. Raises UsageError where it means no commit."""
        try:
            return self.text("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        except LabError:
            raise UsageError(f"{self.path} has no commit {revision!r}; see `git log`") from None

    def contains(self, earlier: str, later: str) -> bool:
        """Whether one is an ancestor of the other."""
        words = ["git", "-C", str(self.path), "merge-base", "--is-ancestor", earlier, later]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0

    def subjects(self, good: str, bad: str) -> dict[str, str]:
        lines = self.text("log", "--format=%H %s", bad, f"^{good}").splitlines()
        lines.append(self.text("log", "-1", "--format=%H %s", good))
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}

    def message(self, commit: str) -> str:
        """Commit, author and message, as git shows it, without the change."""
        return self.text("show", "--no-patch", "--format=medium", commit)

    def files(self, commit: str, folder: str, target: Path) -> Path:
        """Writes a folder as it was at a commit below `target`; returns where it is.

        Raises NoFolder where the commit has none that can be, which says nothing of the lab.
        """
        if folder not in ("", ".") and not self.text(
            "ls-tree", "-d", "--name-only", commit, folder
        ):
            raise NoFolder(f"{commit[:12]} has no directory {folder}")
        words = [commit] if folder in ("", ".") else [commit, folder]
        with tarfile.open(fileobj=io.BytesIO(self.git("archive", "--format=tar", *words))) as tar:
            for member in tar:
                try:
                    untar.extract(tar, member, target)
                except untar.Unsafe as error:
                    raise NoFolder(f"{commit[:12]}: {error}") from error
        return target / folder


@dataclass(frozen=True)
class Narrowing:
    """Words with which git takes fewer commits than a range has."""

    options: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def parents(repository: Repository, good: str, bad: str, folder: str = "") -> dict[str, list[str]]:
    """The candidates of a bisection, each after its parents; the good end first, the bad end last.

    As git has it: the bad end and what it descends from, without the good end and what that
    descends from. With a folder only commits that change it. Raises UsageError.
    """
    _check(repository, good, bad)
    narrow = narrowing(repository, good, bad, folder)
    words = ["--topo-order", "--reverse", "--parents", *narrow.options, bad, f"^{good}"]
    found = _listed(repository.text("rev-list", *words, *narrow.paths))
    if not found:
        raise UsageError(f"no commit between {good[:12]} and {bad[:12]} changes {folder}")
    known = {good, *found}
    made = {good: list[str]()}
    for name, ones in found.items():
        inside = [one for one in ones if one in known]
        made[name] = inside or [good]
    return made


def narrowing(repository: Repository, good: str, bad: str, folder: str = "") -> Narrowing:
    """Of a folder its own commits, and of too many the first parents."""
    paths = ("--", folder) if folder not in ("", ".") else ()
    count = int(repository.text("rev-list", "--count", bad, f"^{good}", *paths))
    return Narrowing(("--first-parent",) if count > LARGEST else (), paths)


def _listed(text: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for words in map(str.split, text.splitlines())}


def _check(repository: Repository, good: str, bad: str) -> None:
    if good == bad:
        raise UsageError(f"both ends are {good[:12]}; a bisection needs a good and a bad commit")
    if repository.contains(good, bad):
        return
    if repository.contains(bad, good):
        raise UsageError(
            f"the good end, {good[:12]}, descends from the bad end, {bad[:12]}; are they swapped? "
            f"then it is --good {bad[:12]} --bad {good[:12]}"
        )
    try:
        base = repository.text("merge-base", good, bad)
    except LabError:
        raise UsageError(f"{good[:12]} and {bad[:12]} have no common history") from None
    raise UsageError(
        f"the good end, {good[:12]}, is no ancestor of the bad end, {bad[:12]}; they forked at "
        f"{base[:12]}: if that is good, it is --good {base[:12]} --bad {bad[:12]}"
    )


NARROWED_BY_NOTHING = Narrowing()


def log(
    names: Sequence[str],
    subjects: Mapping[str, str],
    states: Sequence[tuple[int, str]],
    narrow: Narrowing = NARROWED_BY_NOTHING,
) -> str:
    """What `git bisect log` would print, for `git bisect replay`; states are good, bad, skip.

    Git takes the last bad one for the earliest: so they come from the end of the range on.
    """
    good, bad = names[0], names[-1]
    start = " ".join(map(_quoted, (*narrow.options, bad, good, *narrow.paths)))
    lines = [
        f"# bad: [{bad}] {subjects.get(bad, '')}", f"# good: [{good}] {subjects.get(good, '')}",
        f"git bisect start {start}",
    ]  # fmt: skip
    for at, word in sorted(states, key=lambda one: (_WORDS.index(one[1]), -one[0])):
        lines.append(f"# {word}: [{names[at]}] {subjects.get(names[at], '')}")
        lines.append(f"git bisect {word} {names[at]}")
    return "\n".join(lines) + "\n"


def _quoted(word: str) -> str:
    """As git quotes: each word, whether it must be or not. (git: quote.c, sq_dequote_step.)"""
    return "'" + word.replace("'", "'\\''") + "'"


_WORDS = ("good", "bad", "skip")
