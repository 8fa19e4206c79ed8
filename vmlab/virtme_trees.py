"""The directories that a virtme guest boots from, made once and kept in the cache."""

import lzma
import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vmlab import untar
from vmlab.arch import Arch
from vmlab.artifacts import Artifacts
from vmlab.build import debootstrap
from vmlab.cache import content_key, linked
from vmlab.catalog import Kernel, apt
from vmlab.errors import LabError
from vmlab.images import cpio, debian, tiny

# Which files of Debian's packages the userland needs: virtme's init is a bash script.
_BASH = {
    "bash": ("bin/bash",),
    "libc6": ("lib*/ld-linux*", "lib/*/ld-linux*", "lib/*/libc.so.6"),
    "libtinfo6": ("lib/*/libtinfo.so.6*",),
}
_DIRECTORIES = (
    "etc/lvm", "lib", "lib/modules", "root", "run", "usr", "usr/local", "usr/local/bin", "var",
    "var/log", "var/tmp",
)  # fmt: skip
_LINKS = {"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin"}
_FILES = {
    "etc/shadow": "root:*:::::::\n",
    "etc/fstab": "",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/sudoers": "root ALL = (ALL) NOPASSWD: ALL\n",
}
# The guest's first process. On the virtual clock time leaps to the next timer, and the next, while
# a guest is idle: also where it waits for the host, as for each page of a program on 9p. So the
# userland is read in a few large pieces, and nothing else runs from 9p.
_FIRST = """#!/bin/busybox sh
/bin/busybox mount -t tmpfs -o mode=755 userland /mnt && cd /mnt &&
/bin/busybox dd if=/userland.cpio bs=1M | /bin/busybox cpio -id &&
exec /bin/busybox chroot /mnt /bin/sh "$@"
"""
# An ELF note of owner Xen and type 18, XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h);
# its value has the size of a pointer.
_PVH_NOTE = struct.pack("<III", 4, 8, 18) + b"Xen\0"
_DEBIAN = ("busybox-static", "iproute2", "kmod", "procps", "usr-is-merged")
_OF_9P = ("CONFIG_9P_FS", "CONFIG_NET_9P_VIRTIO", "CONFIG_VIRTIO_PCI")
_INDEXED = ("modules.order", "modules.builtin", "modules.builtin.modinfo")  # depmod reads them


def root_tree(artifacts: Artifacts, arch: Arch) -> Path:
    """A root directory that leads into memory: the tiny image, and bash for virtme's init."""
    shell = artifacts.busybox(arch, tiny.read_recipe(tiny.default_recipe()))
    image = artifacts.image(arch)
    packages = {name: artifacts.catalog.package(name, arch) for name in _BASH}

    def make(directory: Path) -> None:
        for name in ("bin", "mnt", "proc"):
            (directory / name).mkdir()
        shutil.copy2(shell, directory / "bin/busybox")  # virtme-run's initramfs takes it from here
        (directory / "bin/sh").write_text(_FIRST)
        (directory / "bin/sh").chmod(0o755)
        (directory / "userland.cpio").write_bytes(userland(image.read_bytes(), packages))

    parts = [*(path.name for path in packages.values()), image.parent.name, shell.parent.name]
    ours = [*_DIRECTORIES, *_FILES.values(), *_LINKS, repr(_BASH), _FIRST]
    key = content_key(*parts, *ours)
    return artifacts.cache.get("roots", f"virtme-{arch.name}-{key}", make)


def userland(image: bytes, packages: Mapping[str, Path]) -> bytes:
    """What guests run: the tiny image's archive with what virtme's init needs besides."""
    end = cpio.archive([])
    if not image.endswith(end):
        raise LabError("making virtme's userland: the tiny image does not end as an archive does")
    libraries = [
        _member(package, path)
        for name, package in packages.items()
        for pattern in _BASH[name]
        for path in sorted(package.glob(pattern))
        if path.is_symlink() or path.is_file()
    ]
    folders = {str(parent) for one in libraries for parent in Path(one.path).parents} - {"."}
    return image.removesuffix(end) + cpio.archive(
        [
            *(cpio.directory(path) for path in sorted({*_DIRECTORIES, *folders} - {"bin"})),
            *(cpio.Member(path, 0o100644, text.encode()) for path, text in _FILES.items()),
            *(cpio.symlink(path, target) for path, target in _LINKS.items()),
            *libraries,
        ]
    )


def debian_tree(artifacts: Artifacts, arch: Arch) -> Path:
    """A root directory of Debian's required packages and what virtme-run asks for, and the agent.

    Everything in it can be read by anyone, for QEMU does not run as the lab's user.
    """
    recipe = debian.read_recipe(debian.default_recipe())
    recipe = replace(recipe, variant="minbase", packages=_DEBIAN)
    agent = artifacts.agent(arch)

    def make(directory: Path) -> None:
        archive = directory / "root.tar"
        source, options = apt.source_line(recipe.suite), apt.root_options()
        command = debian.command(recipe, arch, (), source, options)
        debootstrap.make(command, archive, f"making virtme-ng's Debian root for {arch.name}")
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isdev():
                    member.mode |= 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                    untar.extract(tar, member, directory, links_inside=False)
        archive.unlink()
        for path in (*_DIRECTORIES, *recipe.directories):
            (directory / path).mkdir(parents=True, exist_ok=True)
        (directory / "etc/sudoers").write_text(_FILES["etc/sudoers"])
        shutil.copy2(agent, directory / "init")

    key = content_key("2", repr(recipe), *_DIRECTORIES, _FILES["etc/sudoers"], agent.parent.name)
    return artifacts.cache.get("roots", f"virtme-debian-{arch.name}-{key}", make)


def packaged_tree(artifacts: Artifacts, kernel: Kernel) -> Path:
    """As `kernel_tree`, with the image as it was packaged."""
    return kernel_tree(artifacts, kernel, unpacked=False)


def kernel_tree(artifacts: Artifacts, kernel: Kernel, unpacked: bool = True) -> Path:
    """The kernel's image in a tree with its modules and depmod's indexes.

    Debian's packages come without the indexes; virtme-run would make them in the package's own
    directory, which is shared. An x86_64 image is unpacked, for QEMU boots such a one at once
    (by its PVH note), and a guest takes seconds for it. Raises LabError where depmod cannot, and
    for a kernel that virtme-run cannot boot.
    """
    catalog = artifacts.catalog
    _check(kernel, catalog.config(kernel))
    image, modules = catalog.image(kernel), catalog.modules(kernel)
    called = f"vmlinuz-{kernel.release}"  # virtme-run reads the release in it

    def make(directory: Path) -> None:
        place = directory / "lib/modules" / kernel.release
        shutil.copytree(modules / "kernel", place / "kernel", copy_function=linked)
        for name in _INDEXED:
            if (modules / name).exists():
                shutil.copy2(modules / name, place / name)
        (directory / "boot").mkdir()
        wanted = unpacked and kernel.arch.name == "x86_64"
        content = unpacked_image(image.read_bytes()) if wanted else None
        if content is None:
            linked(str(image), str(directory / "boot" / called))
        else:
            (directory / "boot" / called).write_bytes(content)
        _index(directory, kernel.release)

    paths = (str(path.relative_to(artifacts.cache.root)) for path in (image, modules))
    key = content_key(
        "2" if unpacked else "packaged", *((kernel.version,) if kernel.added else paths)
    )
    tree = artifacts.cache.get("virtme", f"{kernel.id}-{key}", make)
    return tree / "boot" / called


def _check(kernel: Kernel, config: frozenset[str] | None) -> None:
    """Without these its guest has no root, and the kernel would seem to panic."""
    lacking = [one for one in _OF_9P if config is not None and one not in config]
    if lacking:
        raise LabError(
            f"{kernel.id} has no {', no '.join(lacking)}, over which virtme-run gives a guest its "
            "root; without --backend virtme it boots"
        )


def unpacked_image(image: bytes) -> bytes | None:
    """The ELF file in a bzImage, None where it is none that xz packed and QEMU boots.

    Fields of the setup header: Documentation/x86/boot.rst (later arch/x86/boot.rst).
    """
    if image[0x202:0x206] != b"HdrS":
        return None
    sectors, offset, length = (
        int.from_bytes(image[at : at + size], "little")
        for at, size in ((0x1F1, 1), (0x248, 4), (0x24C, 4))
    )
    begin = (sectors + 1) * 512 + offset
    packed = image[begin : begin + length - 4]  # the last four bytes are the unpacked size
    try:
        unpacked = lzma.decompress(packed, lzma.FORMAT_XZ)
    except lzma.LZMAError:
        return None
    return unpacked if unpacked.startswith(b"\x7fELF") and _PVH_NOTE in unpacked else None


def _index(directory: Path, kernel_id: str) -> None:
    depmod = shutil.which("depmod", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if depmod is None:
        raise LabError("indexing a kernel's modules: depmod was not found; install kmod")
    command = [depmod, "-a", "-b", str(directory), kernel_id]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LabError(
            f"indexing the modules of {kernel_id}: depmod ended with status {done.returncode}: "
            f"{done.stderr.strip()[-400:] or 'no message'}"
        )


def _member(package: Path, path: Path) -> cpio.Member:
    name = str(path.relative_to(package))
    if path.is_symlink():
        return cpio.symlink(name, os.readlink(path))
    return cpio.executable(name, path.read_bytes())
