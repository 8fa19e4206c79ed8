"""A directory's source files, copied into the lab's own; what does not differ keeps its time."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmlab.build.environment import environment
from vmlab.errors import LabError, reading

_TREE, _KNOWN, _EMPTY, _LEFT_OUT = "tree", "known.json", "empty.git", "left-out"
_ALL = ("*", "/*")


@dataclass(frozen=True)
class Seen:
    """What is known of a file without reading it, and the hash that it had then."""

    stat: tuple[int, int, int]  # bytes, time in ns, mode
    digest: str


def tree(place: Path) -> Path:
    return place / _TREE


def update(directory: Path, place: Path) -> str:
    """Makes `tree(place)` what the directory's source files are now; returns what names them.

    A file is taken for unchanged where its size, time and mode are. Raises UsageError where a
    file cannot be read.
    """
    target, known = tree(place), _known(place)
    (place / _KNOWN).unlink(missing_ok=True)  # a copy that is killed is looked at anew
    if not known:
        shutil.rmtree(target, ignore_errors=True)
    stats = _stats(directory, files(directory, place))
    for name in known.keys() - stats.keys():
        (target / name).unlink(missing_ok=True)
    found: dict[str, Seen] = {}
    for name, now in stats.items():
        seen = known.get(name)
        if seen is None or seen.stat != now:
            with reading(directory):
                seen = Seen(now, _copied(directory / name, target / name, seen))
        found[name] = seen
    records = {name: [*seen.stat, seen.digest] for name, seen in found.items()}
    (place / _KNOWN).write_text(json.dumps(records))
    return _name(found)


def files(directory: Path, place: Path) -> list[str]:
    """The source files: git's where it is a clone, else all that its .gitignore files leave.

    In the order of the names. Of git's some may be gone: removed, and not committed.
    """
    words = _of_clone() if (directory / ".git").exists() else _of_plain(directory, place)
    try:
        done = subprocess.run(
            words, capture_output=True, check=False, env=environment(GIT_OPTIONAL_LOCKS="0"),
            cwd=directory,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise LabError("git was not found: `apt-get install git`") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise LabError(f"listing the source files of {directory}: {said}")
    return sorted(set(os.fsdecode(done.stdout).split("\0")) - {""})


def _of_clone() -> list[str]:
    return ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]


def _of_plain(directory: Path, place: Path) -> list[str]:
    empty, left_out = place / _EMPTY, place / _LEFT_OUT
    if not (empty / "HEAD").exists():
        subprocess.run(["git", "init", "-q", "--bare", str(empty)], check=True, env=environment())
    left_out.write_text("".join(f"{rule}\n" for rule in rules(directory)))
    where = ["--git-dir", str(empty), "-c", "core.bare=false", "--work-tree", str(directory)]
    return ["git", *where, "ls-files", "-z", "--others", f"--exclude-from={left_out}"]


def rules(directory: Path) -> Iterator[str]:
    """What the .gitignore files of a tree say, as one; deeper ones count more, as they do for git.

    But for what leaves out all: Debian's packages of sources say so at the top.
    """
    for folder, below, names in os.walk(directory):
        below.sort()
        if ".gitignore" not in names:
            continue
        place = Path(folder).relative_to(directory).as_posix()
        for line in (Path(folder) / ".gitignore").read_text(errors="replace").splitlines():
            rule = line.rstrip()
            if rule and not rule.startswith("#") and (place != "." or rule not in _ALL):
                yield _placed(rule, "" if place == "." else f"/{place}")


def _placed(rule: str, place: str) -> str:
    """A rule of a deeper directory, as the top one would say it."""
    mark, pattern = ("!", rule[1:]) if rule.startswith("!") else ("", rule)
    anchored = "/" in pattern.rstrip("/")
    if not place:
        return rule
    return f"{mark}{place}/{pattern.lstrip('/')}" if anchored else f"{mark}{place}/**/{pattern}"


def _known(place: Path) -> dict[str, Seen]:
    try:
        records = json.loads((place / _KNOWN).read_text())
        return {name: Seen((one[0], one[1], one[2]), one[3]) for name, one in records.items()}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _stats(directory: Path, names: list[str]) -> dict[str, tuple[int, int, int]]:
    """What tells of each file and link that is there whether it was changed."""
    found = {}
    root = f"{directory}/"
    for name in names:  # 80,000 of a kernel: no Path for each
        try:
            one = os.lstat(root + name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISREG(one.st_mode) or stat.S_ISLNK(one.st_mode):
            found[name] = (one.st_size, one.st_mtime_ns, one.st_mode)
    return found


def _copied(source: Path, target: Path, before: Seen | None) -> str:
    """The file's hash. One whose content is as before keeps its time; others are new files, for
    the old one may be linked to."""
    link = source.is_symlink()
    content = os.fsencode(os.readlink(source)) if link else source.read_bytes()
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    same_mode = before is not None and before.stat[2] == source.lstat().st_mode
    if before is not None and before.digest == digest and same_mode and os.path.lexists(target):
        return digest
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if link:
        target.symlink_to(os.readlink(source))
    else:
        target.write_bytes(content)
        target.chmod(source.stat().st_mode & 0o777 | 0o200)
    return digest


def _name(found: dict[str, Seen]) -> str:
    digest = hashlib.sha256()
    for name in sorted(found):
        seen = found[name]
        executable = bool(seen.stat[2] & 0o100)
        digest.update(f"{name}\0{seen.digest}\0{executable}\0".encode(errors="surrogateescape"))
    return f"tree-{digest.hexdigest()[:16]}"
