"""Which lines of a module ran: gcov's counts, taken out of a guest and put to the sources."""

from vmlab.coverage.counted import Counts, File, merged, of_gcov, tracefile
from vmlab.coverage.taken import NEEDS, taken, with_step

__all__ = ["NEEDS", "Counts", "File", "merged", "of_gcov", "taken", "tracefile", "with_step"]
