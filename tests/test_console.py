import pexpect
import pytest

from vmlab.guest.console import Console


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ring: 4 slots\nring: gone\n", "and no match:\n  ring: 4 slots\n  ring: gone\n"),
        ("".join(f"line {n}\n" for n in range(99)), "and no match:\n  line 79\n"),
        ("", "and no match: nothing\n"),
    ],
    ids=["short", "long", "nothing"],
)
@pytest.mark.parametrize("alive", [True, False])
def test_what_did_not_match_is_in_the_error(tmp_path, text, said, alive):
    (tmp_path / "console").write_text(text)
    console = Console(tmp_path / "console", lambda: alive)
    with pytest.raises((pexpect.TIMEOUT, pexpect.EOF)) as found:
        console.expect("ring: 5 slots", timeout=0.05)
    assert said in str(found.value)
