"""Folders of modules taken as they are: of each a project, of all their runs one table."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmlab.build import copies
from vmlab.errors import UsageError
from vmlab.init import look, write
from vmlab.project import FILE, Project, find
from vmlab.runner import Run
from vmlab.seen import last_word
from vmlab.verdict import Verdict

SOURCES = "src"
"""The directory of projects below the work's: its name is that of installed packages' sources."""
DEPENDS = "depends"
"""The file beside an unpacked package that has its Depends."""
_VERSION = re.compile(r"-v?\d")
_SHORT = 100  # characters of a reason, and of what was said with it
_IN_SOURCE = re.compile(r"\.[ch]:\d+:\d+: error")  # a line that no package mends
_ERROR = re.compile(r"\b[Ee]rror\b|\*\*\*|: not found$|^ended by the lab")


@dataclass(frozen=True)
class Surveyed:
    """A folder and what came of its runs."""

    name: str
    runs: Sequence[Run]
    lacks: Sequence[str] = ()  # what its package depends on, and this machine has not


def project(source: Path, work: Path, more: Path | None = None) -> Project:
    """A project of a copy of a folder, below `work`; that of an earlier survey is replaced.

    Scenarios and workloads in `more`, under the folder's name with or without its version, are put
    to it. Raises UsageError where there is no module.
    """
    folder = work / source.resolve().name
    shutil.rmtree(folder, ignore_errors=True)
    copies.copy(source, copies.contents(source), folder)
    if not (folder / FILE).exists():
        write(look(folder))
    made = find(folder)
    for name in (source.resolve().name, stem(source.resolve().name)):
        if more and (more / name).is_dir():
            scenarios = folder / made.settings.scenarios
            shutil.copytree(more / name, scenarios, dirs_exist_ok=True)
            break
    return made


def stem(name: str) -> str:
    """`duck` of `duck-1.0`, as DKMS names its folders."""
    return _VERSION.split(name, maxsplit=1)[0]


def depends(unpacked: Path) -> list[str]:
    """The other -dkms packages that an unpacked package of Debian's depends on."""
    named = re.findall(r"[a-z0-9][a-z0-9.+-]*", (unpacked / DEPENDS).read_text())
    return [one for one in dict.fromkeys(named) if one.endswith("-dkms") and one != unpacked.name]


def lacks(unpacked: Path) -> list[str]:
    """What an unpacked package depends on that is not installed here, of other kinds.

    Without dpkg nothing is known to be lacking.
    """
    groups = [
        [one.split()[0] for one in group.split("|") if one.strip()]
        for group in (unpacked / DEPENDS).read_text().split(",")
    ]
    names = sorted({name for group in groups for name in group})
    if not names or shutil.which("dpkg-query") is None:
        return []
    words = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    here = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    left = [group for group in groups if group and not here.intersection(group)]
    return [group[0] for group in left if not group[0].endswith("dkms")]


def put_beside(folder: Path, work: Path) -> None:
    """Another package's sources, as if they were installed; those that are there are left."""
    if not (work / folder.name).exists():
        copies.copy(folder, copies.contents(folder), work / folder.name)


def packages(unpacked: Path) -> list[Path]:
    """The folders of modules in an unpacked package of Debian's. Raises UsageError without any."""
    found = sorted(path.parent for path in unpacked.glob("usr/src/*/dkms.conf"))
    if not found:
        raise UsageError(f"{unpacked.name}: no dkms.conf in usr/src/*; name a -dkms package")
    return found


def table(surveyed: Iterable[Surveyed]) -> str:
    """Markdown: a row for each scenario of each folder, and why what did not pass did not."""
    found = list(surveyed)
    kernels = list(dict.fromkeys(run.kernel for one in found for run in one.runs))
    lines = [
        f"| folder | scenario | {' | '.join(kernels)} |",
        "|---" * (len(kernels) + 2) + "|",
    ]
    for one in found:
        for scenario in dict.fromkeys(_scenario(run) for run in one.runs):
            cells = [_cell(one.runs, scenario, kernel) for kernel in kernels]
            lines.append(f"| {one.name} | {scenario} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_reasons(found)]).rstrip() + "\n"


def _scenario(run: Run) -> str:
    """Runs of one scenario with different parameters are told of together."""
    return run.scenario.partition("(")[0]


def _cell(runs: Sequence[Run], scenario: str, kernel: str) -> str:
    verdicts = Counter(
        run.judgement.verdict for run in runs if (_scenario(run), run.kernel) == (scenario, kernel)
    )
    if sum(verdicts.values()) == 1:
        return str(next(iter(verdicts)))
    return ", ".join(f"{verdicts[one]} {one}" for one in Verdict if verdicts[one])


def _reasons(found: Sequence[Surveyed]) -> list[str]:
    """Each once, with the kernels."""
    whys: dict[tuple[str, str], dict[str, None]] = {}
    for one in found:
        for run in one.runs:
            if run.judgement.verdict is not Verdict.PASSED:
                why = _why(run)
                if one.lacks and run.judgement.reason == "build" and not _IN_SOURCE.search(why):
                    why += f"; its package depends on {', '.join(one.lacks)}, not installed here"
                key = (f"{one.name}, {_scenario(run)}: {run.judgement.verdict}", why)
                whys.setdefault(key, {})[run.kernel] = None
    return [f"- {what}: {why} ({', '.join(kernels)})" for (what, why), kernels in whys.items()]


def _why(run: Run) -> str:
    """A build's first error, else the reason and, of a refused module, the kernel's last word."""
    judged = run.judgement
    lines = judged.seen.splitlines()
    if judged.reason == "build":
        said = next((line for line in lines if _ERROR.search(line)), judged.reason)
    else:
        said = judged.reason.partition("\n")[0].replace(f"{run.kernel}: ", "")
        if judged.verdict is Verdict.FAILED and len(lines) > 1:
            said = f"{said[:_SHORT]}; {last_word(judged.seen)}"
    return said.strip()[: 2 * _SHORT].replace("|", "\\|")
