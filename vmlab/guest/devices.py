"""Devices that a scenario may ask for: one table of names, and what QEMU is told of each.

A device is seen by the guest from its boot on, so it is part of the machine that a snapshot is of.
What a device stores is in a file of the run, made anew for each guest.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

DISK = 16 << 20
"""The size of what a device stores, bytes."""
LABEL = b"vmlab disk %d\n"
"""What such a file begins with; the rest is zeros."""
WIRE = "vmlab-wire"
MOST = 16
"""How many devices a machine has room for."""
_HUB = "hubid=0"  # all network cards of a guest are on one wire
_MAC = "52:54:00:{role:02x}:00:{number:02x}"

Kind = Literal["plain", "network", "disk"]
Exact = Literal["exact", "host's time"]


@dataclass(frozen=True)
class Device:
    """One row. In its arguments {id} is the device's own name in QEMU, {file} what it stores."""

    name: str
    about: str
    arguments: tuple[str, ...]
    drivers: tuple[str, ...]  # what a kernel that has these as modules loads, in order
    kind: Kind = "plain"
    # Whether all that it does is done on the guest's clock. What QEMU does in a thread of its own,
    # such as reading a file, ends at another instruction each time.
    exact: Exact = "exact"
    once: bool = False  # whether QEMU takes one at most
    forgotten: str = ""  # its PCI id, where QEMU leaves it out of a snapshot's state
    frozen: bool = True  # whether QEMU writes a state at all with it in the machine


def _card(name: str, about: str, *drivers: str, model: str = "") -> Device:
    arguments = ("-netdev", f"hubport,id={{id}},{_HUB}",
                 "-device", f"{model or name},netdev={{id}},mac={{mac}},romfile=")  # fmt: skip
    return Device(name, about, arguments, drivers, "network")


def _disk(
    name: str, about: str, arguments: Iterable[str], *drivers: str, frozen: bool = True
) -> Device:
    file = "driver=file,node-name={id},filename={file},discard=unmap"
    made = ("-blockdev", file, *arguments)
    return Device(name, about, made, drivers, "disk", "host's time", frozen=frozen)


_XHCI = ("-device", "qemu-xhci,id={id}-bus")
_USB = ("xhci_hcd", "xhci_pci")
_VIRTIO = "virtio_pci"
TABLE: tuple[Device, ...] = (
    Device("edu", "QEMU's device for teaching: registers, an interrupt, DMA, a slow factorial",
           ("-device", "edu"), (), exact="host's time", forgotten="1234:11e8"),
    Device("pci-testdev", "a PCI device whose two BARs are for tests of access",
           ("-device", "pci-testdev"), (), forgotten="1b36:0005"),
    Device("ivshmem", "1 MiB of shared memory in a PCI BAR, of this guest alone",
           ("-object", "memory-backend-ram,id={id},size=1M",
            "-device", "ivshmem-plain,memdev={id}"), ()),
    Device("virtio-rng", "random numbers, that depend on QEMU's seed",
           ("-object", "rng-builtin,id={id}", "-device", "virtio-rng-pci,rng={id}"),
           (_VIRTIO, "virtio_rng"), exact="host's time"),
    Device("virtio-balloon", "a balloon that nobody blows up",
           ("-device", "virtio-balloon-pci"), (_VIRTIO, "virtio_balloon"), once=True),
    Device("watchdog", "Intel's 6300ESB; the guest is reset when it barks",
           ("-device", "i6300esb", "-action", "watchdog=reset"), ("i6300esb",)),
    Device("sound", "Intel's HD audio with one codec, which nobody hears",
           ("-audiodev", "none,id={id}", "-device", "intel-hda,id={id}-bus",
            "-device", "hda-duplex,bus={id}-bus.0,audiodev={id}"),
           ("snd_hda_intel", "snd_hda_codec_generic"), exact="host's time"),
    Device("pci-serial", "a 16550 behind PCI, that nobody listens to",
           ("-chardev", "null,id={id}", "-device", "pci-serial,chardev={id}"), ()),
    Device("usb-tablet", "a pointer on a USB bus of its own",
           (*_XHCI, "-device", "usb-tablet,bus={id}-bus.0"), (*_USB, "usbhid"),
           exact="host's time"),
    Device("usb-serial", "an FTDI converter on a USB bus of its own",
           (*_XHCI, "-chardev", "null,id={id}",
            "-device", "usb-serial,bus={id}-bus.0,chardev={id}"), (*_USB, "ftdi_sio"),
           exact="host's time", frozen=False),
    _card("e1000", "Intel's 82540EM", "e1000"),
    _card("e1000e", "Intel's 82574L", "e1000e"),
    _card("rtl8139", "Realtek's RTL-8139", "8139cp"),
    _card("virtio-net", "a paravirtual network card", _VIRTIO, "virtio_net",
          model="virtio-net-pci"),
    _disk("usb-storage", "a USB stick of 16 MiB on a USB bus of its own",
          (*_XHCI, "-device", "usb-storage,bus={id}-bus.0,drive={id}"),
          *_USB, "sd_mod", "usb_storage"),
    _disk("virtio-blk", "a paravirtual disk of 16 MiB",
          ("-device", "virtio-blk-pci,drive={id}"), _VIRTIO, "virtio_blk"),
    _disk("nvme", "an NVMe disk of 16 MiB",
          ("-device", "nvme,drive={id},serial=vmlab-{number}"), "nvme", frozen=False),
    _disk("ahci", "a SATA disk of 16 MiB",
          ("-device", "ich9-ahci,id={id}-bus", "-device", "ide-hd,bus={id}-bus.0,drive={id}"),
          "ahci", "sd_mod"),
    _disk("sd-card", "an SD card of 16 MiB",
          ("-device", "sdhci-pci,id={id}-bus", "-device", "sd-card,drive={id}"),
          "sdhci_pci", "mmc_block"),
)  # fmt: skip
BY_NAME = {one.name: one for one in TABLE}
CARDS = tuple(one.name for one in TABLE if one.kind == "network")


def problem(name: str) -> str | None:
    """What is wrong with a device's name, None where nothing is."""
    if name in BY_NAME:
        return None
    near = difflib.get_close_matches(name, BY_NAME, n=1, cutoff=0.6)
    hint = f"; the nearest is {near[0]!r}" if near else ""
    return f"unknown device {name!r}{hint}; there are {', '.join(BY_NAME)}"


def arguments(names: Sequence[str], disk: Callable[[int], Path], role: int = 0) -> list[str]:
    """What QEMU is told of these; `disk` gives the file of the device of a number.

    `role` tells one of two guests on a wire from the other, by the addresses of its cards.
    """
    words: list[str] = []
    for number, name in enumerate(names):
        device = BY_NAME[name]
        file = str(disk(number)).replace(",", ",,") if device.kind == "disk" else ""
        values = {
            "id": f"vmlab-device-{number}", "number": number, "file": file,
            "mac": _MAC.format(role=role, number=number),
        }  # fmt: skip
        words += [word.format(**values) for word in device.arguments]
    return words


def wire(descriptor: int) -> list[str]:
    """The cards' wire leads out of this guest, through an open socket."""
    return [
        "-netdev", f"socket,id={WIRE},fd={descriptor}",
        "-netdev", f"hubport,id={WIRE}-port,{_HUB},netdev={WIRE}",
    ]  # fmt: skip


def disks(names: Sequence[str]) -> list[int]:
    """The numbers of the devices that store something."""
    return [number for number, name in enumerate(names) if BY_NAME[name].kind == "disk"]


def make(names: Sequence[str], disk: Callable[[int], Path]) -> None:
    """Makes what these devices store, as it is for each guest."""
    for number in disks(names):
        path = disk(number)
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.write(LABEL % number)
            file.truncate(DISK)


def exact(names: Iterable[str]) -> bool:
    """Whether a run with these can be expected to repeat to the byte."""
    return all(BY_NAME[name].exact == "exact" for name in names)


def frozen(names: Iterable[str]) -> bool:
    """Whether there can be a snapshot of a machine with these."""
    return all(BY_NAME[name].frozen for name in names)


def forgotten(names: Iterable[str]) -> list[str]:
    """The PCI ids of those that a snapshot's guest must find anew."""
    return sorted({BY_NAME[name].forgotten for name in names} - {""})
