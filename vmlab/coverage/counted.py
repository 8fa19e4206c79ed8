"""What gcov says of a file of counts, put together over runs. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vmlab.errors import LabError


@dataclass(frozen=True)
class File:
    """How often each line and each function of a source ran; a function by its first line."""

    lines: Mapping[int, int] = field(default_factory=dict)
    functions: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def ran(self) -> int:
        return sum(count > 0 for count in self.lines.values())

    def __str__(self) -> str:
        share = 100 * self.ran / len(self.lines) if self.lines else 0
        return f"{self.ran} of {len(self.lines)} lines ({share:.0f} %)"


Counts = Mapping[str, File]
"""By the source's name, as the compiler was given it."""


def of_gcov(text: str) -> Counts:
    """Reads what `gcov --json-format --stdout` prints. Raises LabError."""
    try:
        files = [one for line in text.splitlines() for one in json.loads(line)["files"]]
        return {one["file"]: _file(one) for one in files}
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"reading what gcov says: {error}: {text[:80]!r}") from error


def _file(one: Mapping[str, list[Mapping[str, object]]]) -> File:
    lines: dict[int, int] = {}
    for line in one["lines"]:
        number = int(str(line["line_number"]))
        lines[number] = lines.get(number, 0) + int(str(line["count"]))
    functions = {
        str(of["name"]): (int(str(of["start_line"])), int(str(of["execution_count"])))
        for of in one["functions"]
    }
    return File(lines, functions)


def merged(all_of_them: Iterable[Counts]) -> Counts:
    """The sums of several runs, in the order of the files' names."""
    found: dict[str, File] = {}
    for counts in all_of_them:
        for name, one in counts.items():
            found[name] = _sum(found.get(name, File()), one)
    return dict(sorted(found.items()))


def _sum(one: File, other: File) -> File:
    lines = dict(one.lines)
    for number, count in other.lines.items():
        lines[number] = lines.get(number, 0) + count
    functions = dict(one.functions)
    for name, (line, count) in other.functions.items():
        functions[name] = (line, functions.get(name, (line, 0))[1] + count)
    return File(lines, functions)


def tracefile(counts: Counts) -> str:
    """As lcov's tools read it. (geninfo(1), section FILES)"""
    parts = ["TN:"]
    for name, one in counts.items():
        parts.append(f"SF:{name}")
        parts += [f"FN:{line},{function}" for function, (line, _) in one.functions.items()]
        parts += [f"FNDA:{count},{function}" for function, (_, count) in one.functions.items()]
        parts += [f"FNF:{len(one.functions)}"]
        parts += [f"FNH:{sum(count > 0 for _, count in one.functions.values())}"]
        parts += [f"DA:{number},{count}" for number, count in sorted(one.lines.items())]
        parts += [f"LF:{len(one.lines)}", f"LH:{one.ran}", "end_of_record"]
    return "\n".join(parts) + "\n"
