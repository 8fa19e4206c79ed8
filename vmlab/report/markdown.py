"""A summary for CI's pages, in GitHub's Markdown: sums, matrix, and each failure folded.

Names and guests' words stand in `code` with every mark as an entity, or in fences that they cannot
end, so that nothing of them is a link, a picture, a mention or HTML.
"""

from collections.abc import Iterator

from vmlab.report import clean
from vmlab.report.junit import details
from vmlab.report.told import Report, Told, natural

LIMIT = 900_000  # characters; GitHub takes a MiB for a step
_MOST = 50  # failures that are told; the others are counted
_SYMBOLS = {
    "passed": "\u2705", "failed": "\u274c", "crashed": "\U0001f4a5", "timeout": "\u23f1\ufe0f",
    "skipped": "\u2796", "broken": "\U0001f527",
}  # fmt: skip


def text(report: Report) -> str:
    """The whole summary."""
    parts = [f"## vmlab: {report.sums()}\n", *_matrix(report), ""]
    wrong = [run for run in report.worst_first() if not run.fine]
    size = sum(map(len, parts))
    told = 0
    for run in wrong[:_MOST]:
        part = _failure(run)
        size += len(part)
        if size > LIMIT:
            break
        parts.append(part)
        told += 1
    if told < len(wrong):
        parts.append(f"{len(wrong) - told} more went wrong; `vmlab report` tells of all.\n")
    return "\n".join(parts)


def _matrix(report: Report) -> Iterator[str]:
    kernels = sorted({run.kernel for run in report.runs}, key=natural)
    found = {run.key: run for run in reversed(report.worst_first())}
    order = {run.scenario: None for run in report.worst_first()}
    yield "| scenario | " + " | ".join(map(_code, kernels)) + " |"
    yield "|---" * (len(kernels) + 1) + "|"
    for scenario in order:
        cells = (_cell(found.get((scenario, kernel))) for kernel in kernels)
        yield f"| {_code(scenario)} | " + " | ".join(cells) + " |"


def _cell(run: Told | None) -> str:
    if run is None:
        return ""
    took = "" if run.verdict == "skipped" else f" {run.wall_s:.1f} s"
    return f"{_SYMBOLS[run.verdict]} {run.verdict}{took}"


def _failure(run: Told) -> str:
    head = f"{_SYMBOLS[run.verdict]} {run.verdict}: {_code(run.scenario)} on {_code(run.kernel)}"
    body = clean.fenced(clean.short(details(run), 500))
    why = _code(clean.short(clean.line(run.headline), 200))
    return f"<details><summary>{head}: {why}</summary>\n\n{body}\n\n</details>\n"


def _code(text: str) -> str:
    return f"<code>{clean.markdown(text)}</code>"
