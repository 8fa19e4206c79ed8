"""The lock files, for the Python that Debian 12 has: `./lab` installs them with that one."""

import importlib.metadata
import re

import pytest
from packaged import ROOT
from packaging.specifiers import SpecifierSet

DEBIAN_12 = "3.11.2"
PIN = re.compile(r"^([\w.-]+)==", re.MULTILINE)


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-test.lock"])
def test_what_is_pinned_can_be_installed_with_debian_12_s_python(file):
    names = PIN.findall((ROOT / file).read_text())
    refused = {}
    for name in names:
        wanted = importlib.metadata.metadata(name).get("Requires-Python") or ""
        if not SpecifierSet(wanted).contains(DEBIAN_12):
            refused[name] = wanted
    assert names and refused == {}
