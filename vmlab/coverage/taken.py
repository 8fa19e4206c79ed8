"""The step that prints a kernel's counts, and its output read back. Pure."""

import base64
import binascii
import gzip
import zlib
from dataclasses import replace
from pathlib import PurePosixPath

from vmlab.errors import LabError
from vmlab.scenario.expand import Expanded, RunStep
from vmlab.scenario.model import Run

NEEDS = "CONFIG_GCOV_KERNEL"
_FILE = "file "
# A file of debugfs has no size until it is read. (Linux: Documentation/dev-tools/gcov.rst)
_SCRIPT = f"""\
# coverage
cd /sys/kernel/debug/gcov 2> /dev/null || {{
  mount -t debugfs none /sys/kernel/debug && cd /sys/kernel/debug/gcov || exit 1
}}
find . -name '*.gcda' | sort | while read name; do
  echo "{_FILE}$name"
  gzip -c < $name | base64
done"""


def with_step(expanded: Expanded) -> Expanded:
    """The same with a last step that prints what was counted, on kernels that count.

    One that ends in a crash has no time for that, and stays as it is.
    """
    last = expanded.steps[-1]
    if last.verb == "expect_crash":
        return expanded
    step = RunStep(Run(run=_SCRIPT), last.line, _SCRIPT)
    options = [*expanded.scenario.config, NEEDS]
    scenario = expanded.scenario.model_copy(update={"config": options})
    return replace(expanded, scenario=scenario, steps=(*expanded.steps, step))


def taken(output: str) -> dict[PurePosixPath, bytes]:
    """The files of counts in a step's output, by the paths that the build had.

    Raises LabError for what is not whole: an output is cut where it is too long.
    """
    packed: dict[str, list[str]] = {}
    name = ""
    for line in output.splitlines():
        if line.startswith(_FILE):
            name = line.removeprefix(_FILE)
            packed[name] = []
        elif name:
            packed[name].append(line)
    try:
        return {
            PurePosixPath(path): gzip.decompress(base64.b64decode("".join(lines), validate=True))
            for path, lines in packed.items()
        }
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise LabError(
            f"reading the counts of {name or 'a module'}: {error}; the guest's output was cut, "
            "or the scenario's modules are too many: name fewer in `modules:`"
        ) from error
