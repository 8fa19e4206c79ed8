"""The part of the shell's language that settings are written in, evaluated without a shell.

Nothing is started and nothing is written: a program that is not among `commands` is refused, and
files are read only where `files` has them.
"""

from vmlab.build.shell.errors import Refused
from vmlab.build.shell.evaluate import Shell
from vmlab.build.shell.files import Files

__all__ = ["Files", "Refused", "Shell"]
