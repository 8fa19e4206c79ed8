"""Makes unpacked header packages of use where they stand, and with this host's gcc."""

import re
from pathlib import Path

# Paths on an installed system, and paths from the Makefile's own place, so that the tree may
# stand anywhere. The packages name KBUILD_OUTPUT since 6.13, whose kbuild asks for it.
_PATHS = {
    r"^include /usr/src/": "include $(dir $(lastword $(MAKEFILE_LIST)))../",
    r"^KBUILD_OUTPUT *:?= */usr/src/linux-headers-[^/\s]+/?[ \t]*$": (
        "KBUILD_OUTPUT := $(realpath $(dir $(lastword $(MAKEFILE_LIST))))"
    ),
}

# What the compiler of the kernel could and an older gcc cannot: the headers then use attributes
# that it refuses or warns of. None of them changes what the code means to a kernel. What is asked
# for by a make variable instead stands in build/kbuild.py.
_ABILITIES = {
    "CC_HAS_ASSUME": 13,  # the first gcc that can: __attribute__((assume))
    "CC_HAS_COUNTED_BY": 15,  # ((counted_by)) of arrays at a structure's end
    "CC_HAS_MULTIDIMENSIONAL_NONSTRING": 15,  # ((nonstring)) of arrays of strings
    "CC_HAS_COUNTED_BY_PTR": 16,  # ((counted_by)) of pointers
}
_ABILITY = re.compile(rf"^#define CONFIG_({'|'.join(_ABILITIES)}) 1$", re.MULTILINE)

_PLACES = ("usr/src/linux-headers-*", "usr/src/kernels/*")  # Debian's and Ubuntu's, Fedora's

MENDING = f"{_PATHS} {_ABILITIES}"  # part of the name of what `mend` made


def mend(directory: Path) -> None:
    """Header packages name one another by their place on an installed system, and record what
    the compiler could that the kernel was built with."""
    for makefile in directory.glob("usr/src/linux-headers-*/Makefile"):
        text = makefile.read_text()
        for absolute, relative in _PATHS.items():
            text = re.sub(absolute, relative, text, flags=re.MULTILINE)
        makefile.write_text(text)
    for place in _PLACES:
        for config in directory.glob(f"{place}/include/generated/autoconf.h"):
            config.write_text(_ABILITY.sub(_asked, config.read_text()))


def _asked(found: "re.Match[str]") -> str:
    return f"#if __GNUC__ >= {_ABILITIES[found[1]]}\n{found[0]}\n#endif"
