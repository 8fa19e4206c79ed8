"""Runs a workflow's own commands on this machine: as much of GitHub and GitLab as those need.

Packages are not installed: an apt-get that only writes down its words stands first in the PATH.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


@dataclass
class Machine:
    """What jobs of one pipeline share: a repository to clone, and what they upload."""

    folder: Path
    repository: Path
    artifacts: dict[str, Path] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)  # what each job printed
    keys: list[str] = field(default_factory=list)  # of what jobs asked to be cached

    def __post_init__(self) -> None:
        programs = self.folder / "programs"
        programs.mkdir(parents=True)
        (programs / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {self.folder}/apt\n')
        (programs / "apt-get").chmod(0o755)

    def without_pip(self) -> None:
        """`python3 -m venv DIR` makes one with this vmlab, and a pip that rests."""
        here = Path(sys.executable).parent
        script = (
            "#!/bin/sh\nmkdir -p $3/bin\n"
            f"printf '#!/bin/sh\\nexec {here}/python -m vmlab \"$@\"\\n' > $3/bin/vmlab\n"
            "printf '#!/bin/sh\\n' > $3/bin/pip\nchmod +x $3/bin/*\n"
        )
        (self.folder / "programs/python3").write_text(script)
        (self.folder / "programs/python3").chmod(0o755)

    def clone(self, name: str) -> Path:
        place = self.folder / name
        subprocess.run(["git", "clone", "-q", self.repository, place], check=True)
        return place

    def environment(self, job: str, more: Mapping[str, str]) -> dict[str, str]:
        home = self.folder / f"home-{job}"
        home.mkdir(exist_ok=True)
        left_out = ("VIRTUAL_ENV", "PYTEST_ADDOPTS", "GITHUB_ACTIONS")
        known = {name: value for name, value in os.environ.items() if name not in left_out}
        path = f"{self.folder / 'programs'}:{os.environ['PATH']}"
        return known | {"HOME": str(home), "PATH": path, **more}

    def shell(self, job: str, script: str, folder: Path, environment: Mapping[str, str]) -> int:
        done = subprocess.run(
            ["sh", "-e", "-c", script], cwd=folder, env=dict(environment), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        self.said[job] = self.said.get(job, "") + done.stdout
        return done.returncode


def github(machine: Machine, text: str, job: str, shard: int = 0) -> int:
    """Runs a job's steps; returns the first status that was not 0, as the job's."""
    workflow = yaml.safe_load(text)
    name = f"{job}-{shard}"
    place = machine.clone(name)
    files = {one: machine.folder / f"{name}-{one}" for one in ("ENV", "OUTPUT", "PATH", "SUMMARY")}
    for file in files.values():
        file.touch()
    summary = {"GITHUB_STEP_SUMMARY": str(files["SUMMARY"]), "GITHUB_ACTIONS": "true"}
    more = {f"GITHUB_{one}": str(file) for one, file in files.items()} | summary
    known = machine.environment(name, {**more, "GITHUB_WORKSPACE": str(place), **workflow["env"]})
    usual = workflow["defaults"]["run"]["working-directory"]
    status = 0
    for step in workflow["jobs"][job]["steps"]:
        if status and "cancelled()" not in step.get("if", ""):
            continue
        known["PATH"] = ":".join([*files["PATH"].read_text().split(), known["PATH"]])
        known |= _pairs(files["ENV"])
        values = {"matrix.shard": str(shard)}
        values |= {f"steps.names.outputs.{k}": v for k, v in _pairs(files["OUTPUT"]).items()}
        if script := step.get("run"):
            folder = place / step.get("working-directory", usual)
            status = status or machine.shell(name, _filled(script, values), folder, known)
        else:
            given = {key: _filled(str(v), values) for key, v in step.get("with", {}).items()}
            _action(machine, step["uses"].partition("@")[0], given, place)
    return status


def _action(machine: Machine, name: str, given: Mapping[str, str], place: Path) -> None:
    if name == "actions/cache":
        machine.keys.append(given["key"])
        assert "${{" not in given["key"] and not given["key"].endswith("-"), given
    elif name == "actions/upload-artifact":
        kept = machine.folder / "artifacts" / given["name"]
        kept.mkdir(parents=True, exist_ok=True)
        for line in given["path"].split():
            _keep(place / line, kept / line if (place / line).is_file() else kept)
        machine.artifacts[given["name"]] = kept
    elif name == "actions/download-artifact":
        for artifact, kept in machine.artifacts.items():
            if Path(artifact).match(given["pattern"]):
                shutil.copytree(kept, place / given["path"] / artifact)
    else:
        assert name == "actions/checkout", name


def gitlab(machine: Machine, text: str, job: str, index: int = 1) -> int:
    """Runs a job's scripts in one shell, as a runner does; artifacts of needed jobs are there."""
    pipeline = yaml.safe_load(text)
    own = pipeline[job]
    base = pipeline[own["extends"]]
    name = f"{job}-{index}"
    place = machine.clone(name)
    for needed in own.get("needs", []):
        for artifact, kept in machine.artifacts.items():
            if artifact.startswith(needed):
                shutil.copytree(kept, place, dirs_exist_ok=True)
    variables = {k: v.replace("$CI_PROJECT_DIR", str(place)) for k, v in base["variables"].items()}
    total = {"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(own.get("parallel", 1))}
    known = machine.environment(name, {**variables, **total, "CI_PROJECT_DIR": str(place)})
    machine.keys += [
        one["key"].replace("$CI_NODE_INDEX", str(index)) for one in own.get("cache", [])
    ]
    status = machine.shell(name, "\n".join(base["before_script"] + own["script"]), place, known)
    for path in own["artifacts"]["paths"]:
        _keep(place / path, machine.folder / "artifacts" / name / path)
    machine.artifacts[name] = machine.folder / "artifacts" / name
    return status


def _keep(source: Path, target: Path) -> None:
    """Uploads a file or a directory; one that is not there is no error to either service."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda found: values[found[1]], text)


def _pairs(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())
