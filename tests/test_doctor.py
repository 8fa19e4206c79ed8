"""What the doctor says of tools."""

import pytest

from vmlab import doctor


@pytest.mark.parametrize("tool", doctor._FOR_SOME, ids=lambda one: one[0])
def test_a_tool_that_few_need_is_a_note_with_its_use(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor.optional_finding(*tool)
    assert (found.state, found.what) == ("note", f"{tool[0]} was not found")
    assert found.advice == f"install {tool[1]}, for {tool[2]}"
    (tmp_path / tool[0]).touch(0o755)
    assert doctor.optional_finding(*tool).what == f"{tool[0]}: {tmp_path / tool[0]}"


def test_one_that_all_need_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.tool_finding("make", "make").state == "missing"
