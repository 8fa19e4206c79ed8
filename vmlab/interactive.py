"""A guest to work with from Python: each call is one step, done when it returns."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from vmlab import crash
from vmlab.artifacts import Artifacts
from vmlab.catalog import Kernel
from vmlab.errors import VmlabError
from vmlab.guest import program, qemu
from vmlab.guest.console import Console
from vmlab.guest.results import StepResult
from vmlab.guest.session import Session, session
from vmlab.project import Project
from vmlab.qemus import chosen
from vmlab.snapshots import Snapshots


class StepFailed(VmlabError):
    """A step's outcome was not the expected one; `result` is what came back."""

    def __init__(self, result: StepResult, expect: str) -> None:
        self.result = result
        super().__init__(
            f"{result.verb} {result.argument}: outcome {result.outcome}, and {expect} was wanted"
            + (f"; it said:\n{result.output}" if result.output else "")
        )


class KernelSick(VmlabError):
    """The console shows a panic, oops, warning, lockup or stall, whatever the steps said."""


class Guest:
    """One running guest with the project's modules and workloads in it.

    Calls raise StepFailed where the outcome is not `expect` (an exit status or errno in decimal,
    `nonzero` or `any`), and GuestLost where the guest is gone.
    """

    def __init__(self, kernel: Kernel, inner: Session) -> None:
        self.kernel = kernel
        self._inner = inner

    @property
    def console(self) -> Console:
        """The kernel's console, for pexpect: `guest.console.expect("pattern")`."""
        return self._inner.console

    @property
    def values(self) -> Mapping[str, str]:
        """All captures so far, "z.pid" -> "57"."""
        steps = self._inner.results().steps
        return steps[-1].values if steps else {}

    def run(self, command: str, expect: str = "0", name: str = "-") -> StepResult:
        """Runs a shell command to its end."""
        return self.step("run", command, expect, name)

    def insmod(self, module: str, expect: str = "0") -> StepResult:
        """Loads a module of the project: its name, then parameters."""
        return self.step("insmod", module, expect)

    def rmmod(self, module: str, expect: str = "0") -> StepResult:
        return self.step("rmmod", module, expect)

    def spawn(self, command: str, name: str, ready_ms: int = 10_000) -> StepResult:
        """Starts a command and waits until it prints `ready`."""
        return self.step("spawn", command, "0", name, ready_ms)

    def signal(self, number: str, pid: int | str) -> StepResult:
        return self.step("signal", f"{number} {pid}")

    def sleep(self, seconds: float) -> StepResult:
        """Lets guest time pass."""
        return self.step("sleep", "", ms=round(seconds * 1000))

    def read(self, path: str) -> str:
        """The text of a file in the guest."""
        return self.step("read", path).output

    def write(self, path: str, value: str) -> StepResult:
        return self.step("write", f"{path} {value}")

    def step(
        self, verb: str, argument: str, expect: str = "0", name: str = "-", ms: int = 0
    ) -> StepResult:
        """Any step of a scenario, as the agent knows it."""
        result = self._inner.step(program.step(verb, argument, expect, name, ms))
        if result.state != "passed":
            raise StepFailed(result, expect)
        return result


@contextlib.contextmanager
def boot(
    project: Project,
    artifacts: Artifacts,
    kernel: Kernel,
    machine: qemu.Machine | None = None,
    snapshots: Snapshots | None = None,
) -> Iterator[Guest]:
    """A guest with all modules and workloads of the project; it ends with the block.

    It begins from a snapshot where `snapshots` is given, else it boots. Raises KernelSick at the
    block's end.
    """
    kernel = artifacts.catalog.obtain(kernel)
    machine = machine or qemu.Machine(kernel.arch)
    names = sorted(project.module_names())
    modules = artifacts.modules(kernel, project.modules, names) if names else {}
    files = {f"{name}.ko": path.read_bytes() for name, path in modules.items()}
    for name, source in project.workloads().items():
        files[name] = artifacts.program(kernel.arch, source, name).read_bytes()
    with tempfile.TemporaryDirectory(prefix="vmlab-guest-") as folder:
        run = qemu.RunDirectory(Path(folder))
        image, vmlinuz = artifacts.image(kernel.arch), artifacts.catalog.image(kernel)
        emulator = chosen(machine, artifacts.catalog)
        cold = qemu.Boot(machine, vmlinuz, image, run, emulator=emulator)
        begun = replace(cold, memory=snapshots.memory(cold)) if snapshots else cold
        with session(begun, files) as inner:
            yield Guest(kernel, inner)
            if found := crash.find(run.console.read_text(errors="replace")):
                raise KernelSick(f"kernel {kernel.id}: {found.named}")
