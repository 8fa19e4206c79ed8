"""What a module's C files say of it, read without a compiler."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"')
_EXPORT = re.compile(r"\bEXPORT_SYMBOL\w*\s*\(\s*(\w+)")
_PARAMETER = re.compile(r"\bmodule_param(_\w+)?\s*\(\s*(\w+)\s*,\s*([\w.&\[\]]+)\s*(?:,\s*(\w+))?")
_ABOUT = re.compile(r'\bMODULE_PARM_DESC\s*\(\s*(\w+)\s*,\s*((?:[^()"]|"(?:\\.|[^"\\])*")*)\)')
_WORD = re.compile(r"\b[A-Za-z_]\w{3,}\b")
_LICENSE = re.compile(r"\bMODULE_LICENSE\s*\(")
_INIT = re.compile(r"\bmodule_init\s*\(")
_INIT_OF = re.compile(r"\bmodule_init\s*\(\s*(\w+)")
_CALLED = re.compile(r"\b(\w+)\s*\(")
# Its name, arguments and body: to the end of the line, else to a brace that begins one.
_FUNCTION = re.compile(
    r"^[\w \t*]*\b(\w+)\s*\(([^;{}()]*)\)\s*\{([^{}\n]*\}|.*?^\})", re.DOTALL | re.MULTILINE
)
_FIRMWARE = re.compile(
    r"\b(?:MODULE_FIRMWARE\s*\(|(?:request_firmware|firmware_request)\w*\s*\([^;\"]*?,)"
    r'\s*("[^"]+"|\w+)\s*[,)]'
)
_EXIT = re.compile(r"\b(?:module_exit|cleanup_module|module_\w*(?:driver|device)\w*)\s*\(")
_MAIN = re.compile(r"\bmain\s*\(")
# Which word of a parameter's macro is its type.
_TYPE_AT = {"": 3, "_unsafe": 3, "_named": 4, "_array": 3, "_named_unsafe": 4, "_hw": 3}
# What a module registers, as its author would say it; the first part is looked for as a call.
_MAKES = {
    r"misc_register|module_misc_device": "a misc device in /dev",
    r"register_chrdev\w*|alloc_chrdev_region|cdev_add|cdev_device_add": "a character device",
    r"register_blkdev|add_disk|device_add_disk": "a block device",
    r"register_netdev\w*|rtnl_link_register": "a network interface",
    r"video_register_device|__video_register_device": "a video device",
    r"input_register_device": "an input device",
    r"snd_card_register": "a sound card",
    r"dm_register_target": "a device-mapper target",
    r"register_filesystem": "a file system",
    r"xt_register_(?:match|target)\w*": "matches or targets of iptables",
    r"proc_create\w*|proc_mkdir\w*": "entries in /proc",
    r"debugfs_create_\w+": "entries in debugfs",
    r"sysfs_create_\w+|kobject_create_and_add": "entries in sysfs",
    r"pci_register_driver|module_pci_driver": "a driver of PCI devices",
    r"usb_register|module_usb_driver": "a driver of USB devices",
    r"hid_register_driver|module_hid_driver": "a driver of HID devices",
    r"i2c_add_driver|module_i2c_driver": "a driver of I2C devices",
    r"platform_driver_register|module_platform_driver": "a platform driver",
    r"acpi_bus_register_driver|module_acpi_driver": "an ACPI driver",
    r"drm_dev_register": "a DRM device",
}


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    about: str


@dataclass(frozen=True)
class Sources:
    """One module's files together."""

    parameters: tuple[Parameter, ...]
    exports: frozenset[str]
    words: frozenset[str]
    makes: tuple[str, ...]
    wants: tuple[str, ...] = ()  # parameters without which it refuses to load
    stays: bool = False  # the kernel unloads no module that has an init and no exit
    firmware: tuple[str, ...] = ()  # the files that it asks for, where the names are whole

    @property
    def may_lack_a_device(self) -> bool:
        """Whether it can find that the machine has nothing for it."""
        return "ENODEV" in self.words


def sources(paths: Iterable[Path]) -> Sources:
    """What the files that are there say."""
    texts = [path.read_text(errors="replace") for path in paths if path.is_file()]
    text = _COMMENT.sub(" ", "\n".join(texts))
    code = _STRING.sub('""', text)
    parameters, inits = tuple(_parameters(text)), _inits(code)
    return Sources(
        parameters, frozenset(_EXPORT.findall(code)),
        frozenset(_WORD.findall(code)),
        tuple(said for call, said in _MAKES.items() if re.search(rf"\b(?:{call})\s*\(", code)),
        tuple(one.name for one in parameters if any(_refuses(it, one.name) for it in inits)),
        bool(_INIT.search(code)) and not _EXIT.search(code),
        tuple(dict.fromkeys(_firmware(text))),
    )  # fmt: skip


def _inits(code: str) -> list[tuple[str, str]]:
    """Arguments and body of the functions that the kernel calls to load a module, and of those
    that these call."""
    known = {name: (arguments, body) for name, arguments, body in _FUNCTION.findall(code)}
    left, taken = {*_INIT_OF.findall(code), "init_module"} & set(known), set()
    while left:
        taken |= left
        called = {name for one in left for name in _CALLED.findall(known[one][1])}
        left = (called & set(known)) - taken
    return [known[name] for name in sorted(taken)]


def _refuses(function: tuple[str, str], parameter: str) -> bool:
    """Whether a function says `if (!parameter)`, and EINVAL right after it; one that has an
    argument or a variable of that name speaks of something else."""
    arguments, body = function
    own = rf"^[ \t{{]*(?!return\b)\w+[\w \t]*[\s*]{parameter}\s*[;,=]"
    if re.search(rf"\b{parameter}\b", arguments) or re.search(own, body, re.MULTILINE):
        return False
    empty = rf"\bif\s*\([^;{{}}]*!\s*{parameter}\b(?!\s*[\[(.-])[^;{{}}]*\)"
    return bool(re.search(rf"{empty}\s*(?:\{{[^}}]*)?\breturn\s+-EINVAL\b", body))


def _firmware(text: str) -> Iterable[str]:
    """The names of files; those that a macro holds are looked up, others are not known here."""
    for word in dict.fromkeys(_FIRMWARE.findall(text)):
        if word[0] != '"':
            defined = rf'^[ \t]*#[ \t]*define[ \t]+{word}[ \t]+("[^"]+")'
            found = re.search(defined, text, re.MULTILINE)
            word = found[1] if found else ""
        if name := word.strip('"'):
            yield name


def _parameters(text: str) -> Iterable[Parameter]:
    about = {
        name: " ".join("".join(_QUOTED.findall(said)).replace("\\n", " ").split())
        for name, said in _ABOUT.findall(text)
    }
    seen: set[str] = set()
    for found in _PARAMETER.finditer(text):
        name = found[2]
        if name not in seen and found[1] != "_cb":
            seen.add(name)
            kind = found[_TYPE_AT.get(found[1] or "", 4)] or ""
            yield Parameter(name, "text" if found[1] == "_string" else kind, about.get(name, ""))


def is_module(path: Path) -> bool:
    """Whether a C file is the one of a module that says so."""
    return bool(_LICENSE.search(_COMMENT.sub(" ", path.read_text(errors="replace"))))


def is_program(path: Path) -> bool:
    return bool(_MAIN.search(_COMMENT.sub(" ", path.read_text(errors="replace"))))
