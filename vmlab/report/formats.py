"""The formats that a report can be written in, by name."""

from collections.abc import Callable

from vmlab.report.told import Report


def _html(report: Report) -> str:
    from vmlab.report.page import html  # jinja2 is only needed here

    return html(report)


def _junit(report: Report) -> str:
    from vmlab.report.junit import xml

    return xml(report)


def _ktap(report: Report) -> str:
    from vmlab.report.ktap import text

    return text(report)


def _markdown(report: Report) -> str:
    from vmlab.report.markdown import text

    return text(report)


FORMATS: dict[str, Callable[[Report], str]] = {
    "html": _html, "junit": _junit, "ktap": _ktap, "markdown": _markdown,
}  # fmt: skip
