"""What is easier said in Python than in a scenario; pytest runs the scenarios beside it."""

import pytest

from vmlab import Guest, Lab, StepFailed


def test_a_write_with_a_line_too_many_changes_nothing(guest: Guest) -> None:
    """`guest` is a fresh guest on each kernel of the project."""
    guest.insmod("tally limit=10")
    for count in range(1, 10):
        guest.write("/dev/tally", "line")
        assert guest.read("/dev/tally") == f"lines={count}"
    with pytest.raises(StepFailed):
        guest.run("printf '1\\n2\\n' > /two; cat /two > /dev/tally")
    guest.console.expect("tally: 9 lines, and no room for 2 more", timeout=5)
    assert guest.read("/dev/tally") == "lines=9"


def test_both_architectures_count_alike() -> None:
    results = Lab().run("counts", kernels="6.1.*")
    assert results.passed, results.table()
    assert {run.arch for run in results} == {"i386", "x86_64"}
