import pytest

from vmlab import arch


@pytest.mark.parametrize(
    ("release", "name"), [("5.10.0-46-686", "i386"), ("6.12.95+deb12-amd64", "x86_64")]
)
def test_a_release_tells_its_architecture(release: str, name: str) -> None:
    assert arch.of_release(release).name == name


def test_a_release_of_no_known_flavour_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'6\.1\.0-50-arm64'.*686, amd64"):
        arch.of_release("6.1.0-50-arm64")
