"""Errnos by name and number, the kernel's own ones included, which user space has no names for."""

import errno
import os

# include/linux/errno.h: what a module's own call may return to init_module and so to us.
_KERNEL = {
    "ERESTARTSYS": 512,
    "ERESTARTNOINTR": 513,
    "ERESTARTNOHAND": 514,
    "ENOIOCTLCMD": 515,
    "ERESTART_RESTARTBLOCK": 516,
    "EPROBE_DEFER": 517,
    "EOPENSTALE": 518,
    "ENOPARAM": 519,
    "EBADHANDLE": 521,
    "ENOTSYNC": 522,
    "EBADCOOKIE": 523,
    "ENOTSUPP": 524,
    "ETOOSMALL": 525,
    "ESERVERFAULT": 526,
    "EBADTYPE": 527,
    "EJUKEBOX": 528,
    "EIOCBQUEUED": 529,
}
# Python knows one name for a number that has two; the kernel's own source has these.
_ALSO = {name: getattr(errno, name) for name in ("EOPNOTSUPP", "EAGAIN", "EDEADLK")}
NUMBERS = {name: number for number, name in errno.errorcode.items()} | _ALSO | _KERNEL
_NAMES = dict(errno.errorcode) | {number: name for name, number in (_KERNEL | _ALSO).items()}


def text(number: int) -> str:
    """The name with its meaning: `EINVAL (invalid argument)`."""
    if number == 0:
        return "success"
    if number in _NAMES:
        internal = number in _KERNEL.values()
        meaning = "of the kernel's own" if internal else os.strerror(number).lower()
        return f"{_NAMES[number]} ({meaning})"
    return f"errno {number}, which has no name"
