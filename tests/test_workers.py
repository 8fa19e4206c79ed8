"""The suite in several workers of pytest-xdist."""

from pathlib import Path

CONFTEST = Path(__file__).parent.parent / "conftest.py"
SHARED = """\
import os
import pytest

@pytest.fixture(scope="module")
def made():
    with open("made", "a") as file:
        file.write("once\\n")

@pytest.mark.parametrize("number", range(8))
def test_shares(made, number):
    print("worker", os.environ["PYTEST_XDIST_WORKER"])
"""
APART = """\
import os
import time
import pytest

@pytest.mark.parametrize("number", range(8))
def test_apart(number):
    time.sleep(0.1)
    print("worker", os.environ["PYTEST_XDIST_WORKER"])
"""


def test_what_is_made_once_for_a_file_is_made_in_one_worker_and_the_rest_is_divided(pytester):
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(test_shared=SHARED, test_apart=APART)
    result = pytester.runpytest_subprocess("-n", "2", "-rP")
    result.assert_outcomes(passed=16)
    assert (pytester.path / "made").read_text() == "once\n"
    said = {line for line in result.outlines if line.startswith("worker ")}
    assert said == {"worker gw0", "worker gw1"}
