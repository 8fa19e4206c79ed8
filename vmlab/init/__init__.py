"""`vmlab init`: what a folder of somebody's modules holds, and a first project made of it."""

from vmlab.init.look import Understood, look
from vmlab.init.write import write

__all__ = ["Understood", "look", "write"]
