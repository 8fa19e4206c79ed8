"""A run's token: short, checks itself, and holds what identifies the run's inputs and its outcome.

    vm1:SCENARIO[/N]:KERNEL:BODY

N is the place of the parameters' combination, from 0; the body is base32 of: seed, icount shift,
verdict and flags, two bytes for each input, four of the output, three of a check over all of it.
"""

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from vmlab.errors import UsageError
from vmlab.inputs import MEANING
from vmlab.verdict import Verdict

VERSION = "vm1"
_SHAPE = re.compile(r"(vm\d+):([a-z0-9-]+)(?:/(\d+))?:([^:\s/]+):([a-z2-7]+)")
_FIXED = struct.Struct(">IbB")
_INPUT = 4  # hexadecimal digits of each input
_OUTPUT = 8
_CHECK = 3  # bytes
_COPY = f"; copy it whole, from {VERSION}: to its last letter"
_VERDICT_AT = 5  # bit of the flags


@dataclass(frozen=True)
class How:
    """How a run was run; each is one bit of the token."""

    exact: bool  # on the virtual clock, and with several CPUs from a snapshot: its bytes repeat
    restored: bool  # its guest began from a snapshot, so its console has no boot in it
    perturbed: bool  # its seed shifted it in time as well
    virtme: bool  # by virtme-ng


@dataclass(frozen=True)
class Token:
    """What a token says. Inputs and output are the first digits of their hashes."""

    scenario: str
    combination: int
    kernel: str
    seed: int
    shift: int
    how: How
    inputs: Mapping[str, str]
    output: str
    verdict: Verdict

    def differing(self, inputs: Mapping[str, str]) -> list[str]:
        """The names of inputs that are others than the token's."""
        return [name for name, digits in self.inputs.items() if inputs[name][:_INPUT] != digits]

    def gave(self, output: str) -> bool:
        """Whether an output is the token's."""
        return output[:_OUTPUT] == self.output

    def __str__(self) -> str:
        head = f"{VERSION}:{self.scenario}"
        head += f"/{self.combination}" if self.combination else ""
        head += f":{self.kernel}:"
        flags = sum(getattr(self.how, one.name) << at for at, one in enumerate(fields(How)))
        flags |= list(Verdict).index(self.verdict) << _VERDICT_AT
        digits = "".join(self.inputs[name] for name in MEANING) + self.output
        body = _FIXED.pack(self.seed, self.shift, flags) + bytes.fromhex(digits)
        return head + _coded(body + _check(head, body))


def token(
    scenario: str,
    combination: int,
    kernel: str,
    seed: int,
    shift: int,
    how: How,
    inputs: Mapping[str, str],
    output: str,
    verdict: Verdict,
) -> Token:
    """From whole hashes."""
    short = {name: inputs[name][:_INPUT] for name in MEANING}
    return Token(scenario, combination, kernel, seed, shift, how, short, output[:_OUTPUT], verdict)


def read(text: str) -> Token:
    """Reads a token. Raises UsageError that says what is wrong with it."""
    found = _SHAPE.fullmatch(text.strip())
    if found is None and text.strip().startswith(f"{VERSION}:"):
        raise UsageError(f"the token is cut short or mistyped{_COPY}")
    if found is None:
        raise UsageError(
            f"{text!r} is no token; a token stands below each run that failed and in "
            f"verdict.json, and begins with {VERSION}:"
        )
    if found[1] != VERSION:
        raise UsageError(f"the token is of version {found[1]}; this vmlab reads {VERSION}")
    head = text.strip().removesuffix(found[5])
    body = _body(head, found[5])
    seed, shift, flags = _FIXED.unpack_from(body)
    digits = body[_FIXED.size :].hex()
    short = {name: digits[at * _INPUT :][:_INPUT] for at, name in enumerate(MEANING)}
    how = How(*(bool(flags >> at & 1) for at, _ in enumerate(fields(How))))
    output = digits[len(MEANING) * _INPUT :]
    verdict = list(Verdict)[flags >> _VERDICT_AT]
    return Token(found[2], int(found[3] or 0), found[4], seed, shift, how, short, output, verdict)


def _body(head: str, coded: str) -> bytes:
    """The body without its check. Raises UsageError where that does not fit."""
    mistyped = UsageError(f"the token is mistyped: its check does not fit what it says{_COPY}")
    try:
        whole = base64.b32decode(coded.upper() + "=" * (-len(coded) % 8))
    except binascii.Error:
        raise mistyped from None
    if _coded(whole) != coded:  # the last letter has bits that stand for nothing
        raise mistyped
    body, check = whole[:-_CHECK], whole[-_CHECK:]
    size = _FIXED.size + (len(MEANING) * _INPUT + _OUTPUT) // 2
    if len(body) != size or check != _check(head, body):
        raise mistyped
    return body


def _coded(whole: bytes) -> str:
    return base64.b32encode(whole).decode().rstrip("=").lower()


def _check(head: str, body: bytes) -> bytes:
    return zlib.crc32(head.encode() + body).to_bytes(4, "big")[:_CHECK]
