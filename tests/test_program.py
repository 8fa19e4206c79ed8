import io
import tarfile

import pytest

from vmlab.guest import program

SLEEP = program.step("sleep", "", ms=1000)


def test_a_step_is_one_line_of_five_fields():
    line = program.step("run", "a\tb\nc\\d", expect="any", name="r", ms=5)
    assert line == "run\tany\tr\t5\ta\\tb\\nc\\\\d"


def test_equal_inputs_give_equal_bytes_in_whatever_order():
    one = program.archive([SLEEP], {"a": b"1", "b": b"2"})
    assert one == program.archive([SLEEP], {"b": b"2", "a": b"1"})


def test_the_archive_holds_steps_and_files():
    with tarfile.open(fileobj=io.BytesIO(program.archive([SLEEP, SLEEP], {"m.ko": b"\0x"}))) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}
    assert content == {"steps": f"{SLEEP}\n{SLEEP}\n".encode(), "m.ko": b"\0x"}


@pytest.mark.parametrize("line", ["sleep", "a\tb\tc\td", SLEEP + "\n", SLEEP + "\tmore"])
def test_a_line_that_is_no_step_is_refused(line):
    with pytest.raises(ValueError, match="five fields"):
        program.archive([line], {})


@pytest.mark.parametrize("name", ["", "a/b", "x" * 100])
def test_a_name_that_the_agent_cannot_place_is_refused(name):
    with pytest.raises(ValueError, match="plain name"):
        program.archive([], {name: b""})


def test_a_file_cannot_take_the_place_of_the_steps():
    with pytest.raises(ValueError, match="taken by the program's own steps"):
        program.archive([SLEEP], {"steps": b""})
