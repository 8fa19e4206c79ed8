"""The types of a scenario's values: strings become these once, at the edge."""

import difflib
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from vmlab.crash.kinds import KINDS, LOUD, REBOOT, WARNED
from vmlab.guest import devices
from vmlab.scenario import errnos

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000}
_MEMORY = re.compile(r"(\d+)([MG])")
_UNIT_MIB = {"M": 1, "G": 1024}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_TITLE = re.compile(r"[a-z0-9][a-z0-9-]*")
_OPTION = re.compile(r"CONFIG_[A-Z0-9_]+(\|CONFIG_[A-Z0-9_]+)*")
_SIZE = re.compile(r"(\d+)([KM])")
_UNIT_BYTES = {"K": 1 << 10, "M": 1 << 20}
# What the lab itself finds, beside the kinds that a console shows.
TAINT, LEAKED_THREAD, FLOOD = "taint", "leaked thread", "flood"
_SHOWN = {rule.kind for rule in (*KINDS, *LOUD, *WARNED, REBOOT)}
CRASH_KINDS = frozenset(_SHOWN | {TAINT, LEAKED_THREAD, FLOOD})
_LONGEST_MS = 24 * 3_600_000


def duration_ms(text: str) -> int:
    """Guest milliseconds of `5s`, `500ms`, `2m`, `1.5s`. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no duration; write a number and ms, s or m, as in 500ms")
    milliseconds = round(float(found[1]) * _UNIT_MS[found[2]])
    if not 0 < milliseconds <= _LONGEST_MS:
        raise ValueError(f"duration {text!r} is not between 1ms and 24 hours")
    return milliseconds


def memory_mib(text: str) -> int:
    """MiB of `192M`, `1G`. Raises ValueError."""
    found = _MEMORY.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no size of memory; write a number and M or G, as in 192M")
    size = int(found[1]) * _UNIT_MIB[found[2]]
    if not 32 <= size <= 4096:
        raise ValueError(f"memory {text!r} is not between 32M and 4G")
    return size


def size_bytes(text: str) -> int:
    """Bytes of `256K`, `16M`. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no size; write a number and K or M, as in 256K")
    size = int(found[1]) * _UNIT_BYTES[found[2]]
    if not 1 << 10 <= size <= 1 << 30:
        raise ValueError(f"size {text!r} is not between 1K and 1024M")
    return size


def crash_kind(text: str) -> str:
    """A kind that the lab can find. Raises ValueError with the nearest."""
    if text in CRASH_KINDS:
        return text
    near = difflib.get_close_matches(text, CRASH_KINDS, n=1, cutoff=0.5)
    others = f"there are {', '.join(sorted(CRASH_KINDS))}"
    hint = f"the nearest is {near[0]!r}" if near else others
    raise ValueError(f"unknown kind of crash {text!r}; {hint}")


def config_option(text: str) -> str:
    if not _OPTION.fullmatch(text):
        raise ValueError(
            f"{text!r} is no option; write it as in CONFIG_DETECT_HUNG_TASK, or "
            "two of which one is enough as in CONFIG_SLAB|CONFIG_SLUB"
        )
    return text


def errno_number(text: str) -> str:
    """What the agent is told to expect: the number of an errno's name, or `any`."""
    if text == "any":
        return text
    number = errnos.NUMBERS.get(text)
    if number is None:
        raise ValueError(f"{text!r} is no errno; write its name, as in EINVAL, or any")
    return str(number)


def status_text(text: str) -> str:
    """What the agent is told to expect of an exit status."""
    if text in ("any", "nonzero") or (text.isdigit() and int(text) < 256):
        return text
    raise ValueError(f"{text!r} is no exit status; write 0 to 255, any or nonzero")


def device(text: str) -> str:
    if wrong := devices.problem(text):
        raise ValueError(wrong)
    return text


def package(text: str) -> str:
    if not _PACKAGE.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a Debian package, as in v4l-utils")
    return text


def capture_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is no name; write small letters, digits and _, as in z or ps1")
    return text


def title(text: str) -> str:
    if not _TITLE.fullmatch(text):
        raise ValueError(f"{text!r} is no name; write small letters, digits and -, as in my-test")
    return text


def not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("nothing is written here")
    return text


Duration = Annotated[
    int,
    BeforeValidator(duration_ms),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m)$"}),
]
Memory = Annotated[
    int,
    BeforeValidator(memory_mib),
    WithJsonSchema({"type": "string", "pattern": r"^\d+[MG]$"}),
]
Size = Annotated[
    int,
    BeforeValidator(size_bytes),
    WithJsonSchema({"type": "string", "pattern": r"^\d+[KM]$"}),
]
CrashKind = Annotated[str, AfterValidator(crash_kind)]
CrashKinds = Annotated[
    tuple[CrashKind, ...],
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
PackageName = Annotated[str, AfterValidator(package)]
DeviceName = Annotated[str, AfterValidator(device)]
Option = Annotated[str, AfterValidator(config_option)]
Errno = Annotated[
    str,
    AfterValidator(errno_number),
    WithJsonSchema({"type": "string", "pattern": "^(any|E[A-Z0-9_]+)$"}),
]
Status = Annotated[
    str,
    AfterValidator(status_text),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^(\d+|any|nonzero)$"}),
]
Name = Annotated[
    str,
    AfterValidator(capture_name),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}),
]
Title = Annotated[
    str,
    AfterValidator(title),
    WithJsonSchema({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$"}),
]
Text = Annotated[str, AfterValidator(not_empty)]
