"""An initramfs as a newc cpio archive (the kernel's initramfs buffer format,
Documentation/driver-api/early-userspace/buffer-format.rst). Needs no root for device nodes."""

import stat
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One file of an archive; `mode` holds the type's bits too."""

    path: str  # relative to the root, no leading slash
    mode: int
    content: bytes = b""  # a link's target for a symbolic link
    device: tuple[int, int] = (0, 0)
    owner: tuple[int, int] = (0, 0)  # user and group


def directory(path: str) -> Member:
    return Member(path, stat.S_IFDIR | 0o755)


def executable(path: str, content: bytes) -> Member:
    return Member(path, stat.S_IFREG | 0o755, content)


def symlink(path: str, target: str) -> Member:
    return Member(path, stat.S_IFLNK | 0o777, target.encode())


def char_device(path: str, major: int, minor: int, mode: int = 0o666) -> Member:
    return Member(path, stat.S_IFCHR | mode, device=(major, minor))


def archive(members: list[Member]) -> bytes:
    """The members in their order; equal members give equal bytes (no times)."""
    parts = [packed(member, number) for number, member in enumerate(members, start=1)]
    return b"".join(parts) + packed(Member("TRAILER!!!", 0))


def packed(member: Member, inode: int = 0) -> bytes:
    """One member's bytes. Inodes tell hard links, of which an archive here has none."""
    name = member.path.encode() + b"\0"
    fields = (
        inode, member.mode, *member.owner, 1, 0, len(member.content), 0, 0,
        *member.device, len(name), 0,
    )  # fmt: skip
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(member.content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
