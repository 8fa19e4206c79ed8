"""Whole reports: small logs in the kernel's own formats, and what is to be read from each.

A log is header lines, an empty line, and what stood on the console. A header without a KIND says
that no crash is in it.
"""

from pathlib import Path

import pytest

from vmlab import crash

LOGS = sorted((Path(__file__).parent / "crash-logs").iterdir())
UNKNOWN = ("task", "pid", "cpu", "taint", "function")


def read(path: Path) -> tuple[dict[str, str], str]:
    head, _, log = ("\n" + path.read_text()).partition("\n\n")
    return dict(line.split(": ", 1) for line in head.split("\n") if ": " in line), log


def facts(found: crash.Crash) -> dict[str, str]:
    """What a header may say of a crash, in the header's words."""
    guilty = next((one for one in found.frames if one.function == found.function), None)
    source = guilty.source if guilty else None
    return {
        "KIND": found.kind,
        "TITLE": found.title,
        "FUNCTION": str(found.function),
        "TASK": str(found.task),
        "PID": str(found.pid),
        "CPU": str(found.cpu),
        "TAINT": str(found.taint),
        "MODULES": " ".join(found.modules),
        "LINES": f"{found.first_line} to {found.last_line}",
        "COMPLETE": "yes" if found.complete else "no",
        "FOLLOWERS": "; ".join(one.title for one in found.followers),
        "SOURCE": f"{source.file}:{source.line}" if source else "",
        "INLINED": " ".join(one.function for one in guilty.inlined) if guilty else "",
    }


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
class TestReport:
    def test_is_read_as_its_header_says(self, path):
        wanted, log = read(path)
        found = crash.find(log)
        if "KIND" not in wanted:
            assert found is None
            return
        assert found is not None
        said = facts(found)
        assert {key: said[key] for key in wanted} == wanted
        assert bool(said["FOLLOWERS"]) == ("FOLLOWERS" in wanted)

    def test_is_the_same_whatever_the_terminal_and_the_line_ends_are(self, path):
        wanted, log = read(path)
        dressed = "".join(
            f"\x1b[1;31m{line}\x1b[0m\r\n" if number % 2 else f"{line}\r\n"
            for number, line in enumerate(log.split("\n"))
        )
        plain, seen = crash.find(log), crash.find(dressed)
        assert (plain is None) == ("KIND" not in wanted)
        assert (plain and facts(plain)) == (seen and facts(seen))

    def test_is_found_without_its_timestamps(self, path):
        wanted, log = read(path)
        bare = "\n".join(line.partition("] ")[2] or line for line in log.split("\n"))
        if wanted.get("KIND") in (None, "reboot") or "] " not in log.split("\n")[0]:
            pytest.skip("its lines have no timestamps, or it is told by them")
        found = crash.find(bare)
        assert found is not None
        assert found.kind == wanted["KIND"]

    def test_cut_anywhere_is_never_complete_before_its_stack_is(self, path):
        wanted, log = read(path)
        lines = log.split("\n")
        for end in range(len(lines)):
            found = crash.find("\n".join(lines[:end]))
            assert found is None or found.first_line <= found.last_line <= end
            if found is not None and found.complete and "FUNCTION" in wanted:
                assert found.frames
