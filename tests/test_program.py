import io
import tarfile

import pytest

from vmlab.guest import program


def test_equal_inputs_give_equal_archives_that_tar_can_read() -> None:
    made = program.archive(["run /program/a"], {"b": b"2", "a": b"1"})
    assert made == program.archive(["run /program/a"], {"a": b"1", "b": b"2"})
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        assert tar.getnames() == ["a", "b", "steps"]


@pytest.mark.parametrize("name", ["../init", "", "x" * 100])
def test_a_file_name_that_the_agent_cannot_place_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        program.archive([], {name: b""})


def test_a_step_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        program.archive(["run a\nrun b"], {})
