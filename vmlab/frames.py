"""The frames of a run's crash with their source lines: which files know them.

The reader of ELF files takes long to import, and most runs need none.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vmlab.artifacts import Artifacts
from vmlab.backend import Job
from vmlab.catalog import Catalog, Kernel, Unavailable
from vmlab.catalog.progress import Say
from vmlab.crash import Crash
from vmlab.errors import LabError
from vmlab.payload import modules_of
from vmlab.project import Project

if TYPE_CHECKING:
    from vmlab.symbols import Root, Sources

_DEBIAN_SOURCE = re.compile(r"debian-source:\S+ \((.+)\)$")  # as sources.build says it


@dataclass(frozen=True)
class Frames:
    """Names a project's frames; a kernel's debug package is fetched only where `fetch` is set."""

    project: Project
    artifacts: Artifacts
    fetch: bool = False
    _said: set[tuple[str, str]] = field(default_factory=set, init=False, compare=False, repr=False)

    def resolved(self, crash: Crash, job: Job) -> Crash:
        """A run's crash with all source lines that can be had; what is in the way is said."""
        try:
            modules = modules_of(job.run.program, job.run.path.absolute() / "modules")
            return self.named(crash, job.kernel, modules)
        except (LabError, OSError) as error:
            say = self.artifacts.catalog.say
            say(f"{job.kernel.id}: the crash's source lines are missing: {error}")
            return crash

    def named(self, crash: Crash, kernel: Kernel, modules: Mapping[str, Path]) -> Crash:
        """The same for a crash of a kernel with these modules, by its name for them.

        Raises LabError where a debug package that is asked for cannot be fetched.
        """
        from vmlab import symbols

        vmlinux, where = self.vmlinux(kernel), self.sources(kernel)
        return symbols.resolve(crash, modules, vmlinux, where, self._once(kernel))

    def _once(self, kernel: Kernel) -> Say:
        """Says what is in the way of a kernel's or a module's lines the first time only."""

        def say(text: str) -> None:
            about = kernel.id, text.partition(": ")[0]
            if about not in self._said:
                self._said.add(about)
                self.artifacts.catalog.say(text)

        return say

    def vmlinux(self, kernel: Kernel) -> Path | None:
        """The kernel with debug information, None where there is none."""
        try:
            return self.artifacts.catalog.vmlinux(kernel, self.fetch)
        except Unavailable as error:
            self.artifacts.catalog.say(str(error))
            return None

    def sources(self, kernel: Kernel) -> "Sources":
        """The project's modules, and the kernel's headers as far as they are here."""
        from vmlab.symbols import Root, Sources

        own = _own(self.project)
        if kernel.added:
            headers = [Root(kernel.added.tree)] if kernel.added.tree else []
            return Sources([own, *headers], self._tree(kernel.added.source))
        unpacked = self.artifacts.catalog.cached_headers(kernel)
        if unpacked is None:
            return Sources([own])
        common = unpacked.glob("usr/src/linux-headers-*-common")
        return Sources([own, Root(unpacked)], [Root(path) for path in common])

    def _tree(self, source: str) -> "list[Root]":
        """The source that a kernel was built from, where the cache has it by its content."""
        from vmlab.catalog import linux_source
        from vmlab.symbols import Root

        found = _DEBIAN_SOURCE.match(source)
        tree = self.artifacts.cache.find(linux_source.KIND, found[1]) if found else None
        return [Root(tree)] if tree else []


def of_files(
    crash: Crash, modules: Sequence[Path], vmlinux: Path | None, project: Project, say: Say
) -> Crash:
    """A stranger's crash with what these files know.

    Sources are looked for in the project, and beside the files.
    """
    from vmlab import symbols
    from vmlab.symbols import Root, Sources

    where = Sources(
        [_own(project), *(Root(path.parent) for path in modules)],
        [Root(vmlinux.parent)] if vmlinux else [],
    )
    named = {path.stem.replace("-", "_"): path for path in modules}
    return symbols.resolve(crash, named, vmlinux, where, say)


def kernel_of(log: str, catalog: Catalog) -> Kernel | None:
    """The catalog's kernel that printed a log: both its release and its version stand in it."""
    for kernel in catalog.kernels:
        words = (kernel.release,) if kernel.added else (kernel.id, kernel.version)
        if all(re.search(rf"(?<!\S){re.escape(word)}(?![^\s)])", log) for word in words):
            return kernel
    return None


def _own(project: Project) -> "Root":
    from vmlab.symbols import Root

    return Root(project.modules, project.settings.modules)
