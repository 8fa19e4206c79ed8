"""The lab's own tests; its pytest plugin comes from the installed package."""

pytest_plugins = ["pytester"]
