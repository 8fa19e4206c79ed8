"""Which QEMU a machine runs in."""

from vmlab.catalog import Catalog
from vmlab.guest import emulator
from vmlab.guest.emulator import Emulator
from vmlab.guest.qemu import Machine


def chosen(machine: Machine, catalog: Catalog) -> Emulator:
    """The host's QEMU where that can run the machine, else the catalog's, fetched when first used.

    Several processors on the virtual clock need a newer one than Debian 12's: up to 7.2 the one
    that runs has all the time until the next timer to itself, and the second never comes up.
    (QEMU: accel/tcg/tcg-accel-ops-icount.c, icount_percpu_budget, since 8.1.) Raises LabError
    where it is not to be had.
    """
    if not machine.several:
        return emulator.host(machine.arch)
    return emulator.unpacked(catalog.tool("qemu"), machine.arch)
