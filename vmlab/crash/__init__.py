"""What a console says of a sick kernel: `find` the first crash report, or `parse` all of them."""

from vmlab.crash.model import Crash, Follower, Frame, Inlined, Source
from vmlab.crash.parse import find, parse

__all__ = ["Crash", "Follower", "Frame", "Inlined", "Source", "find", "parse"]
