"""The bench's figures as text."""

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_LABELS = {
    "restored": "first result, from a snapshot",
    "cold": "first result, cold boot",
    "virtme": "first result, virtme-ng",
    "virtme_lean": "first result, --backend virtme",
}


def text(document: str) -> str:
    """Each kernel's medians with least and most, and what many runs left."""
    found = json.loads(document)
    lines = [line for name, one in found["kernels"].items() for line in _kernel(name, one)]
    grown = found["growth"]
    lines.append(
        f"from run 1 to run {grown['runs']}: {grown['descriptors']:+d} descriptors, "
        f"{grown['processes']:+d} processes, {grown['files']:+d} files, "
        f"{grown['rss_mb']:+.2f} MB resident"
    )
    return "\n".join(lines)


def _kernel(name: str, one: Mapping[str, Any]) -> list[str]:
    spread = one["spread"]
    ratio = one["ratio"]
    lines = [name]
    for way, label in _LABELS.items():
        if way in one["first_result_s"]:
            times = f"  {ratio[way]:.0f} x" if way in ratio else ""
            lines.append(_line(label, spread["first_result_s"][way], "s") + times)
    lines.append(_line("running, from a snapshot", spread["restore_s"], "s"))
    lines.append(_line("resident memory of a guest", spread["rss_mb"], "MB"))
    lines.append(_line("of it shared in part (PSS)", spread["pss_mb"], "MB"))
    lines.append(_line("of it the guest's alone", spread["private_mb"], "MB"))
    for count, made in spread["runs_per_min"].items():
        lines.append(_line(f"runs a minute, {count} at once", made, ""))
    return lines


def _line(label: str, some: Mapping[str, float], unit: str) -> str:
    digits = 3 if unit == "s" else 1
    middle, low, high = (f"{some[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"  {label:<31}{middle:>9} {unit:<2}  ({low} to {high}, {some['n']} times)"


def profile(title: str, phases: Sequence[str], seen: Sequence[Mapping[str, float]]) -> str:
    """When each phase was past, and how long it took after the one before: medians, in ms."""
    lines = [f"{title} ({len(seen)} times)", f"  {'':<26}{'at':>8}{'took':>8}{'least':>8}  ms"]
    before = ""
    for phase in phases:
        at = statistics.median(one[phase] for one in seen)
        took = [one[phase] - (one[before] if before else 0.0) for one in seen]
        lines.append(
            f"  {phase:<26}{at * 1e3:>8.1f}{statistics.median(took) * 1e3:>8.1f}"
            f"{min(took) * 1e3:>8.1f}"
        )
        before = phase
    return "\n".join(lines)
