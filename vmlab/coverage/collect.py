"""Counts of runs: gcov asked, and genhtml for pages."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from vmlab.artifacts import Artifacts
from vmlab.build.environment import environment
from vmlab.coverage.counted import Counts, merged, of_gcov, tracefile
from vmlab.coverage.taken import NEEDS, taken
from vmlab.errors import LabError
from vmlab.executor import Pair
from vmlab.guest.qemu import RunDirectory
from vmlab.guest.results import read
from vmlab.project import Project
from vmlab.runner import Run
from vmlab.verdict import Verdict

INFO = "coverage.info"
_NUMBER = re.compile(r"\d+\.\d+")


def counts(project: Project, artifacts: Artifacts, done: Iterable[tuple[Run, Pair]]) -> Counts:
    """The sums of all runs that came to their last step, by the sources' paths. Raises LabError."""
    return merged(_of_run(project, artifacts, run, pair) for run, pair in done)


def _of_run(project: Project, artifacts: Artifacts, run: Run, pair: Pair) -> Counts:
    expanded, kernel = pair
    results = read(RunDirectory(Path(run.dir)))
    if len(results.steps) < len(expanded.steps) or results.steps[-1].state != "passed":
        return {}
    built = artifacts.modules(kernel, project.folder, expanded.modules)
    roots = {_root(path, artifacts) for path in built.values()}
    notes = [path for root in roots for path in sorted(root.rglob("*.gcno"))]
    gcov = _tool(artifacts.tree(kernel).compiler)
    found = [
        _of_file(gcov, content, note)
        for path, content in taken(results.steps[-1].output).items()
        if (note := _note_of(path, notes))
    ]
    return {
        source: one
        for name, one in merged(found).items()
        if (source := _source(project.modules, name))
    }


def _root(module: Path, artifacts: Artifacts) -> Path:
    """The directory of a build that a module is in."""
    above = artifacts.cache.root / "modules"
    return above / module.relative_to(above).parts[0]


def _note_of(path: PurePosixPath, notes: Sequence[Path]) -> Path | None:
    """The compiler's notes to a file of counts: builds are renamed, and the ends are the same."""

    def same(note: Path) -> int:
        ends = (reversed(one.with_suffix("").parts) for one in (path, note))
        pairs = zip(*ends, strict=False)
        return next((n for n, (one, other) in enumerate(pairs) if one != other), 99)

    best = max(notes, key=same, default=None)
    return best if best and same(best) else None


def _of_file(gcov: str, content: bytes, note: Path) -> Counts:
    with tempfile.TemporaryDirectory(prefix="vmlab-gcov-") as name:
        place = Path(name)
        shutil.copy(note, place / note.name)
        data = place / note.with_suffix(".gcda").name
        data.write_bytes(content)
        return of_gcov(_asked([gcov, "--json-format", "--stdout", str(data)], place))


def _tool(compiler: str) -> str:
    """gcov of the compiler's own version, which alone reads its files."""
    word = (compiler or "gcc").split()[0]
    return word.replace("gcc", "gcov") if "gcc" in Path(word).name else "gcov"


def _source(folder: Path, name: str) -> str | None:
    """A source as its author has it; builds name them relative to the folder.

    None for what is not his: functions of the kernel's headers are compiled into a module too, and
    what a build generates is not there to be shown.
    """
    path = (folder / name).resolve()
    return str(path) if path.is_file() and path.is_relative_to(folder.resolve()) else None


def pages(found: Counts, target: Path) -> Path:
    """Writes the counts for lcov's tools and as HTML below a directory; returns its first page."""
    target.mkdir(parents=True, exist_ok=True)
    (target / INFO).write_text(tracefile(found))
    words = ["genhtml", "--quiet", "--title", "vmlab", "--output-directory", str(target)]
    _asked([*words, str(target / INFO)], target)
    return target / "index.html"


def uncounted(runs: Sequence[Run], target: str) -> str:
    """Why there is nothing to write to a target, and what to do."""
    skipped = [run for run in runs if run.judgement.verdict is Verdict.SKIPPED]
    lacking = [run.kernel for run in skipped if NEEDS in run.judgement.reason]
    if not lacking:
        return (
            f"{target} was not written: no run came to its last step, where the lines that ran "
            "are counted"
        )
    numbers = _NUMBER.match(lacking[0])
    source = f"debian-source:{numbers[0] if numbers else '6.1'}"
    named = ", ".join(dict.fromkeys(lacking))
    return (
        f"{target} was not written: {named} {'has' if len(set(lacking)) == 1 else 'have'} no "
        f"{NEEDS}, which counts the lines that ran; `vmlab kernels build {source} --fragment gcov "
        f"--name counts` makes a kernel that has, for `vmlab run --kernel counts --coverage "
        f"{target}`"
    )


def _asked(words: Sequence[str], place: Path) -> str:
    if shutil.which(words[0]) is None:
        package = {"genhtml": "lcov"}.get(words[0], words[0].replace("gcov", "gcc"))
        raise LabError(f"counting lines: {words[0]} was not found; install Debian's {package}")
    done = subprocess.run(
        words, cwd=place, capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(f"counting lines: {words[0]}: {said[-1] if said else done.returncode}")
    return done.stdout
