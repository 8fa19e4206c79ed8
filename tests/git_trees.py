"""Git repositories with a history that tests make."""

import subprocess
from pathlib import Path


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *settings, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, number: int, name: str = "file") -> str:
    (folder / name).write_text(f"{number}\n")
    git(folder, "add", name)
    git(folder, "commit", "-qm", f"change {number}")
    return git(folder, "rev-parse", "HEAD")


def straight(folder: Path) -> tuple[Path, list[str]]:
    """Twelve commits, one after another."""
    git(folder, "init", "-q")
    return folder, [commit(folder, number) for number in range(12)]
