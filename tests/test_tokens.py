import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmlab.arch import ARCHES
from vmlab.errors import UsageError
from vmlab.guest import qemu
from vmlab.guest.emulator import Emulator
from vmlab.inputs import MEANING, machine_key
from vmlab.replay import InputsDiffer, check
from vmlab.tokens import How, Token, read, token
from vmlab.verdict import Verdict

INPUTS = {name: f"{number:x}" * 16 for number, name in enumerate(MEANING, start=1)}
OUTPUT = "0123456789abcdef"


_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def made(**changed) -> Token:
    known = {
        "scenario": "zombie-detect", "combination": 0, "kernel": "5.10.0-32-686", "seed": 7,
        "shift": 3, "how": How(True, True, False, False), "inputs": INPUTS, "output": OUTPUT,
        "verdict": Verdict.PASSED,
    }  # fmt: skip
    return token(**(known | changed))


@given(
    seed=st.integers(0, (1 << 32) - 1),
    shift=st.integers(-2, 10),
    combination=st.integers(0, 999),
    verdict=st.sampled_from(Verdict),
    how=st.builds(How, *[st.booleans()] * 4),
    digits=st.text("0123456789abcdef", min_size=16, max_size=16),
)
def test_a_token_says_all_that_it_was_made_of(seed, shift, combination, verdict, how, digits):
    one = made(
        seed=seed, shift=shift, combination=combination, verdict=verdict, how=how, output=digits,
        inputs=INPUTS | {"program": digits},
    )  # fmt: skip
    again = read(str(one))
    assert again == one
    assert (again.seed, again.how, again.verdict) == (seed, how, verdict)
    assert again.gave(digits) and again.differing(INPUTS | {"program": digits}) == []


def test_a_token_is_short_and_of_one_word():
    text = str(made(combination=2))
    assert text.startswith("vm1:zombie-detect/2:5.10.0-32-686:")
    assert len(text) < 90
    assert not set(text) & set(" \\'\"$()[]{}*?;&|<>~#!`")


def test_each_mistyped_letter_is_noticed():
    text = str(made())
    rng = random.Random(1)
    places = [(at, rng.choice(_LETTERS)) for at in range(len("vm1:"), len(text) - 1)]
    for at, other in [*places, *((len(text) - 1, letter) for letter in _LETTERS)]:
        if other != text[at]:
            with pytest.raises(UsageError):
                read(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zombie-detect", "is no token"),
        ("", "is no token"),
        ("vm1:zombie-detect:6.1", "cut short or mistyped; copy it whole"),
        (str(made()).replace(":", " "), "is no token"),
        (str(made()).replace("detect", "detect\n"), "cut short or mistyped; copy it whole"),
        (str(made())[:-1], "mistyped"),
        (str(made()) + "a", "mistyped"),
        (str(made()).replace("zombie", "zombi"), "mistyped"),
        (str(made()).replace("vm1:", "vm2:"), "of version vm2"),
    ],
)
def test_what_is_no_token_is_told(text, said):
    with pytest.raises(UsageError, match=said):
        read(text)


@pytest.mark.parametrize("name", MEANING, ids=range(len(MEANING)))
def test_an_input_with_another_content_is_named(name):
    one = made()
    assert one.differing(INPUTS) == []
    changed = INPUTS | {name: "f" * 16}
    assert one.differing(changed) == [name]
    if name == "sources":
        check(one, changed)  # what is built from them is the same
        return
    with pytest.raises(InputsDiffer) as caught:
        check(one, changed, "here it is QEMU 8")
    assert MEANING[name] in str(caught.value)
    assert ("here it is QEMU 8" in str(caught.value)) == (name == "qemu")
    assert ("another compiler" in str(caught.value)) == (name == "program")


def test_other_output_is_other():
    assert made().gave(OUTPUT)
    assert not made().gave("1" + OUTPUT[1:])


def test_another_compiler_is_named_only_where_nothing_else_explains_the_program():
    for other in ("sources", "scenario", "kernel", None):
        changed = INPUTS | {name: "f" * 16 for name in ("program", other) if name}
        with pytest.raises(InputsDiffer) as caught:
            check(made(), changed)
        assert ("another compiler" in str(caught.value)) == (other is None)


def test_the_machine_s_hash_does_not_say_where_qemu_is(monkeypatch):
    machine = qemu.Machine(ARCHES["i386"])
    one = machine_key(machine, "qemu")
    for other in (replace(machine, memory_mib=256), replace(machine, cpus=2)):
        assert machine_key(other, "qemu") != one
    assert machine_key(machine, "virtme") != one
    before = qemu.recipe(machine)
    monkeypatch.setattr(qemu, "host", lambda arch: Emulator("/opt/qemu-system-i386"))
    assert machine_key(machine, "qemu") == one
    assert qemu.recipe(machine) != before
