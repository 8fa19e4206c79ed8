"""The architectures of the lab and what others call them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arch:
    """One architecture, with each party's own word for it."""

    name: str  # the kernel's ARCH= word
    debian: str  # dpkg's architecture
    flavour: str  # the suffix of Debian's kernel packages
    qemu: str  # the suffix of qemu-system-*
    gcc_flag: str  # what makes an x86 gcc generate code for it


_ARCHES = (
    Arch(name="i386", debian="i386", flavour="686", qemu="i386", gcc_flag="-m32"),
    Arch(name="x86_64", debian="amd64", flavour="amd64", qemu="x86_64", gcc_flag="-m64"),
)
ARCHES = {arch.name: arch for arch in _ARCHES}


def of_release(release: str) -> Arch:
    """The architecture of a Debian kernel, from its release string (`uname -r`).

    Raises ValueError where the release does not end in a known flavour.
    """
    flavour = release.rpartition("-")[2]
    for arch in _ARCHES:
        if arch.flavour == flavour:
            return arch
    known = ", ".join(arch.flavour for arch in _ARCHES)
    raise ValueError(f"kernel release {release!r} ends in no known flavour ({known})")
