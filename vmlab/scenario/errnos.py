"""Errnos by name and number, the kernel's own ones included, which user space has no names for."""

import errno
import os
import signal

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


def of_call(number: int) -> str:
    """A module call's outcome: an oops in the call kills the process that made it."""
    killed = 128 + signal.SIGKILL, 128 + signal.SIGSEGV
    return of_command(number) if number in killed else text(number)


def of_command(number: int) -> str:
    """A command's outcome: an exit status, or above 128 a signal."""
    if number == 0:
        return "success"
    if number > 128 and number - 128 in signal.Signals._value2member_map_:
        return f"death by {signal.Signals(number - 128).name}"
    return f"exit status {number}"
