"""`vmlab crash`: what it prints, and how it measures itself."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vmlab import crash
from vmlab.cli import app
from vmlab.crash import score
from vmlab.errors import UsageError

LOGS = Path(__file__).parent / "crash-logs"
OOPS = LOGS / "i386-2.6.8-oops"


def run(*arguments: str, given: str | bytes | None = None):
    return CliRunner().invoke(app, ["crash", *arguments], input=given)


class TestPrinted:
    def test_a_report_is_told_in_words(self):
        said = run(str(OOPS)).stdout
        assert said.startswith("BUG: unable to handle kernel NULL pointer dereference in frob_wr")
        for part in (
            "kind:      NULL dereference",
            "function:  frob_write",
            "task:      sh (pid 61) on processor 0",
            "tainted:   P",
            "frob_write+0x14/0x40 [frob]",
            "EAX 00000000",
        ):
            assert part in said

    def test_the_page_shows_what_is_printed(self):
        page = (LOGS.parent.parent / "docs" / "crashes.md").read_text()
        said = run("-", given=OOPS.read_text().partition("\n\n")[2]).stdout
        assert "".join(f"    {line}\n" for line in said.splitlines()) in page

    def test_stdin_is_read_and_json_is_what_verdicts_have(self):
        log = OOPS.read_text()
        said = json.loads(run("-", "--json", given=log).stdout)
        found = crash.find(log)
        assert found is not None
        assert said == json.loads(json.dumps(found.as_dict()))
        assert said["frames"][0]["module"] == "frob"
        assert said["frames"][0]["source"] is None

    def test_a_healthy_log_has_none(self):
        assert run(str(LOGS / "healthy")).stdout == "no crash was found\n"
        assert run(str(LOGS / "healthy"), "--json").stdout == "null\n"

    def test_nothing_of_a_log_moves_the_cursor(self):
        log = b"BUG: soft lockup - CPU#0 stuck for 22s! [a\x07\x08\x9b2J\xff:81]\nCall Trace:\n"
        said = run("-", given=log).stdout
        assert "(pid 81)" in said
        assert all(char.isprintable() or char == "\n" for char in said)

    @pytest.mark.parametrize("arguments", [(), ("x", "--score", "y")])
    def test_one_of_both_is_asked_for(self, arguments):
        found = run(*arguments)
        assert isinstance(found.exception, UsageError)
        assert "give either a log" in str(found.exception)

    def test_a_log_that_is_not_there_is_said(self, tmp_path):
        found = run(str(tmp_path / "none"))
        assert isinstance(found.exception, UsageError)
        assert "no such file" in str(found.exception)


HUNG = "INFO: task sh:80 blocked for more than 120 seconds.\nCall Trace:\n f_read+0x1/0x2\n"


class TestScore:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        samples = {
            "1": f"TITLE: INFO: task hung in f_read\nTYPE: HANG\n\n{HUNG}",
            "2": f"TITLE: INFO: task hung in g\n\n{HUNG}\nREPORT:\nKernel panic - not syncing: x\n",
            "3": f"TITLE: KASAN: x in g\nTYPE: KASAN-USE-AFTER-FREE-READ\n\n{HUNG}",
            "10": "TITLE: WARNING in f\nTYPE: WARNING\n\nnothing\n",
            "11": "\nnothing\n",
            "12": f"\n{HUNG}",
            "README": "TITLE: WARNING in f\n\nBUG: x\n",
        }
        for name, text in samples.items():
            (tmp_path / name).write_text(text)
        return tmp_path

    def test_misses_come_first_and_the_shares_last(self, folder):
        assert run("--score", str(folder)).stdout.split("\n") == [
            "2: title: 'INFO: task hung in f_read', and 'INFO: task hung in g' was wanted",
            "3: kind: hung task, and KASAN-USE-AFTER-FREE-READ was wanted",
            "3: title: 'INFO: task hung in f_read', and 'KASAN: x in g' was wanted",
            "10: not detected: WARNING in f",
            "12: false alarm: hung task: INFO: task sh:80 blocked for more than 120 seconds.",
            "detected 75.0 %, kind 33.3 %, title 25.0 %, false alarms 1",
            "",
        ]

    def test_what_is_no_folder_is_said(self, tmp_path):
        found = run("--score", str(tmp_path / "none"))
        assert isinstance(found.exception, UsageError)
        assert "it is no directory" in str(found.exception)

    def test_every_kind_of_the_table_is_one_that_the_parser_knows(self):
        from vmlab.crash.kinds import KINDS, REBOOT

        known = {rule.kind for rule in KINDS} | {REBOOT.kind}
        assert {kind for kinds in score.TYPES.values() for kind in kinds} <= known
