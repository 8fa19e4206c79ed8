"""What a shell offers behind an option or command: names that this project and catalog have."""

from vmlab.errors import VmlabError

_WORDS = ("all", "default", "newest", "oldest", "arch=i386", "arch=x86_64")


def scenarios(incomplete: str) -> list[str]:
    """The project's scenarios; none where there is no project, or it cannot be read."""
    from pathlib import Path

    from vmlab.project import find

    try:
        names = [path.stem for path in find(Path.cwd()).scenario_files()]
    except VmlabError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def kernels(incomplete: str) -> list[str]:
    """Kernels, and the words for several; behind a comma too."""
    from vmlab.cli import common

    before, comma, last = incomplete.rpartition(",")
    try:
        known = [kernel.id for kernel in common.catalog().select("all")]
    except VmlabError:
        known = []
    return [f"{before}{comma}{word}" for word in (*_WORDS, *known) if word.startswith(last)]
