"""Completion, in the shells that have it: what they offer once they have read vmlab's script."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vmlab.cli import complete

# How each shell reads the script, and how it says what it would offer behind the words.
ASKED = {
    "bash": (
        'eval "$(vmlab --show-completion)"',
        "COMP_WORDS=({words}); COMP_CWORD={last}; _vmlab_completion vmlab; "
        'printf "%s\\n" "${{COMPREPLY[@]}}"',
    ),
    "zsh": (
        'compdef() { }; _arguments() { print -r -- "$@" }; eval "$(vmlab --show-completion)"',
        "words=({words}); CURRENT={count}; _vmlab_completion",
    ),
    "fish": ("vmlab --show-completion | source", 'complete -C "{words}"'),
}
OFFERED = (
    ("vmlab ker", "kernels", "cache"),
    ("vmlab run alp", "alps", "beta"),
    ("vmlab run --kernel 6.1.0-50-a", "6.1.0-50-amd64", "6.1.0-50-686"),
)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / "vmlab.yaml").touch()
    (tmp_path / "scenarios").mkdir()
    for name in ("alpha", "alps", "beta"):
        (tmp_path / "scenarios" / f"{name}.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("shell", ASKED)
def test_a_shell_offers_what_there_is(project, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script, then = ASKED[shell]
    asked = [then.format(words=words, last=len(words.split()) - 1, count=len(words.split()))
             for words, _, _ in OFFERED]  # fmt: skip
    flags = ("-f",) if shell == "zsh" else ()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [shell, *flags, "-c", f"{script}; {'; echo END; '.join(asked)}"], cwd=project,
        env={**os.environ, "PATH": path, "HOME": str(project)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout.split("END")
    assert len(said) == len(OFFERED) and done.stderr == "", done
    for (words, offered, not_offered), one in zip(OFFERED, said, strict=True):
        assert offered in re.split(r'[\s"]+', one), (words, one)
        assert not_offered not in one


def test_where_there_is_no_project_there_are_no_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert complete.scenarios("") == []
    (tmp_path / "vmlab.yaml").write_text("nonsense: true\n")
    assert complete.scenarios("") == []


def test_kernels_are_offered_behind_a_comma_too():
    assert complete.kernels("newest,ol") == ["newest,oldest"]
    assert "5.10.0-32-686" in complete.kernels("")
