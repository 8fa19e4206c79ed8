"""The lab's own tests; its pytest plugin comes from the installed package."""

import functools
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent
SHARED = 'scope="module"'


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs with --vmlab-all")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/") and "scenario" in item.nodeid:
            # Not a UsageError: a worker of pytest-xdist that gets one ends without a word.
            why = "`-k scenario` is for scenario files: rename this test"
            item.runtest = functools.partial(pytest.fail, why)  # type: ignore[method-assign]
    if not config.getoption("--vmlab-all"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow; runs with --vmlab-all"))
    long = {item.path for item in items if boots(item)}
    items.sort(key=lambda item: item.path not in long)  # workers share what is short at the end


def boots(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("guest", "scenario"))


@functools.cache
def together(file: str) -> bool:
    """Whether the tests of a file share what is made once for all of them."""
    path = ROOT / file
    return path.suffix == ".py" and SHARED in path.read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Each worker takes the next test, or the next file whose tests stay together."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if together(file) else nodeid

    return Scheduling(config, log)
