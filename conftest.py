"""The lab's own tests; its pytest plugin comes from the installed package."""

import pytest

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs with --vmlab-all")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = [item.nodeid for item in items if item.nodeid.startswith("tests/")]
    if wrong := [name for name in named if "scenario" in name]:
        raise pytest.UsageError(f"`-k scenario` is for scenario files; rename {wrong[0]}")
    if not config.getoption("--vmlab-all"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow; runs with --vmlab-all"))
