import pytest

from vmlab.arch import ARCHES
from vmlab.catalog import Kernel, Package
from vmlab.catalog.select import select
from vmlab.errors import UsageError


def kernel(identity: str, arch: str, default: bool = False) -> Kernel:
    package = Package(f"linux-image-{identity}", "1", "amd64", "suite", "pool/x.deb", "0" * 64, 10)
    return Kernel(identity, ARCHES[arch], default, (package,), ())


KERNELS = (
    kernel("5.10.0-32-686", "i386", default=True),
    kernel("6.1.0-50-686", "i386"),
    kernel("5.10.0-32-amd64", "x86_64", default=True),
    kernel("6.12.95+deb12-amd64", "x86_64"),
    kernel("6.1.0-50-amd64", "x86_64"),
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (None, ["5.10.0-32-686", "5.10.0-32-amd64"]),
        ("6.1.0-50-686", ["6.1.0-50-686"]),
        ("6.1*", ["6.1.0-50-686", "6.12.95+deb12-amd64", "6.1.0-50-amd64"]),
        ("arch=i386", ["5.10.0-32-686", "6.1.0-50-686"]),
        ("newest", ["6.1.0-50-686", "6.12.95+deb12-amd64"]),
        ("oldest", ["5.10.0-32-686", "5.10.0-32-amd64"]),
        ("6.1.0-50-amd64, 5.10.0-32-686", ["5.10.0-32-686", "6.1.0-50-amd64"]),
        ("all", [one.id for one in KERNELS]),
    ],
)
def test_an_expression_means_these(expression, expected):
    assert [one.id for one in select(KERNELS, expression)] == expected


@pytest.mark.parametrize(
    ("expression", "nearest"),
    [
        ("6.1.0-51-686", "6.1.0-50-686"),
        ("arch=i686", "arch=i386"),
        ("newst", "newest"),
        ("???!", "see `vmlab kernels list`"),
        ("all,6.1.0-50-amd65", "6.1.0-50-amd64"),
    ],
)
def test_what_means_nothing_is_refused_with_the_nearest(expression, nearest):
    with pytest.raises(UsageError) as caught:
        select(KERNELS, expression)
    assert nearest in str(caught.value)
