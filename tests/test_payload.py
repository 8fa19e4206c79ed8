"""What a program carries into the guest."""

from dataclasses import replace
from pathlib import Path

import pytest
import stand_in

from vmlab.arch import ARCHES
from vmlab.catalog import Kernel, Unavailable
from vmlab.catalog.records import Added, Package
from vmlab.payload import Payload
from vmlab.project import Project, Settings

HEADERS = (Package("linux-headers", "1", "i386", "s", "f", "", 1),)


def pinned(id: str, arch: str = "i386") -> Kernel:
    return Kernel(id, ARCHES[arch], False, HEADERS, HEADERS)


def mine(release: str) -> Kernel:
    added = Added(Path("/d"), release, "/box", Path("/d/build"), True, "gcc", "", True)
    return Kernel("mine", ARCHES["i386"], False, (), (), added)


@pytest.mark.parametrize(
    ("kernel", "others", "taken"),
    [
        (pinned("5.10"), [pinned("6.1")], "6.1"),
        (mine("5.10"), [pinned("5.10"), pinned("6.1")], "6.1"),  # it is the same under another name
        (pinned("5.10"), [mine("5.10"), pinned("6.1")], "6.1"),
        (pinned("5.10"), [mine("5.11")], "mine"),
        (pinned("5.10"), [pinned("6.1", "x86_64"), replace(pinned("6.2"), headers=())], None),
        (mine("5.10"), [pinned("5.10")], None),
    ],
)
def test_a_wrong_module_is_one_of_another_release(tmp_path, kernel, others, taken):
    artifacts = stand_in.artifacts(tmp_path)
    artifacts.catalog.pins = replace(artifacts.catalog.pins, kernels=())
    artifacts.catalog.added = (kernel, *others)
    payload = Payload(Project(tmp_path, Settings()), artifacts)
    if taken is None:
        with pytest.raises(Unavailable, match="no i386 kernel of another release with headers"):
            payload._other(kernel)
    else:
        assert payload._other(kernel).id == taken
