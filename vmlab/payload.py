"""What a scenario's program carries into the guest: modules and workloads, and their sources."""

import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from vmlab.artifacts import Artifacts
from vmlab.build import kbuild
from vmlab.build.kbuild import ModuleBuildError
from vmlab.catalog import Kernel, Unavailable
from vmlab.guest import modprobe, program
from vmlab.project import Project
from vmlab.scenario import Expanded


class Payload:
    """A project's modules and workloads, built as they are asked for."""

    def __init__(self, project: Project, artifacts: Artifacts) -> None:
        self._project = project
        self._artifacts = artifacts
        self._catalog = artifacts.catalog

    def files(self, expanded: Expanded, kernel: Kernel) -> dict[str, bytes]:
        """By name. Raises ModuleBuildError, CompileError, Unavailable, LabError."""
        files = self._modules(expanded, kernel)
        probed = [
            step.argument.split()[0]
            for step in expanded.steps
            if step.verb in ("modprobe", "kunit")
        ]
        files |= modprobe.files(probed, lambda: self._catalog.modules(kernel), files)
        workloads = self._project.workloads()
        for name in self._workload_names(expanded):
            built = self._artifacts.program(kernel.arch, workloads[name], name)
            files[name] = built.read_bytes()
        return files | expanded.probes() | self._firmware(expanded)

    def sources(self, expanded: Expanded) -> dict[str, bytes]:
        """What these are built from: whole modules and what they share, and workloads."""
        wanted = [*expanded.modules, *expanded.other_modules]
        return (self._module_sources(wanted) if wanted else {}) | self.others(expanded)

    def others(self, expanded: Expanded) -> dict[str, bytes]:
        """The sources of what is no module: workloads and firmware."""
        found: dict[str, bytes] = {}
        workloads = self._project.workloads()
        for name in self._workload_names(expanded):
            for path in (workloads[name], *sorted(workloads[name].parent.glob("*.h"))):
                found[f"workloads/{path.name}"] = path.read_bytes()
        return found | self._firmware(expanded)

    def _firmware(self, expanded: Expanded) -> dict[str, bytes]:
        found = self._project.firmware() if expanded.scenario.firmware else {}
        return {
            f"{program.FIRMWARE}/{name}": found[name].read_bytes()
            for name in expanded.scenario.firmware
        }

    def _modules(self, expanded: Expanded, kernel: Kernel) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        folder = self._project.folder
        if wanted := expanded.modules:
            built = self._artifacts.modules(kernel, folder, wanted)
            if folder.way != "apart":
                built = modprobe.closure(wanted, built)
            files |= {f"{name}.ko": path.read_bytes() for name, path in built.items()}
            _check_names(kernel, {name: files[f"{name}.ko"] for name in built})
        if others := expanded.other_modules:
            other = self._catalog.obtain(self._other(kernel))
            built = self._artifacts.modules(other, folder, others)
            files |= {f"{name}@other.ko": built[name].read_bytes() for name in others}
        return files

    def _module_sources(self, wanted: Iterable[str]) -> dict[str, bytes]:
        if self._project.settings.build != "apart":
            return self._project.folder.files()
        folder = self._project.modules
        left_out = self._project.module_names() - set(kbuild.needed(folder, list(wanted)))
        return {
            name: content
            for name, content in kbuild.source_files(folder).items()
            if Path(name).parts[0] not in left_out
        }

    def _workload_names(self, expanded: Expanded) -> list[str]:
        """The workloads that the steps' commands begin with or name, and those it lists."""
        known = self._project.workloads()
        commands = [*expanded.commands(), *expanded.scenario.probes.values()]
        words = {word for command in commands for word in command.split()}
        return sorted(known.keys() & (words | set(expanded.scenario.workloads)))

    def _other(self, kernel: Kernel) -> Kernel:
        """Another kernel of the lab of the same architecture, to build a wrong module for.

        Of another release: one that was added may be the same kernel under another name.
        """
        for other in self._catalog.kernels:
            if other.arch == kernel.arch and other.release != kernel.release and other.for_modules:
                return other
        raise Unavailable(
            f"{kernel.id}: there is no {kernel.arch.name} kernel of another release with headers"
        )


def _check_names(kernel: Kernel, modules: Mapping[str, bytes]) -> None:
    """A file with another name than its module's would be loaded by one and unloaded by none.

    Raises ModuleBuildError.
    """
    for name, content in modules.items():
        own = modprobe.own_name(content)
        if own and own != name.replace("-", "_"):
            said = (
                f"{name}.ko holds a module that calls itself {own}: the kernel knows it by that "
                f"name alone; call the file {own}.ko, or build it as {name}.o"
            )
            raise ModuleBuildError(kernel.id, f"modinfo -F name {name}.ko", said)


def modules_of(program: Path, folder: Path) -> dict[str, Path]:
    """A program's modules by the kernel's name for them, each in a file in the folder.

    Those that are built for another kernel are left out: none of them gets in.
    """
    folder.mkdir(exist_ok=True)
    found = {}
    with tarfile.open(program) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content and member.name.endswith(".ko") and "@" not in member.name:
                path = folder / Path(member.name).name
                path.write_bytes(content.read())
                found[path.stem.replace("-", "_")] = path
    return found
