"""`vmlab bisect`: the first bad one of many kernels or commits."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmlab.cli import common

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmlab.bisect.drive import Result, Step
    from vmlab.bisect.engine import Rules
    from vmlab.bisect.plan import Plan, Wanted

_BAD = "What is bad: a pattern (a crash's title, a reason), `step N`, `slower than 2s`."


_MOST = 100_000


def bisect(
    scenario: Annotated[str, typer.Argument(help="Its name, or its file.")],
    good: Annotated[str, typer.Option(help="The good end: kernels, or a revision.")] = "",
    bad: Annotated[str, typer.Option(help="The bad end: kernels, or a revision.")] = "",
    config: Annotated[
        tuple[str, str],
        typer.Option(
            metavar="GOOD BAD",
            help="Two configurations of --source: which options?",
            show_default=False,
        ),
    ] = ("", ""),
    source: Annotated[str, typer.Option(help="With --config, as for kernels build.")] = "",
    modules: Annotated[
        bool, typer.Option("--modules", help="Bisect the git history of the project's modules.")
    ] = False,
    tree: Annotated[
        Path | None, typer.Option(help="Bisect the commits of this kernel's git repository.")
    ] = None,
    base: Annotated[str, typer.Option(help="With --tree: tiny, distro or a file.")] = "tiny",
    fragment: Annotated[
        list[str] | None, typer.Option(help="With --tree: more options, by name or file.")
    ] = None,
    kernel: Annotated[str | None, typer.Option(help="With --modules: the kernel.")] = None,
    arch: Annotated[str | None, typer.Option(help="Only this one: i386 or x86_64.")] = None,
    match: Annotated[str | None, typer.Option(help=_BAD)] = None,
    command: Annotated[
        str | None,
        typer.Option(help="Says of each run whether it is bad, by status, as for git bisect run."),
    ] = None,
    confidence: Annotated[float, typer.Option(help="How sure the answer must be.")] = 0.99,
    noise: Annotated[float, typer.Option(help="Good ones may fail in so many runs.")] = 0.0,
    rarest: Annotated[float, typer.Option(help="How seldom the bad end may fail.")] = 0.05,
    always: Annotated[
        bool, typer.Option("--always", help="The bug shows in each run: one is enough.")
    ] = False,
    runs: Annotated[int, typer.Option(min=1, help="At most so many.")] = _MOST,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was stopped.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write all that was found.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a picture of it.")] = None,
    mail: Annotated[Path | None, typer.Option(help="Write a text for a mailing list.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page: answer, picture, all runs that are kept.")
    ] = None,
    cluster: common.Cluster = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Guests at once; 0: one a core.")
    ] = 0,
) -> None:
    """Find the first bad kernel or commit, though it may fail seldom; exit with 0 if found."""
    from vmlab.bisect import plan
    from vmlab.bisect.engine import Rules, checked
    from vmlab.errors import UsageError

    rules = checked(Rules(confidence, noise, rarest, runs, always))
    _check_places({"--json": json, "--svg": svg, "--mail": mail, "--html": html})
    wanted = plan.Wanted(
        scenario, good, bad, arch=arch, kernel=kernel, modules=modules, match=match,
        command=command, tree=tree, config=base, fragments=tuple(fragment or ()), cluster=cluster,
        jobs=jobs,
    )  # fmt: skip
    if config[0]:
        _only_configs(
            {"--good": good, "--bad": bad, "--modules": modules, "--tree": tree,
             "--kernel": kernel, "--fragment": fragment, "--noise": noise, "--svg": svg,
             "--mail": mail, "--html": html, "--base": base != "tiny", "--jobs": jobs,
             "--runs": runs != _MOST}
        )  # fmt: skip
        files = Path(config[0]), Path(config[1])
        _configs(wanted, source, files, rules, json, resume, fresh)
        return
    if not good or not bad:
        raise UsageError("a bisection needs --good and --bad (or --config GOOD BAD)")
    if source:
        raise UsageError("--source is for --config; for commits of a kernel it is --tree DIR")
    plans = plan.plans(common.project(), common.artifacts(), wanted)
    done: list[tuple[Plan, Result]] = []
    try:
        for one in plans:
            try:
                done.append((one, _bisect(one, rules, resume, fresh)))
            finally:
                one.tester.finish(common.say)
    finally:
        _write(done, json, svg, mail, html)
    found = all(result.answer.end == "found" for _, result in done)
    sys.exit(0 if found else 1)


def _check_places(files: "Mapping[str, Path | None]") -> None:
    """Raises UsageError for what cannot be written, before hours of work."""
    from vmlab.cli.reports import place_for

    for option, path in files.items():
        if path is not None:
            place_for(path, option)


def _only_configs(others: "Mapping[str, object]") -> None:
    """Raises UsageError for options that would say nothing."""
    from vmlab.errors import UsageError

    if given := [name for name, value in others.items() if value]:
        raise UsageError(
            f"--config bisects options, and takes no {', '.join(given)}; it takes --source, "
            "--arch, --match, --command, --always, --rarest, --confidence, --resume, --fresh, "
            "--cluster and --json"
        )


def _configs(
    wanted: "Wanted",
    source: str,
    files: tuple[Path, Path],
    rules: "Rules",
    json: Path | None,
    resume: bool,
    fresh: bool,
) -> None:
    from vmlab.bisect import plan
    from vmlab.errors import UsageError

    if not source:
        raise UsageError("--config needs --source: git:PATH@REV, debian-source:6.1 or a tree")
    found = plan.configs(
        common.project(), common.artifacts(), wanted, source, files, rules, resume, fresh
    )
    for line in found.lines():
        print(line)
    if json:
        common.write(json, jsonlib.dumps(found.record(), indent=1) + "\n")


def _bisect(plan: "Plan", rules: "Rules", resume: bool, fresh: bool) -> "Result":
    """Says where it stands, and at the end what was found."""
    from rich.console import Console

    from vmlab.bisect import drive, tell
    from vmlab.bisect.drive import settled
    from vmlab.bisect.show import show

    journal = plan.open(resume, fresh)
    if journal.seen:
        common.say(
            f"{plan.title}: {len(journal.seen)} runs of an earlier time are taken, of "
            f"{journal.path}; --fresh begins anew"
        )
    console = Console(stderr=True, highlight=False)
    with console.status("starting") as status:

        def told(step: "Step") -> None:
            held = settled(plan.space, journal.seen, rules)
            line = tell.progress(step, held, plan.space, journal.seen, plan.tester.places)
            status.update(line)
            if not console.is_terminal:
                common.say(line)
            plan.write_log(step.evidence, rules)

        try:
            result = drive.bisect(plan.space, plan.tester, rules, journal, told)
        except KeyboardInterrupt:
            common.say(f"stopped after {len(journal.seen)} runs; --resume goes on from there")
            raise
    plan.write_log(result.evidence, rules)
    show(plan, result)
    return result


def _write(
    done: "list[tuple[Plan, Result]]",
    json: Path | None,
    svg: Path | None,
    mail: Path | None,
    html: Path | None,
) -> None:
    from vmlab.bisect import picture, tell
    from vmlab.bisect.mail import mail as text

    if json and done:
        records = [{"range": plan.title, **tell.record(result)} for plan, result in done]
        whole = records[0] if len(records) == 1 else {"bisections": records}
        common.write(json, jsonlib.dumps(whole, indent=1) + "\n")
    if svg and done:
        common.write(svg, picture.svg([(plan.title, result) for plan, result in done]))
    if mail and done:
        texts = (text(result, plan.words, plan.said(result)) for plan, result in done)
        common.write(mail, "\n\n".join(texts))
    if html and done:
        from vmlab.bisect.page import report
        from vmlab.report.formats import FORMATS

        common.write(html, FORMATS["html"](report(done)))
