"""What a console says of a sick kernel: `find` the first crash report, or `parse` all of them."""

from vmlab.crash.assemble import MOST
from vmlab.crash.model import Crash, Follower, Frame, Inlined, Source
from vmlab.crash.parse import find, parse

__all__ = ["MOST", "Crash", "Follower", "Frame", "Inlined", "Source", "find", "parse"]
