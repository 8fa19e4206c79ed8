"""The lab's own tests; its pytest plugin comes from the installed package."""

import pytest

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs with --vmlab-all")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    named = [item.nodeid for item in items if item.nodeid.startswith("tests/")]
    if wrong := [name for name in named if "scenario" in name]:
        raise pytest.UsageError(f"`-k scenario` is for scenario files; rename {wrong[0]}")
    if not config.getoption("--vmlab-all"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow; runs with --vmlab-all"))
    for item in items:
        if shares_with_its_module(item):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
    long = {item.path for item in items if boots(item)}
    items.sort(key=lambda item: item.path not in long)  # the short ones fill the gap at the end


def shares_with_its_module(item: pytest.Item) -> bool:
    """Whether its fixtures are made once for all tests of its file: those stay in one worker."""
    fixtures = getattr(item, "_fixtureinfo", None)
    found = fixtures.name2fixturedefs.values() if fixtures else ()
    return any(one.scope == "module" for definitions in found for one in definitions)


def boots(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("guest", "scenario"))
