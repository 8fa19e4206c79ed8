"""What an explored run does to a guest's scheduling from outside; all of it follows from the seed.

Nothing here is random at run time: the same seed gives the same shift of the clock, and the same
pauses, so that a run that found something is run again by its seed.
"""

import hashlib
from dataclasses import dataclass

PAUSES = 8
SPIN_TURNS = 4096
_SHORTEST_US = 10
_MAGNITUDES = 4  # pauses of up to 10, 100, 1000 or 10000 microseconds
DILATIONS = (-1, 0, 1)


@dataclass(frozen=True)
class Perturbation:
    """How one run is shifted in time.

    `dilation` is added to the machine's icount shift: each instruction takes half, as much or
    twice the guest's time. `spin` is the start's fine delay, turns of a loop of a few instructions:
    where between two interrupts the program begins. `pauses_us` are microseconds of guest time
    that the agent sleeps before the steps, the first before the first one; when there are more
    steps, it begins with them again.
    """

    dilation: int
    spin: int
    pauses_us: tuple[int, ...]

    @property
    def at_boot(self) -> "Perturbation":
        """What of it a boot knows: the rest is done later, by the agent."""
        return Perturbation(self.dilation, 0, ())

    @property
    def option(self) -> str:
        """As it stands in the guest's mode; the agent's perturb.c reads it."""
        return " ".join(["perturb", str(self.spin), *map(str, self.pauses_us)])


def perturbation(seed: int) -> Perturbation:
    """The perturbation of a seed."""
    return Perturbation(
        DILATIONS[_drawn(seed, "dilation", len(DILATIONS))],
        _drawn(seed, "spin", SPIN_TURNS),
        tuple(_pause_us(seed, number) for number in range(PAUSES)),
    )


def _pause_us(seed: int, number: int) -> int:
    """Short ones are as likely as long ones."""
    most = _SHORTEST_US * 10 ** _drawn(seed, f"magnitude {number}", _MAGNITUDES)
    return _drawn(seed, f"pause {number}", most)


def _drawn(seed: int, what: str, below: int) -> int:
    """A number from 0 to `below` - 1. A hash: it is the same in every version of Python."""
    digest = hashlib.blake2b(f"{seed} {what}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % below
